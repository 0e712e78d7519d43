"""Fréchet distance of generated frames to a fixed set of true ones, with a jackknife error bar."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from storybench.metrics.base import Array, StoryMetric, _as_list, cluster_key
from storybench.metrics.functional.frechet import Moments, frechet_distance
from storybench.metrics.record import FrameRecord
from storybench.records.score import Score
from storybench.statistics.jackknife import Jackknife, delete_group_jackknife, group_indices

GROUPS = 20  # metrics.md 5.3
Z = 1.959964


class Frechet(StoryMetric):
    """Squared Fréchet distance in the space of the evaluator's features.

    Biased upwards for few frames, by an amount that depends on n: compare equal n only. The interval is value +- 1.96
    jackknife standard errors, whole stories deleted from both sides; a bootstrap would exclude its own estimate.
    """

    name = "frechet"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    requires = ("frames", "reference")
    citation = "Heusel et al. 2017, eq. 6; metrics.md 5"

    def __init__(
        self, reference: Array, reference_group: Array, evaluator: str = "toonsv-perceiver-v1", reference_id: str = ""
    ) -> None:
        super().__init__(evaluator)
        self.reference, self.reference_group, self.reference_id = reference, reference_group, reference_id

    @property
    def protocol(self) -> str:
        """Feature network and reference set."""
        network, _, version = self.evaluator.rpartition("-")
        return f"fd/{network}/{version}@{self.reference_id}" if self.reference_id else f"fd/{network}/{version}"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return the features of a story's frames in frame order, (frames, D)."""
        return np.stack([r.reading.features for r in sorted(story, key=lambda r: r.frame)]).astype(np.float64)

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add the frames of one story."""
        features = self.row(story)
        self.clusters.append(torch.full((len(features),), cluster_key(story[0].cluster), dtype=torch.int64))
        self.rows.append(torch.from_numpy(features))

    def compute(self) -> Tensor:
        """Return the distance, NaN with fewer than two frames."""
        _, features = self._sorted()
        value = (
            frechet_distance(Moments.of(features), Moments.of(self.reference)) if len(features) > 1 else float("nan")
        )
        return torch.tensor(value, dtype=torch.float64)

    def score(self, *, seed: int = 0, draws: int = 0) -> Score:
        """Return the distance and its jackknife interval; ``seed`` and ``draws`` are not used: nothing is drawn."""
        keys, _ = self._sorted()
        if len(keys) < 2:
            return self.absent("needs two or more frames", len(keys))
        value = float(self.compute())
        found = self.jackknife()
        reach = None if found is None else Z * found.standard_error
        return Score(
            value=value,
            low=None if reach is None else max(value - reach, 0.0),
            high=None if reach is None else value + reach,
            n=len(keys),
            higher_is_better=False,
            protocol=self.protocol,
        )

    def jackknife(self) -> Jackknife | None:
        """Return bias-corrected distance and standard error; None with fewer than three clusters on a side."""
        keys, features = self._sorted()
        groups = min(GROUPS, len(np.unique(keys)), len(np.unique(self.reference_group)))
        if groups < 3:
            return None
        generated = _moments(features, group_indices(keys, groups))
        true = _moments(self.reference, group_indices(self.reference_group, groups))
        all_g, all_t = reduce(Moments.__add__, generated), reduce(Moments.__add__, true)
        if all_g.n - max(g.n for g in generated) < 2:
            return None
        without = [frechet_distance(all_g - g, all_t - t) for g, t in zip(generated, true, strict=True)]
        return delete_group_jackknife(frechet_distance(all_g, all_t), without, [g.n for g in generated])

    def _sorted(self) -> tuple[Array, Array]:
        """Return cluster keys and features in the order of keys, then of content."""
        if not self.rows:
            return np.zeros(0, dtype=np.int64), np.zeros((0, self.reference.shape[1]))
        keys = torch.cat(_as_list(self.clusters)).cpu().numpy()
        features = torch.cat(_as_list(self.rows)).cpu().numpy()
        order = np.lexsort((*features.T[::-1], keys))
        return keys[order], features[order]


def _moments(features: Array, groups: Array) -> list[Moments]:
    return [Moments.of(features[groups == g]) for g in range(int(groups.max()) + 1)]
