"""What a training run tells: lines of JSON, TensorBoard, Weights & Biases, pictures, and progress for a person.

Only the main process has one. A resumed run takes back whatever was told after its checkpoint, so that a log reads
like that of a run that was never stopped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from storybench.errors import ConfigError
from storygptv.fit_config import FitConfig

DIGITS = 9  # significant ones in log.jsonl: they tell every float32 from its neighbours


def require_trackers(config: FitConfig) -> None:
    """Raise ConfigError if a tracker is asked for that is not installed."""
    for key, package in (("tensorboard", "tensorboard"), ("wandb", "wandb")):
        if getattr(config, key) and importlib.util.find_spec(package) is None:
            raise ConfigError(f"{key} is true but the package is missing: pip install {package}, or set {key}=false.")


class RunLog:
    """The log of one run, in the folder ``config.out``.

    Args:
        config: Where to write, and to which trackers.
        step: Steps that are done; later entries of an earlier attempt are taken back.
    """

    def __init__(self, config: FitConfig, step: int) -> None:
        self.config = config
        self.out = Path(config.out)
        self.path = self.out / "log.jsonl"
        write_text(self.out / "fit.json", json.dumps(asdict(config), indent=1, default=str))
        if self.path.exists():
            write_text(self.path, "".join(lines_until(self.path.read_text(), step)))
        self.writer: Any = None
        self.wandb_run: Any = None
        if config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=step + 1)
        if config.wandb:
            import wandb

            name = self.out / "wandb_id"  # one run on the board, however often it is resumed
            if not name.exists():
                write_text(name, secrets.token_hex(4))
            self.wandb_run = wandb.init(
                project="storygptv", id=name.read_text(), resume="allow", dir=str(self.out), config=asdict(config)
            )

    def values(self, line: Mapping[str, Any], values: Mapping[str, float], pace: float) -> None:
        """Write one line of the log.

        Args:
            line: Step and seconds.
            values: Means over the steps since the last line.
            pace: Seconds a step, for the person who waits.
        """
        step = int(line["step"])
        told = {**line, **{key: float(f"{value:.{DIGITS}g}") for key, value in values.items()}}
        with self.path.open("a") as log:
            log.write(json.dumps(told) + "\n")
        if self.writer:
            for key, value in values.items():
                self.writer.add_scalar(key, value, step)
            self.writer.flush()
        if self.wandb_run:
            self.wandb_run.log(dict(values), step=step)
        left = (self.config.steps - step) * pace
        shown = "  ".join(f"{key} {value:.5g}" for key, value in values.items())
        print(f"step {step}/{self.config.steps}  {shown}  {pace:.3g} s/step  {_duration(left)} left", flush=True)

    def pictures(self, step: int, pictures: Mapping[str, Image.Image]) -> None:
        """Write validation strips as ``validation/<name>-<step>.png`` and to the trackers."""
        folder = self.out / "validation"
        folder.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            picture = picture.convert("RGB")
            safe = re.sub(r"[^\w.-]+", "_", name)
            path = folder / f"{safe}-{step:07d}.png"
            temporary = path.with_suffix(".tmp")
            picture.save(temporary, "PNG")
            os.replace(temporary, path)
            if self.writer:
                self.writer.add_image(f"validation/{name}", np.asarray(picture), step, dataformats="HWC")
        if self.writer:
            self.writer.flush()
        if self.wandb_run:
            import wandb

            self.wandb_run.log({f"validation/{n}": wandb.Image(p) for n, p in pictures.items()}, step=step)

    def close(self) -> None:
        """Finish what the trackers hold back."""
        if self.writer:
            self.writer.close()
        if self.wandb_run:
            self.wandb_run.finish()


def lines_until(text: str, step: int) -> list[str]:
    """Return the lines of a JSON Lines log up to ``step``; what a kill cut short is dropped."""
    kept = []
    for line in text.splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return kept


def write_text(path: Path, text: str) -> None:
    """Write ``text`` so that a kill leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _duration(seconds: float) -> str:
    """Return ``seconds`` for a person: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
