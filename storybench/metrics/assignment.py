"""Frames put back to their captions, over stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional.assignment import assignment_accuracy
from storybench.metrics.record import FrameRecord
from storybench.statistics import bootstrap


def fit_table(story: Sequence[FrameRecord]) -> Array:
    """Return how well each judged frame fits the explicit caption of each, (T, T) float64, in frame order.

    Raises:
        ValueError: If no network judged the captions of a frame.
    """
    frames = sorted(story, key=lambda r: r.frame)
    rows = []
    for record in frames:
        if record.seen.caption_fit is None:
            raise ValueError(f"no network judged how the captions fit frame {record.story}/{record.frame}")
        rows.append(np.asarray(record.seen.caption_fit, dtype=np.float64))
    return np.stack(rows)[:, [r.frame for r in frames]]


class AssignmentAccuracy(StoryMetric):
    """Share of frames that a Hungarian match gives their own caption; identical frames earn chance, 1/T."""

    name = "assignment_acc"
    group = "consistency"
    requires = ("caption_fit",)
    citation = "metrics.md 4.1, frame-caption assignment"
    missing = "no story has two or more frames"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames right, right by chance, frames); a story of one frame cannot be wrong and is left out."""
        if len(story) < 2:
            return np.zeros(3)
        share = assignment_accuracy(fit_table(story), story[0].story)
        return np.array([share * len(story), 1.0, len(story)])

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the share of frames."""
        return bootstrap.ratio(0, 2)(weights, rows)

    def guessed(self) -> float | None:
        """Return the mean of 1/T: what frames that fit no caption get."""
        return self.details().get("assignment_acc_chance")

    def details(self) -> dict[str, Any]:
        """Return chance: the mean over frames of 1/T."""
        rows = self.cluster_rows()
        chance = bootstrap.point(rows, bootstrap.ratio(1, 2)) if len(rows) else float("nan")
        return {} if np.isnan(chance) else {"assignment_acc_chance": chance}
