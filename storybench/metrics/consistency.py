"""Consistency of picture-only facts over stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional import consistency as functional
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.perceiver import Vocabulary


def detail_space(v: Vocabulary) -> functional.DetailSpace:
    """Return the details that a perceiver with this vocabulary reads."""
    scarves = tuple((f"scarf:{name}", v.scarf_colours) for name in v.characters)
    props = tuple((f"prop:{name}", v.prop_colours) for name in v.props)
    return functional.DetailSpace((*scarves, *props, ("weather", v.weathers), ("wall", v.walls)))


class DetailConsistency(StoryMetric):
    """Chance-corrected agreement of details between consecutive frames that show them; a constant colour earns 0."""

    name = "detail_consistency"
    group = "consistency"
    bounds = (-float("inf"), 1.0)
    chance = 0.0
    every_cluster_counts = True  # readings of stories without a pair are a part of chance
    unit = "pairs of a visible detail"
    citation = "docs: detail_consistency; Cohen 1960 with chance from between-story agreement"
    missing = "no detail is visible in two frames of a story, or none is read in two stories that tell chance"

    def __init__(self, space: functional.DetailSpace, evaluator: str = "none") -> None:
        super().__init__(evaluator)
        self.space = space

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric over the details that the evaluator reads; without any it has nothing to divide by."""
        nothing = functional.DetailSpace(())
        space = nothing if instruments.vocabulary is None else detail_space(instruments.vocabulary)
        return cls(space, instruments.protocol(cls.requires))

    def details(self) -> dict[str, Any]:
        """Return the table of detail types."""
        return {"detail_consistency_by_type": self.by_type()}

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return the pair counts and readings of each detail."""
        frames = sorted(story, key=lambda r: r.frame)
        return functional.detail_row(self.space, [r.details for r in frames], [r.reading.details for r in frames])

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the pair-weighted mean kappa of the detail types."""
        return functional.detail_kappa(weights, rows, self.space)

    def count(self, sums: Array) -> int:
        """Return the number of pairs."""
        return int(sums[: len(self.space.keys)].sum())

    def by_type(self) -> dict[str, dict[str, float | None]]:
        """Return kappa (None where chance is not known), raw agreement and pairs of each detail type."""
        rows = self.cluster_rows()
        if not len(rows):
            return {}
        ones = np.ones((1, len(rows)))
        kappa, pairs = functional.kappa_by_type(ones, rows, self.space)
        _, agree, _ = functional.detail_agreement(ones, rows, self.space)
        raw = [float(agree[0, self.space.key_type == t].sum()) for t in range(len(self.space.types))]
        return {
            name: {
                "kappa": None if np.isnan(kappa[0, t]) else float(kappa[0, t]),
                "agreement": raw[t] / float(pairs[0, t]),
                "pairs": float(pairs[0, t]),
            }
            for t, name in enumerate(self.space.types)
            if pairs[0, t] > 0
        }
