"""Fresh ToonSV frames as tensors, for the stages that train the miniature."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from storybench.data.toonsv.drawing import render
from storybench.data.toonsv.sampling import TrainingFrame, sample_training_frames


@dataclass(frozen=True)
class FrameBatch:
    """Frames as pixels and instance maps beside all that is known about them."""

    frames: tuple[TrainingFrame, ...]
    pixels: Tensor  # (B, 3, H, W) in [-1, 1]
    instances: Tensor  # (B, H, W) uint8: 0 background, k the k-th character from the left

    def to(self, device: torch.device) -> FrameBatch:
        """Return the batch with its tensors on ``device``."""
        return replace(self, pixels=self.pixels.to(device), instances=self.instances.to(device))


def to_pixels(image: object) -> Tensor:
    """Return an RGB picture as (3, H, W) float32 in [-1, 1]."""
    array = np.array(image, dtype=np.uint8)  # (H, W, 3)
    return torch.from_numpy(array).permute(2, 0, 1).float().div_(127.5).sub_(1)


def draw_batch(frames: list[TrainingFrame]) -> FrameBatch:
    """Draw ``frames``."""
    drawn = [render(f.scene) for f in frames]
    pixels = torch.stack([to_pixels(d.image) for d in drawn])
    return FrameBatch(tuple(frames), pixels, torch.from_numpy(np.stack([d.instances for d in drawn])))


def fresh_batch(stream: int, step: int, size: int, frames_per_story: int = 5) -> FrameBatch:
    """Return the ``step``-th batch of stream ``stream``: frames of ``size`` stories never met before.

    One frame a story: neighbours in a story share their backdrop, and a batch should not.
    """
    frames = []
    for k in range(step * size, (step + 1) * size):
        told = list(sample_training_frames(stream, frames_per_story, frames_per_story, start=k))
        frames.append(told[k % frames_per_story])
    return draw_batch(frames)
