"""A large pool of training frames whose latents are computed once, when first asked for.

Item i is the same whenever and in whatever order it is asked for: frame ``i // stories`` of fresh story
``i % stories``, so that neighbours in a first, sequential pass come from different stories.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from storybench.data.toonsv.sampling import TrainingFrame, sample_training_frames
from storygptv.char_ldm.toonsv_data import draw_batch
from storygptv.shares import shard

MASK_STRIDE = 4  # instance maps are kept at a quarter of the picture's side


@dataclass(frozen=True)
class PoolBatch:
    """Latents (B, C, h, w) float32, instance maps (B, H/4, W/4) uint8 and the frames' texts."""

    latents: Tensor
    instances: Tensor
    frames: tuple[TrainingFrame, ...]


class FramePool:
    """``size`` frames of stream ``stream``, encoded by ``encode`` on first use."""

    def __init__(self, size: int, stream: int, encode: Callable[[Tensor], Tensor], frames_per_story: int = 5) -> None:
        self.stories = -(-size // frames_per_story)
        self.size = self.stories * frames_per_story
        self.stream = stream
        self.frames_per_story = frames_per_story
        self.encode = encode
        self.latents: np.ndarray | None = None
        self.instances: np.ndarray | None = None
        self.frames: list[TrainingFrame | None] = [None] * self.size

    def __getitem__(self, items: np.ndarray) -> PoolBatch:
        """Return the frames numbered ``items`` (B,)."""
        new = [int(i) for i in items if self.frames[i] is None]
        if new:
            self._draw(new)
        assert self.latents is not None
        assert self.instances is not None
        return PoolBatch(
            torch.from_numpy(self.latents[items].astype(np.float32)),
            torch.from_numpy(self.instances[items]),
            tuple(f for i in items if (f := self.frames[i]) is not None),
        )

    @torch.no_grad()
    def _draw(self, items: list[int]) -> None:
        frames = []
        for i in items:
            story, frame = i % self.stories, i // self.stories
            told = list(sample_training_frames(self.stream, self.frames_per_story, self.frames_per_story, start=story))
            frames.append(told[frame])
        batch = draw_batch(frames)
        latents = self.encode(batch.pixels).cpu().numpy()
        maps = batch.instances[:, MASK_STRIDE // 2 :: MASK_STRIDE, MASK_STRIDE // 2 :: MASK_STRIDE].numpy()
        if self.latents is None or self.instances is None:
            self.latents = np.zeros((self.size, *latents.shape[1:]), np.float16)
            self.instances = np.zeros((self.size, *maps.shape[1:]), np.uint8)
        self.latents[items] = latents
        self.instances[items] = maps
        for i, frame in zip(items, frames, strict=True):
            self.frames[i] = frame

    def batch(self, step: int, batch_size: int, seed: int, share: int = 0, shares: int = 1) -> PoolBatch:
        """Return part ``share`` of ``shares`` equal parts of batch ``step``.

        The first pass is in order, later passes are shuffled, each its own way.
        """
        positions = shard(step * batch_size + np.arange(batch_size), share, shares)
        passes, places = positions // self.size, positions % self.size
        items = places.copy()
        for p in np.unique(passes[passes > 0]):
            order = np.random.default_rng([seed, int(p)]).permutation(self.size)
            items[passes == p] = order[places[passes == p]]
        return self[items]
