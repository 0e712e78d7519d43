"""``storybench train``: one stage of a reference model, from ``configs/train/<model>/<stage>.yaml``."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import OmegaConf

from storybench.cli.config import build, choices, compose_tree
from storybench.errors import ConfigError, unknown


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
        return 0
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
    return 0
