"""The pictures of each step: clips in an order that a seed gives, a random picture of each, half of them mirrored."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor

from storybench.data.frame_choice import FrameChoice
from storybench.perception.classifiers.examples import LabelledClips
from storybench.perception.classifiers.fitting import Batch, Recipe
from storybench.perception.classifiers.network import preprocess

AHEAD = 2  # steps whose pictures are decoded while another step is taken


class Item(NamedTuple):
    """One picture of a step."""

    clip: int  # its index
    epoch: int
    mirrored: bool


class Batches:
    """Makes the batches of a run, a few ahead, in threads."""

    def __init__(self, clips: LabelledClips, recipe: Recipe, workers: int) -> None:
        """Prepare for a run; ``workers`` threads decode pictures."""
        self.clips, self.recipe, self.workers = clips, recipe, max(workers, 1)

    def __call__(self, first: int) -> Iterator[Batch]:
        """Yield the batches of step ``first`` and of all steps after it."""
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[list[Future[tuple[Tensor, Tensor]]]] = deque()
            for step in range(first, self.recipe.steps):
                waiting.append([pool.submit(self.example, item) for item in self.items(step)])
                if len(waiting) > AHEAD:
                    yield _batch(waiting.popleft())
            while waiting:
                yield _batch(waiting.popleft())

    def items(self, step: int) -> list[Item]:
        """Return what a step sees: every clip once an epoch, in an order of the epoch's own."""
        size, clips = self.recipe.batch_size, len(self.clips)
        mirrored = np.random.default_rng([self.recipe.seed, step]).random(size) < 0.5
        places = [divmod(step * size + k, clips) for k in range(size)]  # epoch, place in it
        orders = {e: np.random.default_rng([self.recipe.seed, e, 1]).permutation(clips) for e in {e for e, _ in places}}
        return [Item(int(orders[e][place]), e, bool(flip)) for (e, place), flip in zip(places, mirrored, strict=True)]

    def example(self, item: Item) -> tuple[Tensor, Tensor]:
        """Return one picture (3, S, S) and its labels (N,)."""
        image = self.clips.picture(item.clip, FrameChoice("random", self.recipe.seed, item.epoch))
        if item.mirrored:
            image = ImageOps.mirror(image)
        return preprocess(image, self.recipe.size_px), self.clips.target(item.clip)


def _batch(examples: list[Future[tuple[Tensor, Tensor]]]) -> Batch:
    pixels, targets = zip(*(future.result() for future in examples), strict=True)
    return Batch(torch.stack(pixels), torch.stack(targets))
