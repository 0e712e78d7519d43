"""The class every metric over stories is made of: sums per story as state, one statistic over them, one interval.

State is a row of sufficient statistics a story and the key of its cluster, so that partial results of many processes
join by concatenation. Rows are added in the order of their keys: no score depends on the order of update.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from storybench.metrics.record import FrameRecord
from storybench.records.score import Score
from storybench.statistics import bootstrap

Array = np.ndarray


class StoryMetric(Metric):
    """A metric that is a function of weighted sums over stories.

    Subclasses state the facts below and give :meth:`row` and :meth:`statistic`.
    """

    full_state_update = False
    is_differentiable = False

    name: ClassVar[str]
    version: ClassVar[str] = "v1"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    chance: ClassVar[float | None] = None  # value of a guesser, where it is a constant
    unit: ClassVar[str] = "frames"  # what ``n`` counts
    requires: ClassVar[tuple[str, ...]] = ("frames",)
    citation: ClassVar[str] = ""
    missing: ClassVar[str] = "no frame it applies to"  # reason given when there is nothing to divide by

    clusters: list[Tensor]
    rows: list[Tensor]

    def __init__(self, evaluator: str = "toonsv-perceiver-v1") -> None:
        super().__init__()
        self.evaluator = evaluator
        self.add_state("clusters", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @property
    def protocol(self) -> str:
        """Id of what is computed and with which network."""
        return f"{self.name}/{self.version}@{self.evaluator}"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return the sums of one story, (S,) float64."""
        raise NotImplementedError

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the metric for weights (B, K) of rows (K, S): (B,), NaN where it is undefined."""
        raise NotImplementedError

    def count(self, sums: Array) -> int:
        """Return ``n`` from the sums of all stories, (S,); by default their last column."""
        return int(sums[-1])

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add all judged frames of one story."""
        self.clusters.append(torch.tensor([cluster_key(story[0].cluster)], dtype=torch.int64))
        self.rows.append(torch.from_numpy(np.asarray(self.row(story), dtype=np.float64))[None])

    def compute(self) -> Tensor:
        """Return the value as a float64 scalar, NaN where it is undefined."""
        rows = self.cluster_rows()
        value = bootstrap.point(rows, self.statistic) if len(rows) else float("nan")
        return torch.tensor(value, dtype=torch.float64)

    def cluster_rows(self) -> Array:
        """Return the sums per cluster, (K, S), in the order of cluster keys."""
        if not self.rows:
            return np.zeros((0, 0))
        keys = torch.cat(_as_list(self.clusters)).cpu().numpy()
        rows = torch.cat(_as_list(self.rows)).cpu().numpy()
        order = np.lexsort((*rows.T[::-1], keys))  # ties of a key by content: the order of update leaves no trace
        unique, inverse = np.unique(keys[order], return_inverse=True)
        sums = np.zeros((len(unique), rows.shape[1]))
        np.add.at(sums, inverse, rows[order])
        return sums

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return value, BCa interval over clusters, and n."""
        rows = self.cluster_rows()
        if not len(rows):
            return self.absent("no story was scored")
        value, n = bootstrap.point(rows, self.statistic), self.count(rows.sum(0))
        if np.isnan(value):
            return self.absent(self.missing, n)
        found = bootstrap.interval(rows, self.statistic, seed=seed, draws=draws, bounds=self.bounds)
        return Score(
            value=value,
            low=found.low,
            high=found.high,
            n=n,
            higher_is_better=self.higher_is_better,
            protocol=self.protocol,
        )

    def absent(self, reason: str, n: int = 0) -> Score:
        """Return the score of a metric that was not run, with the reason."""
        return Score(value=None, n=n, higher_is_better=self.higher_is_better, protocol=self.protocol, reason=reason)


def cluster_key(cluster: str) -> int:
    """Return a 63-bit key of a cluster's name, the same in every process."""
    return int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:8], "big") >> 1


def _as_list(state: list[Tensor] | Tensor) -> list[Tensor]:
    """Return a list state, which torchmetrics turns into one tensor when it joins processes."""
    return [state] if isinstance(state, Tensor) else state
