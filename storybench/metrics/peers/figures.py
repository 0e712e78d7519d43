"""Peers' metrics over the figures of a story."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional.peers import cids_character, cids_match, occm
from storybench.metrics.identity import figures_of
from storybench.metrics.record import FrameRecord
from storybench.statistics import bootstrap


class CidsSelf(StoryMetric):
    """ViStoryBench's self consistency: how alike the crops of a character are, whoever they show.

    Over :class:`storybench.perception.peers.cids.CidsFigures` it is the original. Over another figure network crops are
    what that finds, matched by its probabilities. A character drawn once has 1, one never drawn 0, so frozen pictures
    that hold enough figures are perfect.
    """

    name = "cids_self"
    group = "peers"
    bounds = (-1.0, 1.0)
    fraction = False
    unit = "stories"
    requires = ("figures",)
    citation = "ViStoryBench, content/cids_evaluator.py; metrics.md 4.2"
    missing = "no character is expected in any frame"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (mean over the characters of the story, 1), or zeros for a story without characters."""
        names = sorted({name for r in story for name in r.expected})
        if not names:
            return np.zeros(2)
        crops: dict[str, list[Array]] = {name: [] for name in names}
        for r in story:
            figures = figures_of(r, r.seen)
            known = [name for name in sorted(r.expected_set) if name in figures.names]
            columns = [figures.names.index(name) for name in known]
            for name, crop in zip(known, cids_match(figures.probabilities[:, columns]).tolist(), strict=True):
                if crop >= 0:
                    crops[name].append(figures.embeddings[crop])
        each = [cids_character(np.array(crops[name])).self_similarity for name in names]
        return np.array([float(np.mean(each)), 1.0])

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean over stories."""
        return bootstrap.ratio()(weights, rows)


class Occm(StoryMetric):
    """ViStoryBench's on-stage character count matching; figures count whoever they are, empty shots are skipped."""

    name = "occm"
    group = "peers"
    bounds = (0.0, 100.0)
    fraction = False
    unit = "frames with a character"
    requires = ("figures",)
    citation = "ViStoryBench, content/cids_evaluator.py; metrics.md 4.2"
    missing = "no character is expected in any frame"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (sum of scores, frames with a character)."""
        scores = [occm(len(figures_of(r, r.seen).boxes), len(r.expected)) for r in story if r.expected]
        return np.array([sum(scores), len(scores)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean over frames."""
        return bootstrap.ratio()(weights, rows)
