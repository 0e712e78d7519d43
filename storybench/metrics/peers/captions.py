"""Peers' metrics of how captions fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storybench.metrics.assignment import fit_table
from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional.peers import reciprocal_rank
from storybench.metrics.record import FrameRecord
from storybench.statistics import bootstrap


class VinaReciprocalRank(StoryMetric):
    """VinaBench's mean reciprocal rank: where does the frame of a caption stand among the candidates for it?

    The candidates are the frames of the same story, not the pool that VinaBench draws; ties are free, so a frozen
    picture scores 1.
    """

    name = "vina_mrr"
    group = "peers"
    requires = ("caption_fit",)
    citation = "VinaBench, clip_text_rank.py; metrics.md 4.2"
    missing = "no story has two or more frames"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (sum of reciprocal ranks, frames)."""
        if len(story) < 2:
            return np.zeros(2)
        fit = fit_table(story)
        ranks = [reciprocal_rank(fit[t, t], np.delete(fit[:, t], t)) for t in range(len(fit))]
        return np.array([sum(ranks), len(ranks)])

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean over frames."""
        return bootstrap.ratio()(weights, rows)
