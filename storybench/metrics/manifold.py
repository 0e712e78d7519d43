"""Precision, recall, density and coverage of generated frames: how real they look, and how much of the real they show.

Four metrics over stories from one measurement, which is remembered; :class:`PRDC` stands alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from storybench.metrics.distribution import REMEMBERED, CloudMetric, Clouds, DistributionMetric, Estimate
from storybench.metrics.functional import manifold as functional
from storybench.statistics.jackknife import delete_group_jackknife


class StoryPrecision(DistributionMetric):
    """Share of generated frames that lie within the 5-neighbour ball of some true frame.

    A frame that repeats another to the last bit of its features counts as outside: else one good picture, drawn again
    and again, would be perfect. Without repeats this is the published number.

    The interval is value +- t jackknife standard errors, whole clusters deleted from both sides, radii taken anew. All
    four shares depend on the numbers of frames on both sides: compare equal ones.
    """

    name = "precision"
    prefix = "precision"
    higher_is_better = True
    fraction = True
    bounds = (0.0, 1.0)
    citation = "Kynkäänniemi et al. 2019; metrics.md 5.4"
    part: ClassVar[str] = "precision"
    least = functional.NEIGHBOURS + 1

    def value(self, clouds: Clouds) -> float:
        """Return the share."""
        return float(getattr(_all_rows(clouds), self.part))

    def estimate(self, clouds: Clouds) -> Estimate:
        """Return the share and its standard error."""
        parts = _without_groups(clouds)
        value = self.value(clouds)
        if len(parts) < 3:
            return Estimate(value, None)
        grouping = clouds.grouping()
        sizes = np.bincount(grouping.generated, minlength=grouping.groups) if grouping is not None else np.zeros(0)
        used = np.flatnonzero(sizes)
        without = np.array([float(getattr(parts[j], self.part)) for j in used])
        return Estimate(value, delete_group_jackknife(value, without, sizes[used]).standard_error, without)


class StoryRecall(StoryPrecision):
    """Share of true frames that lie within the 5-neighbour ball of some generated frame."""

    name = "recall"
    prefix = "recall"
    part = "recall"


class StoryDensity(StoryPrecision):
    """Number of true frames' balls a generated frame lies in, over 5: precision that outliers cannot raise."""

    name = "density"
    prefix = "density"
    part = "density"
    fraction = False
    bounds = (0.0, float("inf"))
    citation = "Naeem et al. 2020; metrics.md 5.4"


class StoryCoverage(StoryPrecision):
    """Share of true frames whose own 5-neighbour ball holds a generated frame."""

    name = "coverage"
    prefix = "coverage"
    part = "coverage"
    citation = "Naeem et al. 2020; metrics.md 5.4"


@lru_cache(maxsize=REMEMBERED)
def _all_rows(clouds: Clouds) -> functional.PRDC:
    return functional.prdc(clouds.generated, clouds.true, repeats_count=False)


@lru_cache(maxsize=REMEMBERED)
def _without_groups(clouds: Clouds) -> list[functional.PRDC]:
    """Return the four without each group in turn; nothing with too few clusters or frames for it."""
    grouping = clouds.grouping()
    if grouping is None:
        return []
    left = min(len(side) - int(np.bincount(side).max()) for side in (grouping.generated, grouping.true))
    if left <= functional.NEIGHBOURS:
        return []
    return functional.prdc_without_groups(
        clouds.generated, clouds.true, grouping.generated, grouping.true, repeats_count=False
    )[1:]


class PRDC(CloudMetric):
    """Precision, recall, density and coverage of generated pictures.

    Example:
        >>> import torch
        >>> metric = PRDC()
        >>> rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> metric.update(rows, real=True)
        >>> metric.update(rows, real=False)
        >>> float(metric.compute()["precision"])
        1.0
    """

    higher_is_better = True

    def __init__(
        self,
        feature: Callable[[Tensor], Tensor] | None = None,
        *,
        nearest_k: int = functional.NEIGHBOURS,
        closed: bool = False,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        """Start without pictures.

        Args:
            feature: Network from a batch of pictures to (n, D) features; None if ``update`` is given features.
            nearest_k: Neighbours that make a radius.
            closed: Count points on the rim; with ``nearest_k=3`` the convention of torch-fidelity.
            reset_real_features: Whether ``reset`` forgets the true pictures, too.
            **kwargs: Of :class:`torchmetrics.Metric`.
        """
        super().__init__(feature, reset_real_features=reset_real_features, **kwargs)
        self.nearest_k, self.closed = nearest_k, closed

    def compute(self) -> dict[str, Tensor]:
        """Return the four shares by name, float64 scalars.

        Raises:
            DataError: With ``nearest_k`` or fewer pictures on a side.
        """
        fake, real = self.clouds(self.nearest_k + 1)
        found = functional.prdc(fake, real, k=self.nearest_k, closed=self.closed)
        return {name: torch.tensor(share, dtype=torch.float64) for name, share in found._asdict().items()}
