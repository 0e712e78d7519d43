"""Fréchet distance of generated frames to true ones: at its sample size, and corrected for it, with honest intervals.

``frechet`` is the plain value, biased upwards by an amount that depends on n and on the model; its interval is about
the value that other stories would give at the same n. ``frechet_corrected`` estimates the distance of the populations
and its interval covers that; how often is measured in ``benchmarks/frechet_interval.py``. :class:`FrechetDistance`
stands alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from storybench.errors import DataError
from storybench.metrics.base import Array
from storybench.metrics.distribution import (
    REMEMBERED,
    Clouds,
    DistributionMetric,
    Estimate,
    PictureMetric,
    features_id,
)
from storybench.metrics.functional.frechet import Moments, frechet_distance, measure
from storybench.statistics.jackknife import (
    Jackknife,
    delete_group_jackknife,
    half_splits,
    second_order_jackknife,
)

FRAMES_A_FEATURE = 4  # measured to suffice; at 2 a bias of a standard error stays, at 1 the truth is missed (94 %)
SECOND_ORDER_GROUPS = 4  # with fewer, a half is hardly smaller than what is left without a group


class Orders(NamedTuple):
    """A distance corrected for bias to first and second order; the second is None with fewer than four groups."""

    first: Jackknife
    second: Jackknife | None
    without: Array  # the plain distance without each group that has generated rows, (g,)


class Frechet(DistributionMetric):
    """Squared Fréchet distance in a space of features, at this number of frames.

    Biased upwards for few frames, by an amount that depends on n: compare equal n only. The interval is value +- t
    jackknife standard errors, whole clusters deleted from both sides; a bootstrap would exclude its own estimate.
    """

    name = "frechet"
    citation = "Heusel et al. 2017, eq. 6; metrics.md 5"

    def value(self, clouds: Clouds) -> float:
        """Return the distance."""
        return frechet_distance(_side(clouds.generated), _side(clouds.true))

    def estimate(self, clouds: Clouds) -> Estimate:
        """Return the distance and its standard error."""
        orders = corrected(clouds)
        if orders is None:
            return Estimate(self.value(clouds), None)
        return Estimate(self.value(clouds), orders.first.standard_error, orders.without)

    def jackknife(self) -> Jackknife | None:
        """Return distance without bias of order 1/n, and standard error; None with too few clusters on a side."""
        clouds = self.clouds()
        orders = None if self._too_few(clouds) else corrected(clouds)
        return None if orders is None else orders.first

    def details(self) -> dict[str, Any]:
        """Return what a distance means nothing without: sizes, first-order correction, error, warnings."""
        clouds = self.clouds()
        found = self.jackknife()
        out: dict[str, Any] = {
            "frechet_bias_corrected": None if found is None else found.corrected,
            "frechet_standard_error": None if found is None else found.standard_error,
            "frechet_n": len(clouds.keys),
            "frechet_reference_n": len(clouds.true),
            "frechet_warnings": clouds.warnings(),
        }
        if not self._too_few(clouds):
            clipped = measure(_side(clouds.generated), _side(clouds.true)).clipped
            if clipped < 0:
                out["frechet_warnings"].append(f"{clipped:.3g} by rounding, taken as 0")
        return out


class FrechetCorrected(DistributionMetric):
    """Squared Fréchet distance of the populations: without bias of orders 1/n and 1/n^2, so it can fall below 0.

    Biases are estimated on the same frames, whole clusters leaving both sides together (metrics.md 5.3). With fewer
    than four frames a feature there is no value: the correction does not hold there.
    """

    name = "frechet_corrected"
    bounds = (float("-inf"), float("inf"))
    citation = "Chong and Forsyth 2020; Quenouille 1956; metrics.md 5.3"

    @property
    def protocol(self) -> str:
        """That of the plain distance, marked."""
        if self.evaluator == "none":
            return super().protocol
        first = features_id(self.evaluator).partition("/")[0]
        return f"{first}-corrected{super().protocol.removeprefix(first)}"

    def value(self, clouds: Clouds) -> float:
        """Return the corrected distance, NaN with fewer than four groups of clusters."""
        orders = corrected(clouds)
        return float("nan") if orders is None or orders.second is None else orders.second.corrected

    def estimate(self, clouds: Clouds) -> Estimate:
        """Return the corrected distance and its standard error."""
        orders = corrected(clouds)
        if orders is None or orders.second is None:
            return Estimate(float("nan"), None)
        # its error is that of the plain distance: what varies linearly with the data enters both alike
        plain = orders.without - frechet_distance(_side(clouds.generated), _side(clouds.true))
        corrected_ = orders.second.corrected
        return Estimate(corrected_, orders.second.standard_error, corrected_ + plain)

    def _too_few(self, clouds: Clouds) -> str | None:
        reason = super()._too_few(clouds)
        grouping = None if reason else clouds.grouping()
        if reason is None and (grouping is None or grouping.deleted < SECOND_ORDER_GROUPS):
            reason = f"needs {SECOND_ORDER_GROUPS} or more clusters on both sides"
        n, width = min(len(clouds.keys), len(clouds.true)), clouds.true.shape[1]
        if reason is None and n < FRAMES_A_FEATURE * width:
            reason = f"needs {FRAMES_A_FEATURE * width} or more frames on both sides for {width} features, got {n}"
        return reason

    def details(self) -> dict[str, Any]:
        """Return what each order of correction gives."""
        clouds = self.clouds()
        if self._too_few(clouds):
            return {}
        orders = corrected(clouds)
        return {
            "frechet_by_order": {
                "0": frechet_distance(_side(clouds.generated), _side(clouds.true)),
                "1": None if orders is None else orders.first.corrected,
                "2": None if orders is None or orders.second is None else orders.second.corrected,
            },
        }


@lru_cache(maxsize=REMEMBERED)
def corrected(clouds: Clouds) -> Orders | None:
    """Return the jackknife corrections of the distance; None with fewer than three groups of clusters.

    Costs a distance for each of up to 20 groups and of 8 halves, so the last clouds' results are remembered.
    """
    grouping = clouds.grouping()
    if grouping is None:
        return None
    sides = [(clouds.generated, grouping.generated), (clouds.true, grouping.true)]
    totals = [Moments.of(features) for features, _ in sides]

    def distance(keep: Array) -> float:
        parts = [_part(f, keep[g], total) for (f, g), total in zip(sides, totals, strict=True)]
        return frechet_distance(parts[0], parts[1])

    everything = frechet_distance(_side(clouds.generated), _side(clouds.true))
    sizes = np.bincount(grouping.generated, minlength=grouping.groups)
    masks = ~np.eye(grouping.groups, dtype=bool)
    used = sizes > 0  # a group may be on the true side only
    without = np.array([distance(keep) for keep in masks])[used]
    first = delete_group_jackknife(everything, without, sizes[used])
    halves = half_splits(grouping.groups) if grouping.groups >= SECOND_ORDER_GROUPS else []
    half_sizes = [int(sizes[half].sum()) for half in halves]
    true_sizes = np.bincount(grouping.true, minlength=grouping.groups)
    if not halves or min(half_sizes) < 2 or min(int(true_sizes[half].sum()) for half in halves) < 2:
        return Orders(first, None, without)
    values = [distance(half) for half in halves]
    second = second_order_jackknife(everything, without, values, sizes[used], half_sizes)
    return Orders(first, second, without)


class FrechetDistance(PictureMetric):
    """Fréchet distance of generated to true pictures, from sums of features in float64.

    Sums of several processes add up, so memory does not grow with the number of pictures.

    Example:
        >>> import torch
        >>> metric = FrechetDistance()
        >>> rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> metric.update(rows, real=True)
        >>> metric.update(rows + 1, real=False)
        >>> round(float(metric.compute()), 5)
        8.0
    """

    real_n: Tensor
    real_total: Tensor
    real_outer: Tensor
    fake_n: Tensor
    fake_total: Tensor
    fake_outer: Tensor

    def __init__(
        self,
        feature: Callable[[Tensor], Tensor] | None = None,
        *,
        num_features: int | None = None,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        """Start without pictures.

        Args:
            feature: Network from a batch of pictures to (n, D) features; None if ``update`` is given features.
            num_features: D. By default the network's ``num_features``, else that of the first batch; give it where a
                process may see no picture, so that its empty sums have the shape of the others'.
            reset_real_features: Whether ``reset`` forgets the true pictures, too.
            **kwargs: Of :class:`torchmetrics.Metric`.
        """
        super().__init__(feature, reset_real_features=reset_real_features, **kwargs)
        known = getattr(feature, "num_features", None) if num_features is None else num_features
        self._width = 0
        self._make_sums(0 if known is None else int(known))

    def update(self, batch: Tensor, real: bool) -> None:
        """Add pictures, or features if no network was given.

        Raises:
            DataError: If the width of the features changes or they are not finite.
        """
        x = self.features(batch).double()  # (n, D)
        if self._width == 0:
            self._make_sums(x.shape[1])
        if x.shape[1] != self._width:
            raise DataError(f"Expected {self._width} features a picture, got {x.shape[1]}: give one network's only.")
        side = "real" if real else "fake"
        for name, value in (("n", len(x)), ("total", x.sum(0)), ("outer", x.T @ x)):
            state = getattr(self, f"{side}_{name}")
            setattr(self, f"{side}_{name}", state.to(x.device) + value)

    def compute(self) -> Tensor:
        """Return the distance as a float64 scalar.

        Raises:
            DataError: With fewer than two pictures on a side.
        """
        sides = [self._moments("fake"), self._moments("real")]
        if min(side.n for side in sides) < 2:
            raise DataError(
                f"FrechetDistance needs 2 or more pictures on each side, got {sides[0].n} generated and {sides[1].n} "
                "true: call update for both first."
            )
        return torch.tensor(frechet_distance(sides[0], sides[1]), dtype=torch.float64)

    def _make_sums(self, width: int) -> None:
        self._width = width
        for side in ("real", "fake"):
            self.add_state(f"{side}_n", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state(f"{side}_total", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_outer", torch.zeros(width, width, dtype=torch.float64), dist_reduce_fx="sum")

    def _moments(self, side: str) -> Moments:
        n, total, outer = (getattr(self, f"{side}_{name}") for name in ("n", "total", "outer"))
        return Moments(int(n), total.cpu().numpy(), outer.cpu().numpy())


def _side(features: Array) -> Array | Moments:
    """Return what the distance is cheapest from: rows if fewer than columns, else moments."""
    return features if len(features) < features.shape[1] else Moments.of(features)


def _part(features: Array, kept: Array, total: Moments) -> Array | Moments:
    """Return the kept rows, or their moments as a difference if that sums over fewer rows."""
    n = int(kept.sum())
    if n < features.shape[1]:
        return features[kept]
    return Moments.of(features[kept]) if 2 * n <= len(features) else total - Moments.of(features[~kept])
