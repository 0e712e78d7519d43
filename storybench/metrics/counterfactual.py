"""Does the picture follow a name that was swapped earlier in the story? Causal evidence of reading, against the prior.

The counterfactual text (:mod:`storybench.coreference.counterfactual`) differs from the judged one in a single name,
told in frames before the one that is scored; noise and every other word are the same (metrics.md 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional.reference import follows_swap
from storybench.metrics.record import FrameRecord, Swap
from storybench.statistics import bootstrap

NO_SWAP = "needs the same stories drawn from counterfactual captions with the same seed"


class FlipRate(StoryMetric):
    """Share of swapped frames that show the new antecedent and not the old one."""

    name = "flip_rate"
    group = "reference"
    unit = "frames with a swapped antecedent"
    requires = ("reading", "swap")
    citation = "metrics.md 3, FR"
    missing = NO_SWAP

    def takes(self, swap: Swap) -> bool:
        """Say whether a swap counts."""
        return True

    def passes(self, swap: Swap, seen: frozenset[str]) -> bool:
        """Say whether a swapped frame counts as a hit."""
        return follows_swap(seen, swap.original, swap.replacement)

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (hits, swapped frames)."""
        frames = [(r.swap, r.swap.seen.reading) for r in story if r.swap is not None and self.takes(r.swap)]
        read = [self.passes(swap, reading.characters) for swap, reading in frames if reading is not None]
        return np.array([sum(read), len(read)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return hits / swapped frames."""
        return bootstrap.ratio()(weights, rows)


class FlipRateDrawn(FlipRate):
    """Flip rate where the new antecedent is drawn in the frame that names it: failure to follow, not to draw."""

    name = "flip_rate_drawn"
    unit = "frames whose swapped antecedent is drawn where it is named"
    citation = "metrics.md 3, FR given that c' was drawn where named"
    missing = "no replacement was drawn where it is named, or nothing was drawn from counterfactual captions"

    def takes(self, swap: Swap) -> bool:
        """Say whether the replacement was drawn where it is named."""
        return swap.named


class Stickiness(FlipRate):
    """Share of swapped frames that still show the old antecedent, whom no earlier caption names any more."""

    name = "stickiness"
    higher_is_better = False
    citation = "metrics.md 3, stickiness"

    def passes(self, swap: Swap, seen: frozenset[str]) -> bool:
        """Say whether the old antecedent is seen."""
        return swap.original in seen
