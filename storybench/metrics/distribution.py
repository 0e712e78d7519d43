"""What distances between clouds of features share: how frames become a cloud, how groups leave, how a score is made.

Two families. A :class:`DistributionMetric` is a metric over stories: its reference is fixed, its error bar a jackknife
that deletes whole clusters from both sides, for a bootstrap repeats frames and so distorts a distance. A
:class:`PictureMetric` is a plain torchmetrics class for use alone: ``update(images, real=True)``, ``compute()``.
Rows are sorted by cluster and content before anything is computed, so the order of update leaves no trace.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from storybench.errors import DataError
from storybench.metrics.base import Array, StoryMetric, _as_list, cluster_key
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.records.score import Score
from storybench.statistics.jackknife import group_indices, t_quantile
from storybench.statistics.left_out import LeftOut
from storybench.statistics.statistic import LEVEL, Interval, interval_without_spread
from storybench.statistics.student import NO_SPREAD

GROUPS = 20  # metrics.md 5.3
REMEMBERED = 3  # clouds whose results are kept: the model's, the floor's and the ceiling's
LEADING = 8  # columns that nearly always decide the order of rows
DUPLICATES = 0.01  # share of equal frames that is worth a warning (metrics.md 5.1)


class Estimate(NamedTuple):
    """A value and its standard error; None with too few clusters for one."""

    value: float
    standard_error: float | None
    without: Array | None = None  # the value without each group that has generated rows, (g,)


class Grouping(NamedTuple):
    """Group of each row on both sides, 0 .. groups - 1; a group leaves both sides together."""

    generated: Array
    true: Array
    groups: int

    @property
    def deleted(self) -> int:
        """Groups that have generated rows: those whose leaving says how much the value varies."""
        return len(np.unique(self.generated))

    def units(self, keys: Array) -> tuple[str, ...]:
        """Return a name of each deleted group, a hash of the clusters in it, given the cluster of each row."""
        members = [np.unique(keys[self.generated == group]) for group in np.unique(self.generated)]
        return tuple(hashlib.sha256(member.astype(np.int64).tobytes()).hexdigest()[:16] for member in members)

    def sizes(self) -> Array:
        """Return the generated rows of each deleted group."""
        return np.unique(self.generated, return_counts=True)[1].astype(np.float64)


class Clouds:
    """Generated and true features, sorted, with the cluster of each row. Equal contents are equal, and hash alike."""

    def __init__(self, generated: Array, keys: Array, true: Array, true_keys: Array) -> None:
        """Take (n, D) and (r, D) features with (n,) and (r,) cluster keys; the generated side is sorted here."""
        order = _order(generated, keys)
        self.generated, self.keys = generated[order], keys[order]
        self.true, self.true_keys = true, true_keys

    @cached_property
    def digest(self) -> str:
        """Hash of all rows and keys."""
        found = hashlib.sha256()
        for array in (self.generated, self.keys, self.true, self.true_keys):
            found.update(f"{array.shape}{array.dtype}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clouds) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def grouping(self) -> Grouping | None:
        """Return up to 20 groups of whole clusters; None with fewer than three that have generated rows.

        Clusters that are on both sides (true frames of the same episodes) are in the same group on both.
        """
        if np.intersect1d(self.keys, self.true_keys).size:
            both = np.concatenate([self.keys, self.true_keys])
            group = group_indices(both, GROUPS)
            generated, true = group[: len(self.keys)], group[len(self.keys) :]
            count = int(group.max()) + 1
        else:
            count = min(GROUPS, len(np.unique(self.keys)), len(np.unique(self.true_keys)))
            generated, true = group_indices(self.keys, count), group_indices(self.true_keys, count)
        left = min(len(side) - int(np.bincount(side, minlength=1).max()) for side in (generated, true))
        found = Grouping(generated, true, count)
        return found if found.deleted >= 3 and left >= 2 else None

    def warnings(self) -> list[str]:
        """Return what a reader of the value should know."""
        n, width = self.generated.shape
        out = []
        if min(n, len(self.true)) < width:
            out.append(f"fewer frames ({n} generated, {len(self.true)} true) than features ({width}): strongly biased")
        equal = n - len(np.unique(self.generated, axis=0))
        if equal > DUPLICATES * n:
            out.append(f"{equal} of {n} frames repeat another")
        return out


class DistributionMetric(StoryMetric):
    """A distance of generated frames to a fixed set of true ones, in a space of features."""

    group = "distribution"
    higher_is_better = False
    fraction = False
    bounds = (0.0, float("inf"))
    requires = ("features", "reference")
    has_floor = False  # frames of other stories are the same cloud
    prefix: ClassVar[str] = ""  # first part of the protocol id, in the place of that of the features
    least: ClassVar[int] = 2  # rows without which there is no value

    def __init__(
        self,
        reference: Array,
        reference_group: Array,
        evaluator: str = "none",
        reference_id: str = "",
        *,
        of_reading: bool = True,
    ) -> None:
        """Start without stories.

        Args:
            reference: Features of true frames, (r, D).
            reference_group: Cluster of each, (r,) int64; :func:`storybench.metrics.base.cluster_key` of its name where
                generated frames may belong to the same clusters.
            evaluator: Protocol id of the features.
            reference_id: Which true frames.
            of_reading: Whether the features are those of the classifier's reading, where a frame has none under their
                own id.
        """
        super().__init__(evaluator)
        self.reference, self.reference_group, self.reference_id = reference, reference_group, reference_id
        self.of_reading = of_reading

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric over the features that distances use; without a reference it can only be absent."""
        name = instruments.features
        reference = instruments.references.get(name)
        if reference is None:
            return cls(np.zeros((0, 0)), np.zeros(0, dtype=np.int64), name or "none")
        own = features_id(instruments.protocols.get("reading", "none"))
        return cls(reference.features, reference.group, name, reference.id, of_reading=features_id(name) == own)

    @property
    def protocol(self) -> str:
        """What is computed, the features' network and version, and the reference."""
        if self.evaluator == "none":
            return f"{self.name}/{self.version}@none"
        first, _, rest = features_id(self.evaluator).partition("/")
        own = "" if self.version == "v1" else f"#{self.version}"
        at = f"@{self.reference_id}" if self.reference_id else ""
        return f"{self.prefix or first}/{rest}{at}{own}"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return the features of a story's frames in frame order, (frames, D); frames without are left out."""
        found = [self._features(r) for r in sorted(story, key=lambda r: r.frame)]
        rows = [np.asarray(features) for features in found if features is not None]
        return np.stack(rows) if rows else np.zeros((0, self.reference.shape[1]))

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add the frames of one story."""
        features = self.row(story)
        if len(features):
            self.clusters.append(torch.full((len(features),), cluster_key(story[0].cluster), dtype=torch.int64))
            self.rows.append(torch.from_numpy(features))

    @abstractmethod
    def value(self, clouds: Clouds) -> float:
        """Return the value of clouds with ``least`` rows or more on both sides."""

    @abstractmethod
    def estimate(self, clouds: Clouds) -> Estimate:
        """Return the value and its standard error."""

    def compute(self) -> Tensor:
        """Return the value as a float64 scalar, NaN with too few frames."""
        clouds = self.clouds()
        return torch.tensor(float("nan") if self._too_few(clouds) else self.value(clouds), dtype=torch.float64)

    def score(self, *, seed: int = 0, draws: int = 0) -> Score:
        """Return value and jackknife interval, value +- t standard errors; nothing is drawn, arguments are not used."""
        clouds = self.clouds()
        if reason := self._too_few(clouds):
            return self.absent(reason, len(clouds.keys))
        value, error, _ = self.estimate(clouds)
        low, high = None, None
        grouping = clouds.grouping()
        if error is not None and grouping is not None:
            low, high = self._interval(value, error, grouping.deleted)
        return Score(
            value=value,
            low=low,
            high=high,
            standard_error=error,
            n=len(clouds.keys),
            clusters=len(np.unique(clouds.keys)),
            higher_is_better=self.higher_is_better,
            protocol=self.protocol,
            unit=self.unit,
            fraction=self.fraction,
        )

    def left_out(self) -> LeftOut | None:
        """Return the value without each group of clusters; None with too few frames or clusters."""
        clouds = self.clouds()
        grouping = None if self._too_few(clouds) else clouds.grouping()
        if grouping is None:
            return None
        found = self.estimate(clouds)
        if found.without is None or np.isnan(found.value):
            return None
        return LeftOut(found.value, grouping.units(clouds.keys), found.without, grouping.sizes())

    def _interval(self, value: float, error: float, groups: int) -> Interval:
        """Return value +- t standard errors within the bounds; for a share without spread the binomial bound."""
        if error <= NO_SPREAD and np.isfinite(self.bounds).all():
            return interval_without_spread(value, groups, LEVEL, self.bounds)
        reach = t_quantile(groups) * error
        return Interval(max(value - reach, self.bounds[0]), min(value + reach, self.bounds[1]))

    def details(self) -> dict[str, Any]:
        """Return the standard error."""
        clouds = self.clouds()
        return {f"{self.name}_standard_error": None if self._too_few(clouds) else self.estimate(clouds).standard_error}

    def clouds(self) -> Clouds:
        """Return what was added and the reference."""
        if not self.rows:
            empty = np.zeros((0, self.reference.shape[1])), np.zeros(0, dtype=np.int64)
            return Clouds(*empty, self.reference, self.reference_group)
        keys, features = (torch.cat(_as_list(state)).cpu().numpy() for state in (self.clusters, self.rows))
        return Clouds(features, keys, self.reference, self.reference_group)

    def _too_few(self, clouds: Clouds) -> str | None:
        if len(self.reference) < self.least:
            return "no reference of true frames for these features"
        return f"needs {self.least} or more frames" if len(clouds.keys) < self.least else None

    def _features(self, record: FrameRecord) -> Array | None:
        found = record.seen.features.get(self.evaluator)
        if found is None and self.of_reading and record.seen.reading is not None:
            found = record.seen.reading.features
        return found if found is not None and len(found) else None


def features_id(network: str) -> str:
    """Return the id of features: itself if it is one, ``fd/name/v1`` of a classifier called ``name-v1``."""
    if "/" in network or network == "none":
        return network
    name, _, version = network.rpartition("-")
    return f"fd/{name}/{version}"


class PictureMetric(Metric):
    """A distance between pictures, or rows of features, given in batches."""

    full_state_update = False
    is_differentiable = False
    higher_is_better = False

    def __init__(
        self, feature: Callable[[Tensor], Tensor] | None = None, *, reset_real_features: bool = True, **kwargs: Any
    ) -> None:
        """Start without pictures.

        Args:
            feature: Network from a batch of pictures to (n, D) features; None if :meth:`update` is given features.
            reset_real_features: Whether :meth:`reset` forgets the true pictures, too.
            **kwargs: Of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.feature, self.reset_real_features = feature, reset_real_features

    def features(self, batch: Tensor) -> Tensor:
        """Return the features of a batch, (n, D).

        Raises:
            DataError: If they are no finite rows of numbers.
        """
        with torch.no_grad():
            found = batch if self.feature is None else self.feature(batch)
        if found.ndim != 2 or not found.is_floating_point():
            raise DataError(
                f"Expected features as (n, D) floating point numbers, got {tuple(found.shape)} {found.dtype}: give "
                "rows of features, or pictures and a network as `feature`."
            )
        if not torch.isfinite(found).all():
            raise DataError("The features of this batch hold NaN or infinity: look at the pictures or the network.")
        return found.detach()

    def reset(self) -> None:
        """Forget what was added; the true pictures stay if that was asked for."""
        names = [] if self.reset_real_features else [n for n in self._defaults if n.startswith("real")]
        kept = {name: getattr(self, name) for name in names}
        super().reset()
        for name, state in kept.items():
            setattr(self, name, state)


class CloudMetric(PictureMetric):
    """A :class:`PictureMetric` that needs all rows at once; they are kept as they came."""

    real: list[Tensor]
    fake: list[Tensor]

    def __init__(
        self, feature: Callable[[Tensor], Tensor] | None = None, *, reset_real_features: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(feature, reset_real_features=reset_real_features, **kwargs)
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("fake", default=[], dist_reduce_fx="cat")

    def update(self, batch: Tensor, real: bool) -> None:
        """Add pictures, or features if no network was given."""
        (self.real if real else self.fake).append(self.features(batch))

    def clouds(self, least: int) -> tuple[Array, Array]:
        """Return generated and true features, rows sorted.

        Raises:
            DataError: If a side has fewer than ``least``.
        """
        sides = [_sorted_rows(_as_list(state)) for state in (self.fake, self.real)]
        if min(map(len, sides)) < least:
            raise DataError(
                f"{type(self).__name__} needs {least} or more pictures on each side, got {len(sides[0])} generated and "
                f"{len(sides[1])} true: call update for both first."
            )
        return sides[0], sides[1]


def _sorted_rows(state: list[Tensor]) -> Array:
    if not state:
        return np.zeros((0, 0))
    rows = torch.cat(state).double().cpu().numpy()
    return rows[_order(rows, np.zeros(len(rows), dtype=np.int64))]


def _order(rows: Array, keys: Array) -> Array:
    """Return the order of rows by key, then by content, column after column."""
    if not rows.size:
        return np.arange(len(keys))
    leading = rows[:, :LEADING]
    order = np.lexsort((*leading.T[::-1], keys))
    same = (leading[order][1:] == leading[order][:-1]).all(1) & (keys[order][1:] == keys[order][:-1])
    return np.lexsort((*rows.T[::-1], keys)) if same.any() else order  # all columns cost a sort each
