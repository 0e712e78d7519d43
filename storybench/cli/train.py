"""``storybench train``: one stage of a reference model, from ``configs/train/<model>/<stage>.yaml``.

On one process::

    storybench train model=storygptv stage=char_ldm

On all GPUs of a machine; with ``--num_processes 2`` also on two processes of a machine without any::

    accelerate launch --multi_gpu -m storybench.cli.main train model=storygptv stage=char_ldm

On several machines, the same command on each, with its own ``--machine_rank``, and the stage's folders on a file system
that all of them see (``num_processes`` counts those of all machines)::

    accelerate launch --multi_gpu --num_machines 2 --num_processes 16 --machine_rank 0 \
        --main_process_ip HOST --main_process_port 29500 -m storybench.cli.main train model=storygptv stage=char_ldm

A stage's batch is that of a step, whatever the number of processes; precision is the stage's key ``mixed_precision``,
not accelerate's. The same command continues a run that was stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from omegaconf import OmegaConf

from storybench.cli.config import build, choices, compose_tree
from storybench.errors import ConfigError, StorybenchError, unknown

USER_ERROR = 2


def stages() -> dict[str, list[str]]:
    """Return model -> its stages, from the configuration tree."""
    from importlib import resources

    from storybench.cli.config import CONFIG_PACKAGE

    root = resources.files(CONFIG_PACKAGE).joinpath("train")
    if not root.is_dir():
        return {}
    models = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("_"))
    return {model: found for model in models if (found := choices(f"train/{model}"))}


def _primary(model: str, stage: str) -> str:
    """Register a primary configuration that is one stage's file at the top level, and return its name."""
    from hydra.core.config_store import ConfigStore

    name = f"train_{model}_{stage}"
    defaults = [{f"train/{model}@_global_": stage}]
    ConfigStore.instance().store(name=name, node={"defaults": defaults}, provider="storybench")
    return name


def main(arguments: Sequence[str]) -> int:
    """Train ``model=... stage=...``; other words override the stage's keys."""
    known = stages()
    if "--help" in arguments or "-h" in arguments:
        print("usage: storybench train model=MODEL stage=STAGE [key=value ...]")
        for name, names in known.items():
            print(f"  model={name}: stage={', '.join(names)}")
        print("several processes: accelerate launch [...] -m storybench.cli.main train model=MODEL stage=STAGE")
        return 0
    try:
        train(arguments, known)
    except StorybenchError:
        if int(os.environ.get("RANK", "0")):  # the first process says it
            return USER_ERROR
        raise
    finally:
        leave_process_group()
    return 0


def train(arguments: Sequence[str], known: dict[str, list[str]]) -> None:
    """Run the stage that ``arguments`` name.

    Raises:
        ConfigError: If model, stage or a key is missing or unknown.
    """
    named = dict(word.split("=", 1) for word in arguments if word.startswith(("model=", "stage=")))
    rest = [word for word in arguments if not word.startswith(("model=", "stage="))]
    model: str | None = named.get("model")
    stage: str | None = named.get("stage")
    if model is None:
        raise ConfigError(f"model needs a value: give model=... Available: {', '.join(known)}.")
    if model not in known:
        raise unknown("model to train", model, known)
    if stage is None and len(known[model]) == 1:
        stage = known[model][0]
    if stage is None:
        raise ConfigError(f"stage needs a value: give stage=... Available: {', '.join(known[model])}.")
    if stage not in known[model]:
        raise unknown("stage", stage, known[model], f"model {model}")
    node = OmegaConf.to_container(compose_tree(_primary(model, stage), rest), resolve=True)
    assert isinstance(node, dict)
    build({str(key): value for key, value in node.items()}, f"train/{model}/{stage}")


def leave_process_group() -> None:
    """End the process group that ``accelerate launch`` asked for, if a stage joined it."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)  # a mistyped stage should not import torch
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
