"""The class every metric over stories is made of: sums per story as state, one statistic over them, one interval.

State is a row of sufficient statistics a story and the key of its cluster, so that partial results of many processes
join by concatenation. Rows are added in the order of their keys: no score depends on the order of update.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, distributed
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.records.score import Score
from storybench.statistics import bootstrap
from storybench.statistics.left_out import LeftOut
from storybench.statistics.statistic import leave_one_out
from storybench.statistics.student import standard_error

Array = np.ndarray
Group = Literal["characters", "settings", "reference", "consistency", "distribution", "captions", "peers"]


class StoryMetric(Metric):
    """A metric that is a function of weighted sums over stories.

    Subclasses state the facts below and give :meth:`row` and :meth:`statistic`.
    """

    full_state_update = False
    is_differentiable = False

    name: ClassVar[str]
    group: ClassVar[Group] = "characters"
    version: ClassVar[str] = "v1"
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    chance: ClassVar[float | None] = None  # value of a guesser, where it is a constant
    unit: ClassVar[str] = "frames"  # what ``n`` counts
    fraction: ClassVar[bool] = True  # whether the value is a share, shown in percent
    requires: ClassVar[tuple[str, ...]] = ("reading",)  # fields of a FrameRecord or of its Observation
    citation: ClassVar[str] = ""
    has_floor: ClassVar[bool] = True  # whether frames of other stories are worse than the true ones
    every_cluster_counts: ClassVar[bool] = False  # whether a cluster without a unit still tells of the value
    learned: ClassVar[tuple[str, ...]] = ()  # attributes that any story tells, the same for all
    missing: ClassVar[str] = "no frame it applies to"  # reason given when there is nothing to divide by

    clusters: list[Tensor]
    rows: list[Tensor]

    def __init__(self, evaluator: str = "none") -> None:
        """Start without stories.

        Args:
            evaluator: Protocol id of the network that looked; a part of the metric's own protocol id.
        """
        super().__init__()
        self.evaluator = evaluator
        self.add_state("clusters", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric over what ``instruments`` offer."""
        return cls(instruments.protocol(cls.requires))

    def guessed(self) -> float | None:
        """Return what a guesser gets, where that can be told without frames of other stories."""
        return self.chance

    def details(self) -> dict[str, Any]:
        """Return what stands beside the score, ready for JSON: parts, strata, tables. Keys are unique among metrics."""
        return {}

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

    def cluster_keys(self) -> Array:
        """Return the keys of the clusters, (K,) int64, in the order of :meth:`cluster_rows`."""
        return np.unique(torch.cat(_as_list(self.clusters)).cpu().numpy())

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return value, n, and the interval over clusters that :func:`bootstrap.method_for` names."""
        rows = self.cluster_rows()
        if not len(rows):
            return self.absent(self.missing if self.update_called else "no story was scored")
        value, n = bootstrap.point(rows, self.statistic), self.count(rows.sum(0))
        if np.isnan(value):
            return self.absent(self.missing, n)
        if not self.every_cluster_counts:
            rows = rows[[self.count(row) > 0 for row in rows]]
        found = bootstrap.interval(rows, self.statistic, seed=seed, draws=draws, bounds=self.bounds)
        return Score(
            value=value,
            low=found.low,
            high=found.high,
            standard_error=error if np.isfinite(error := standard_error(rows, self.statistic)) else None,
            n=n,
            higher_is_better=self.higher_is_better,
            protocol=self.protocol,
            clusters=len(rows),
            unit=self.unit,
            fraction=self.fraction,
        )

    def left_out(self) -> LeftOut | None:
        """Return the value without each cluster, for paired comparisons; None where there is no value."""
        rows = self.cluster_rows()
        if not len(rows) or np.isnan(value := bootstrap.point(rows, self.statistic)):
            return None
        units = tuple(f"{key:016x}" for key in self.cluster_keys().tolist())
        return LeftOut(value, units, leave_one_out(rows, self.statistic), np.ones(len(units)))

    def _sync_dist(
        self, dist_sync_fn: Callable[..., list[Tensor]] = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        """Join the states of all processes; they stay lists.

        A process without a story has no tensor to send, and torchmetrics would send one of another shape and type: it
        learns from the others what to send nothing of, and what they learned from their stories.
        """
        group = process_group or self.process_group
        states = {name: _as_list(getattr(self, name)) for name in self._reductions}
        told: dict[str, Any] = {name: parts[0][:0].clone() for name, parts in states.items() if parts}
        told |= {name: value for name in self.learned if (value := getattr(self, name))}
        known: list[Any] = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(known, told, group)
        first = {name: value for of in reversed(known) for name, value in of.items()}
        for name, parts in states.items():
            if name in first:
                joined = dist_sync_fn(torch.cat([first[name], *parts]), group=group)
                setattr(self, name, [part for part in joined if len(part)])
        for name in self.learned:
            setattr(self, name, first.get(name, getattr(self, name)))

    def absent(self, reason: str, n: int = 0) -> Score:
        """Return the score of a metric that was not run, with the reason."""
        return Score(
            value=None,
            n=n,
            higher_is_better=self.higher_is_better,
            protocol=self.protocol,
            reason=reason,
            unit=self.unit,
            fraction=self.fraction,
        )


def cluster_key(cluster: str) -> int:
    """Return a 63-bit key of a cluster's name, the same in every process."""
    return int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:8], "big") >> 1


def _as_list(state: list[Tensor] | Tensor) -> list[Tensor]:
    """Return a list state, which torchmetrics turns into one tensor when it joins processes."""
    return [state] if isinstance(state, Tensor) else state
