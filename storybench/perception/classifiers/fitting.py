"""The training loop of a classifier: what step k does follows from the recipe and k, so that a stopped run goes on."""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from storybench.errors import AssetError, ConfigError, NumericalError, unknown
from storybench.perception.classifiers.network import SIZE_PX, ClassifierLogits, ClassifierNetwork

PRECISIONS = ("no", "bf16")


@dataclass(frozen=True)
class Recipe:
    """What decides the weights; another value is another run.

    Attributes:
        steps: Optimiser steps.
        batch_size: Clips a step.
        learning_rate: Peak, after ``warmup`` steps of linear rise; then a cosine to 0.
        warmup: Steps.
        weight_decay: AdamW's.
        auxiliary_weight: Of the side branch's loss, 0.4 as is usual for this network; 0 leaves the branch out.
        init: ``imagenet`` to start from torchvision's weights as the catalogue of assets has them, or a file of such
            weights; None for random ones.
        mixed_precision: ``no`` or ``bf16``.
        seed: Of initial weights, order of clips, choice of pictures, mirroring and dropout.
        size_px: Side of the pictures; another than 299 is another protocol.
    """

    steps: int = 4000
    batch_size: int = 64
    learning_rate: float = 1e-4
    warmup: int = 200
    weight_decay: float = 1e-2
    auxiliary_weight: float = 0.4
    init: str | None = None
    mixed_precision: Literal["no", "bf16"] = "bf16"
    seed: int = 0
    size_px: int = SIZE_PX

    def __post_init__(self) -> None:
        if self.mixed_precision not in PRECISIONS:
            raise unknown("mixed_precision", self.mixed_precision, PRECISIONS)
        if self.batch_size < 2:
            raise ConfigError(f"batch_size={self.batch_size}: batch normalisation needs 2 or more pictures a step.")
        if self.steps < 1 or self.learning_rate <= 0:
            raise ConfigError(f"steps={self.steps}, learning_rate={self.learning_rate}: expected more than 0.")
        if self.auxiliary_weight and self.size_px < SIZE_PX:
            raise ConfigError(
                f"size_px={self.size_px} is too small for the side branch: give auxiliary_weight=0, or {SIZE_PX} px."
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class Batch(NamedTuple):
    """What one step sees."""

    pixels: Tensor  # (B, 3, S, S)
    targets: Tensor  # (B, N) 0 or 1


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept while it is not done; ``signature`` says which run it is."""

    path: Path
    signature: str
    every: int  # steps

    def load(self, model: ClassifierNetwork, optimiser: torch.optim.Optimizer) -> list[float]:
        """Put a stopped run back into ``model`` and ``optimiser`` and return its losses so far, one a step.

        Raises:
            AssetError: If the file is damaged, or of a run with other settings or clips.
        """
        if not self.path.is_file():
            return []
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            if kept["signature"] != self.signature:
                raise AssetError(
                    f"'{self.path}' is of a run with other settings or other clips: delete it to start anew, or give "
                    "the settings it was started with."
                )
            model.load_state_dict(kept["model"])
            optimiser.load_state_dict(kept["optimiser"])
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise AssetError(f"'{self.path}' is damaged ({type(error).__name__}): delete it to start anew.") from error
        return [float(loss) for loss in kept["losses"]]

    def save(self, model: ClassifierNetwork, optimiser: torch.optim.Optimizer, losses: list[float]) -> None:
        """Keep a run, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        kept: dict[str, Any] = {"signature": self.signature, "losses": losses}
        torch.save({**kept, "model": model.state_dict(), "optimiser": optimiser.state_dict()}, temporary)
        temporary.replace(self.path)

    def remove(self) -> None:
        """Drop what a finished run no longer needs."""
        self.path.unlink(missing_ok=True)


def fit(
    model: ClassifierNetwork,
    batches: Callable[[int], Iterable[Batch]],
    recipe: Recipe,
    checkpoint: Checkpoint,
    say: Callable[[str], None],
    log_every: int = 50,
    max_minutes: float = float("inf"),
) -> list[float] | None:
    """Train ``model`` in place.

    Args:
        model: On its device.
        batches: From a step to the batches of it and all later steps.
        recipe: Settings.
        checkpoint: Where to go on from, and where to keep the run.
        say: Takes lines of progress.
        log_every: Steps between two lines.
        max_minutes: Stop after so many minutes.

    Returns:
        The loss of every step, those before a stop included; None if the time was over first.

    Raises:
        NumericalError: If the loss is no number.
    """
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    losses = checkpoint.load(model, optimiser)
    first, started = len(losses), time.monotonic()
    if first:
        say(f"going on at step {first} of {recipe.steps}")
    model.train()
    for step, batch in zip(range(first, recipe.steps), batches(first), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        loss = _step(model, optimiser, batch, recipe, step, device)
        if not math.isfinite(loss):
            raise NumericalError(f"The loss of step {step} is {loss}: give recipe.learning_rate a smaller value.")
        losses.append(loss)
        done = step + 1 == recipe.steps
        minutes = (time.monotonic() - started) / 60
        if done or len(losses) % log_every == 0:
            left = minutes / (len(losses) - first) * (recipe.steps - len(losses))
            say(f"step {len(losses)}/{recipe.steps}  loss {loss:.4f}  {left:.1f} min left")
        stopped = minutes > max_minutes and not done
        if done or stopped or len(losses) % checkpoint.every == 0:
            checkpoint.save(model, optimiser, losses)
        if stopped:
            return None
    return losses


def _step(
    model: ClassifierNetwork,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    step: int,
    device: torch.device,
) -> float:
    """Do one step and return its loss. Dropout draws from the step's own seed and leaves the global generator alone."""
    pixels = batch.pixels.to(device, memory_format=torch.channels_last)
    targets = batch.targets.to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed((recipe.seed << 32) + step)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.mixed_precision == "bf16"):
            out = model(pixels)
        loss = multi_label_loss(out, targets, recipe.auxiliary_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
    optimiser.step()
    return float(loss.detach())


def multi_label_loss(out: ClassifierLogits, targets: Tensor, auxiliary_weight: float) -> Tensor:
    """Return the mean binary cross entropy over (B, N), with that of the side branch."""
    loss = F.binary_cross_entropy_with_logits(out.logits.float(), targets)
    if out.auxiliary is None:
        return loss
    return loss + auxiliary_weight * F.binary_cross_entropy_with_logits(out.auxiliary.float(), targets)
