"""Kernel distances of generated frames to true ones: KID, without bias at any n, and CMMD, a distance of means.

:class:`StoryKID` and :class:`StoryCMMD` are metrics over stories; :class:`KernelDistance` and :class:`CMMD` stand
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from storybench.errors import DataError
from storybench.metrics.distribution import REMEMBERED, CloudMetric, Clouds, DistributionMetric, Estimate
from storybench.metrics.functional import kernel as functional
from storybench.statistics.jackknife import delete_group_jackknife

SUBSETS = 100  # the convention of KID's authors: 100 subsets of 1,000 (metrics.md 5.4)
SUBSET_SIZE = 1_000


class StoryKID(DistributionMetric):
    """Kernel distance (KID): squared discrepancy of a cubic kernel over all pairs, without bias, sometimes below 0.

    Pairs within a story count like all others, as published, although they are alike: with few stories the value is a
    little high. The interval is value +- t jackknife standard errors, whole clusters deleted from both sides.
    """

    name = "kid"
    prefix = "kid"
    bounds = (float("-inf"), float("inf"))
    citation = "Binkowski et al. 2018; metrics.md 5.4"
    on_unit_sphere: ClassVar[bool] = False

    def value(self, clouds: Clouds) -> float:
        """Return the distance."""
        return self.estimate(clouds).value

    def estimate(self, clouds: Clouds) -> Estimate:
        """Return the distance and its standard error."""
        return _estimate(clouds, self.on_unit_sphere)


class StoryCMMD(StoryKID):
    """CMMD: 1000 times the biased squared discrepancy of a Gaussian kernel (sigma 10) between unit vectors.

    Nearly 10 times the squared distance of the means: blind to how clouds spread. The published numbers are in CLIP's
    space; in another one the id says so, and only values of one space compare.
    """

    name = "cmmd"
    prefix = "cmmd"
    bounds = (0.0, float("inf"))
    citation = "Jayasumana et al. 2024; metrics.md 5.4"
    on_unit_sphere = True

    def _too_few(self, clouds: Clouds) -> str | None:
        reason = super()._too_few(clouds)
        if reason is None and not (clouds.generated.any(1).all() and clouds.true.any(1).all()):
            reason = "features of zeros only have no direction"
        return reason


@lru_cache(maxsize=REMEMBERED)
def _estimate(clouds: Clouds, on_unit_sphere: bool) -> Estimate:
    """Return KID, or CMMD ``on_unit_sphere``, with the jackknife standard error, from one pass over the kernel."""
    x, y = clouds.generated, clouds.true
    kernel, scale = functional.cubic_kernel, 1.0
    if on_unit_sphere:
        x, y = functional.unit_rows(x), functional.unit_rows(y)
        kernel, scale = functional.gaussian_kernel, functional.CMMD_SCALE
    grouping = clouds.grouping()
    if grouping is None:
        return Estimate(scale * functional.KernelSums.of(x, y, kernel).mmd2(biased=on_unit_sphere), None)
    sums = functional.KernelSums.of(x, y, kernel, grouping.generated, grouping.true)
    value = scale * sums.mmd2(biased=on_unit_sphere)
    sizes = np.bincount(grouping.generated, minlength=grouping.groups)
    used = np.flatnonzero(sizes)
    without = np.array([scale * sums.mmd2(biased=on_unit_sphere, without=int(j)) for j in used])
    return Estimate(value, delete_group_jackknife(value, without, sizes[used]).standard_error, without)


class KernelDistance(CloudMetric):
    """Kernel distance (KID) of generated to true pictures: over all pairs, or over random subsets as others take it.

    Example:
        >>> import torch
        >>> metric = KernelDistance()
        >>> rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> metric.update(rows[:32], real=True)
        >>> metric.update(rows[32:] + 1, real=False)
        >>> bool(metric.compute() > 1)
        True
    """

    def __init__(
        self,
        feature: Callable[[Tensor], Tensor] | None = None,
        *,
        subsets: int | None = None,
        subset_size: int = SUBSET_SIZE,
        seed: int = 2020,
        reset_real_features: bool = True,
        **kwargs: Any,
    ) -> None:
        """Start without pictures.

        Args:
            feature: Network from a batch of pictures to (n, D) features; None if ``update`` is given features.
            subsets: None for all pairs; else the mean over this many random subsets (published numbers: 100).
            subset_size: Rows of a subset.
            seed: Of the subsets.
            reset_real_features: Whether ``reset`` forgets the true pictures, too.
            **kwargs: Of :class:`torchmetrics.Metric`.
        """
        super().__init__(feature, reset_real_features=reset_real_features, **kwargs)
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def compute(self) -> Tensor:
        """Return the distance as a float64 scalar.

        Raises:
            DataError: With fewer than two pictures, or than a subset, on a side.
        """
        fake, real = self.clouds(2)
        if self.subsets is None:
            return torch.tensor(functional.kernel_distance(fake, real), dtype=torch.float64)
        if min(len(fake), len(real)) < self.subset_size:
            raise DataError(
                f"Subsets of {self.subset_size} need as many pictures on each side, got {len(fake)} generated and "
                f"{len(real)} true: give a smaller subset_size, or subsets=None for all pairs."
            )
        found = functional.kernel_distance_of_subsets(
            fake, real, subsets=self.subsets, size=self.subset_size, seed=self.seed
        )
        return torch.tensor(found.mean, dtype=torch.float64)


class CMMD(CloudMetric):
    """CMMD of generated to true pictures; features are brought to unit length."""

    def compute(self) -> Tensor:
        """Return the distance as a float64 scalar.

        Raises:
            DataError: With fewer than two pictures on a side.
        """
        return torch.tensor(functional.cmmd(*self.clouds(2)), dtype=torch.float64)
