"""A third party's models: classes in a module of their own, no storybench package around them."""

from __future__ import annotations

import time

import numpy as np
from PIL import Image

from storybench.seeding import frame_seed


class NoiseModel:
    """Draws seeded noise, slowly if asked to; batches like a real model."""

    def __init__(
        self, delay: float = 0.0, size: int = 128, batch_size: int = 1, frames_lost: int = 0, name: str = "noise"
    ):
        self.delay, self.size, self.batch_size, self.frames_lost, self.name = delay, size, batch_size, frames_lost, name
        self.asked: list[str] = []

    def identity(self):
        return {"name": self.name, "version": "1", "weights": {}, "sampler": {"size": self.size}}

    def visualize(self, stories, *, seed):
        for story in stories:
            self.asked.append(story.id)
            frames = []
            for k in range(len(story.captions) - self.frames_lost):
                time.sleep(self.delay)
                rng = np.random.default_rng(frame_seed(seed, story.id, k))
                frames.append(Image.fromarray(rng.integers(0, 256, (self.size, self.size, 3), dtype=np.uint8)))
            yield story.id, frames


class BatchDependent(NoiseModel):
    """Its pixels depend on who is beside a story in the batch, as rounding does, only plainly visible."""

    def visualize(self, stories, *, seed):
        shade = frame_seed(seed, "|".join(s.id for s in stories), 0) % 256
        for story in stories:
            yield (
                story.id,
                [Image.new("RGB", (self.size, self.size), (shade, k, 0)) for k in range(len(story.captions))],
            )


class NotAModel:
    """Has nothing of the protocol."""
