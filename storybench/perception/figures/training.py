"""Trains the network of figures from nothing on freshly drawn random scenes.

No story of any split is seen. Drawing takes longer than a step of the optimiser, so half of each batch is drawn anew
and half comes from the last thousand frames, recoloured, moved and degraded in another way. Everything follows from
``seed`` on one machine with one thread.
"""

from __future__ import annotations

import logging
import platform
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from storybench.data.toonsv import world
from storybench.perception import assets
from storybench.perception.figures import measuring
from storybench.perception.figures.examples import Batch, Drawn, draw, make_batch
from storybench.perception.figures.loading import NAME
from storybench.perception.figures.network import FigureConfig, FigureNetwork, Look, Maps
from storybench.perception.scenes import random_scene

log = logging.getLogger(__name__)

REMEMBERED = 1000  # frames that may come again
SMOOTHING = 0.05  # of labels, so that embeddings stay graded
WEIGHTS = {"mask": 3.0, "centre": 20.0, "offset": 1.0, "who": 1.0, "place": 0.5}  # relative sizes of the losses


def toonsv_config() -> FigureConfig:
    """Return what is told apart in ToonSV."""
    return FigureConfig(characters=world.NAMES, settings=world.SETTINGS)


def losses(maps: Maps, figures: Look, places: Look, batch: Batch) -> dict[str, Tensor]:
    """Return the unweighted loss of each part over a batch."""
    inside = (batch.mask > 0.5).float()[:, None]  # (B, 1, 64, 64)
    away = F.smooth_l1_loss(maps.offset, batch.offset, reduction="none", beta=0.1)
    return {
        "mask": F.binary_cross_entropy_with_logits(maps.mask, batch.mask),
        "centre": F.binary_cross_entropy_with_logits(maps.centre, batch.centre),
        "offset": (away * inside).sum() / inside.sum().clamp(min=1),
        "who": F.cross_entropy(figures.logits.float(), batch.who, label_smoothing=SMOOTHING),
        "place": F.cross_entropy(places.logits.float(), batch.setting, label_smoothing=SMOOTHING),
    }


def train(
    output: str | None = None,
    steps: int = 700,
    batch_size: int = 24,
    learning_rate: float = 3e-3,
    seed: int = 50_505,
    threads: int = 1,
    max_minutes: float = 13.0,
    check_stories: int = 100,
    start_from: str | None = None,
) -> dict[str, Any]:
    """Train, measure on true test frames, and write weights and manifest.

    Args:
        output: Folder to write; by default the shipped one.
        steps: Optimiser steps; 0 with ``start_from`` trains nothing and measures again, as is due when the drawing of
            the world has changed.
        batch_size: Frames a step, half of them new.
        learning_rate: Peak of the one-cycle schedule.
        seed: Of scenes, changes and initial weights.
        threads: CPU threads for torch.
        max_minutes: Stop early, keeping the schedule, when training takes longer.
        check_stories: Test stories whose true frames it is measured on.
        start_from: Folder of an earlier result to continue from; by default new weights. Its training is kept in the
            manifest under ``before``.

    Returns:
        The manifest as written.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    network = FigureNetwork(toonsv_config())
    before = None
    if start_from is not None:
        state, before = assets.read_state(Path(start_from))
        network.load_state_dict(state)
    started = time.perf_counter()
    done = optimise(network, np.random.default_rng(seed), steps, batch_size, learning_rate, max_minutes)
    training = {
        "command": "storybench train model=figures stage=toonsv",
        "seed": seed,
        "steps": steps,
        "steps_done": done,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "data": "random scenes (storybench.perception.scenes), no story of any split",
        "seconds": round(time.perf_counter() - started, 1),
        "hardware": f"{platform.machine()} CPU, {threads} thread",
        "torch": torch.__version__,
        **({"before": before} if before else {}),
    }
    facts = {
        "id": "toonsv-figures-v1",
        "config": network.config.to_dict(),
        "parameters": sum(p.numel() for p in network.parameters()),
        "training": before if before and steps == 0 else training,
    }
    folder = Path(output) if output else assets.WEIGHTS_ROOT / NAME
    return measuring.finish(network, folder, facts, check_stories)


def optimise(
    network: FigureNetwork,
    rng: np.random.Generator,
    steps: int,
    batch_size: int,
    learning_rate: float,
    max_minutes: float,
) -> int:
    """Run the training loop in place and return the number of steps done."""
    if steps == 0:
        return 0
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.15)
    memory: deque[Drawn] = deque(maxlen=REMEMBERED)
    network.train()
    started = time.perf_counter()
    for step in range(steps):
        batch = make_batch(_some(memory, batch_size, network.config, rng), network.config, rng)
        with torch.autocast("cpu", torch.bfloat16):
            parts = losses(*_look(network, batch), batch)
        total = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        minutes = (time.perf_counter() - started) / 60
        if step % 50 == 0 or step == steps - 1:
            told = " ".join(f"{name} {value.item():.3f}" for name, value in parts.items())
            log.info("step %d of %d, %.1f min: %s", step, steps, minutes, told)
        if minutes > max_minutes:
            log.warning("stopped after %d of %d steps: %.1f minutes are over", step + 1, steps, max_minutes)
            return step + 1
    return steps


def _look(network: FigureNetwork, batch: Batch) -> tuple[Maps, Look, Look]:
    """Return what the network says of a batch."""

    def last(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    return network.maps(last(batch.pixels)), network.figures(last(batch.crops)), network.places(last(batch.places))


def _some(memory: deque[Drawn], count: int, config: FigureConfig, rng: np.random.Generator) -> list[Drawn]:
    """Draw half of ``count`` frames anew and take the others from ``memory``, which keeps the new ones."""
    fresh = count if len(memory) < count else (count + 1) // 2
    old = [memory[int(i)] for i in rng.integers(0, max(len(memory), 1), count - fresh)]
    new = [draw(random_scene(rng), config) for _ in range(fresh)]
    memory.extend(new)
    return [*new, *old]
