"""A fast, seeded source of choices: the only randomness of ToonSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_BLOCK = 192  # uniforms drawn at a time: about what one five-frame story uses


class Dice:
    """Choices that follow from integers alone, whatever the process, the order or the hash seed.

    Uniforms are drawn in blocks from ``np.random.default_rng([...])``, which is much faster than a call per choice.
    """

    def __init__(self, *key: int) -> None:
        """Seed from non-negative integers."""
        self._rng = np.random.default_rng(list(key))
        self._block: list[float] = []

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        if not self._block:
            self._block = self._rng.random(_BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.uniform() < probability

    def below(self, n: int) -> int:
        """Return an integer in [0, n)."""
        return int(self.uniform() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[int(self.uniform() * len(items))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        """Return one of the items, by weight (weights need not sum to one)."""
        left = self.uniform() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            left -= weight
            if left < 0:
                return item
        return items[-1]

    def sample(self, items: Sequence[T], k: int) -> list[T]:
        """Return k distinct items in random order."""
        rest = list(items)
        return [rest.pop(int(self.uniform() * len(rest))) for _ in range(k)]
