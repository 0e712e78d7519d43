"""The copy guard: how often is a frame the one before it, drawn again? Above 5 % other reference scores are flagged.

The threshold is a percentile of the true frames of the same stories, so a score needs all pairs at once: the state
keeps a row a pair, and :meth:`CopyRate.cluster_rows` turns them into sums. The interval is over clusters with that
threshold held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch

from storybench.metrics.base import Array, StoryMetric, _as_list, cluster_key
from storybench.metrics.functional import copying as functional
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation
from storybench.statistics import bootstrap


class CopyRate(StoryMetric):
    """Share of consecutive generated frames no further apart than the closest 1 % of true consecutive frames."""

    name = "copy_rate"
    group = "reference"
    unit = "pairs of consecutive frames"
    higher_is_better = False
    requires = ("features", "truth")
    has_floor = False  # frames of other stories never repeat
    citation = "metrics.md 3, blind spot (c)"
    missing = "no two consecutive frames with features of the generated and the true pictures"

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric over the features that distances use."""
        return cls(instruments.features or "none")

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return generated and true distance of each pair of neighbours that have both, (pairs, 2) float64."""
        frames = sorted(story, key=lambda r: r.frame)
        pairs = [self._distances(a, b) for a, b in pairwise(frames) if b.frame == a.frame + 1]
        return np.array([pair for pair in pairs if pair is not None], dtype=np.float64).reshape(-1, 2)

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add the pairs of one story."""
        pairs = self.row(story)
        self.clusters.append(torch.full((len(pairs),), cluster_key(story[0].cluster), dtype=torch.int64))
        self.rows.append(torch.from_numpy(pairs))

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return copies / pairs."""
        return bootstrap.ratio()(weights, rows)

    def cluster_rows(self) -> Array:
        """Return (copies, pairs) per cluster, (K, 2), in the order of cluster keys."""
        keys, pairs = self._pairs()
        unique, inverse = np.unique(keys, return_inverse=True)
        sums = np.zeros((len(unique), 2))
        copied = pairs[:, 0] <= functional.copy_threshold(pairs[:, 1])
        np.add.at(sums, inverse, np.stack([copied, np.ones(len(pairs))], axis=1))
        return sums

    def details(self) -> dict[str, Any]:
        """Return the distance up to which a pair counts as copied, and whether there are so many as to raise a flag."""
        _, pairs = self._pairs()
        if not len(pairs):
            return {}
        threshold = functional.copy_threshold(pairs[:, 1])
        return {"copy_threshold": threshold, "copy_flagged": bool(float(self.compute()) > functional.ALARM)}

    def _distances(self, before: FrameRecord, after: FrameRecord) -> tuple[float, float] | None:
        generated = [self._features(r.seen) for r in (before, after)]
        true = [self._features(r.truth) for r in (before, after)]
        found = [x for x in (*generated, *true) if x is not None]
        if len(found) < 4:
            return None
        steps = functional.consecutive_distances(np.stack(found))  # generated pair, seam, true pair
        return float(steps[0]), float(steps[2])

    def _features(self, observation: Observation | None) -> Array | None:
        return None if observation is None else observation.features.get(self.evaluator)

    def _pairs(self) -> tuple[Array, Array]:
        """Return cluster key of each pair and its two distances, (P,) and (P, 2)."""
        if not self.rows:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 2))
        return torch.cat(_as_list(self.clusters)).cpu().numpy(), torch.cat(_as_list(self.rows)).cpu().numpy()
