"""Trains the box detector on the boxes of a real data set's train split, and on nothing else.

Every annotated figure is a "character", minor ones too: a detector that knows only the cast would miss a wrong drawing.
Mirroring is the only change made to pictures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from storybench.data.loading import load_stories
from storybench.errors import DataError
from storybench.perception import assets
from storybench.perception.catalogue import asset
from storybench.perception.detectors.boxes import BoxDetector, load_detector, new_network
from storybench.perception.perceiver import to_pixels
from storybench.story import Frame, FramePixels

log = logging.getLogger(__name__)

FOUND_IOU = 0.5
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4  # torchvision's reference recipe for detection
LONGEST_GRADIENT = 10.0
Target = dict[str, Tensor]


def boxed_frames(dataset: dict[str, Any], subset: str) -> list[Frame]:
    """Return each frame of a subset once.

    Args:
        dataset: Configuration of the data set, as in ``configs/dataset``.
        subset: train, val or test.
    """
    stories = load_stories({**dataset, "frames": 1, "rule": "aligned"}, subset)
    return [story.frames[0] for story in stories]


def example(drawn: FramePixels, mirrored: bool = False) -> tuple[Tensor, Target]:
    """Return a picture (3, H, W) in [0, 1] and its boxes and labels, as torchvision's detectors take them."""
    pixels = to_pixels(drawn.image)
    boxes = torch.tensor(drawn.boxes, dtype=torch.float32).reshape(-1, 4)
    boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
    if mirrored:
        pixels = pixels.flip(2)
        boxes = torch.stack([pixels.shape[2] - boxes[:, 2], boxes[:, 1], pixels.shape[2] - boxes[:, 0], boxes[:, 3]], 1)
    return pixels, {"boxes": boxes, "labels": torch.ones(len(boxes), dtype=torch.int64)}


def train(
    dataset: dict[str, Any],
    output: str | None = None,
    steps: int = 12_000,
    batch_size: int = 16,
    learning_rate: float = 0.02,
    seed: int = 0,
    device: str = "cpu",
    check_frames: int = 500,
) -> dict[str, Any]:
    """Train on the train split, measure on val, and write weights and manifest.

    Args:
        dataset: Configuration of the data set, with its root.
        output: Folder to write; by default where the evaluation looks, see ``storybench doctor``.
        steps: Optimiser steps.
        batch_size: Frames a step.
        learning_rate: Of stochastic gradient descent, peak of one cycle.
        seed: Of initial weights, order and mirroring.
        device: Where to train.
        check_frames: Frames of val that it is measured on.

    Returns:
        The manifest as written.

    Raises:
        DataError: If no frame of the train split has a box.
    """
    torch.manual_seed(seed)
    frames = boxed_frames(dataset, "train")
    network = new_network().to(device)
    started = time.perf_counter()
    first, last = optimise(network, frames, np.random.default_rng(seed), steps, batch_size, learning_rate, device)
    manifest = {
        "id": f"{dataset['name']}-boxes-v1",
        "training": {
            "command": f"storybench train model=detector stage={dataset['name']}",
            "seed": seed,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "data": f"boxes of {len(frames)} frames of the train split of {dataset['name']}",
            "first_loss": round(first, 4),
            "last_loss": round(last, 4),
            "seconds": round(time.perf_counter() - started, 1),
            "torch": torch.__version__,
        },
    }
    folder = asset(f"{dataset['name']}_detector").folder if output is None else Path(output)
    files = {assets.WEIGHTS: assets.half(network)}
    assets.write_asset(folder, files, {**manifest, "accuracies": {}})
    accuracies = measure(load_detector(folder, device), boxed_frames(dataset, "val")[:check_frames])
    return assets.write_asset(folder, files, {**manifest, "accuracies": accuracies})


def optimise(
    network: nn.Module,
    frames: Sequence[Frame],
    rng: np.random.Generator,
    steps: int,
    batch_size: int,
    learning_rate: float,
    device: str,
) -> tuple[float, float]:
    """Run the training loop in place and return the loss of the first and of the last step.

    Raises:
        DataError: If the frames have no box.
    """
    optimiser = torch.optim.SGD(network.parameters(), learning_rate, MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, cycle_momentum=False)
    network.train()
    totals: list[float] = []
    seen = 0
    for step in range(steps):
        chosen = rng.integers(0, len(frames), batch_size)
        examples = [example(frames[int(i)].pixels(), bool(rng.random() < 0.5)) for i in chosen]
        seen += sum(len(target["boxes"]) for _, target in examples)
        pictures = [pixels.to(device) for pixels, _ in examples]
        targets = [{name: value.to(device) for name, value in target.items()} for _, target in examples]
        parts = network(pictures, targets)
        total = torch.stack([*parts.values()]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
        optimiser.step()
        schedule.step()
        totals.append(total.item())
        if step % 100 == 0:
            log.info("step %d of %d: loss %.3f", step, steps, totals[-1])
    if not seen:
        raise DataError("The train split has no boxes: a detector needs a layout of the release that annotates them.")
    return totals[0], totals[-1]


def measure(detector: BoxDetector, frames: Sequence[Frame]) -> dict[str, float]:
    """Return recall, precision (0 where nothing was found) and how many true boxes and frames there were."""
    hits, true, right, found = 0, 0, 0, 0
    for frame in frames:
        drawn = frame.pixels()
        _, target = example(drawn)
        boxes = torch.from_numpy(detector.find(drawn.image).boxes)
        close = box_iou(target["boxes"], boxes) >= FOUND_IOU  # (true, found)
        hits += int(close.any(1).sum()) if len(boxes) else 0
        right += int(close.any(0).sum()) if len(target["boxes"]) else 0
        true, found = true + len(target["boxes"]), found + len(boxes)
    return {
        "recall": round(hits / max(true, 1), 4),
        "precision": round(right / max(found, 1), 4),
        "boxes": true,
        "frames": len(frames),
    }
