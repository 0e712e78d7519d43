"""Maximum mean discrepancies in float64: the kernel distance (KID) and CMMD, from sums of a kernel over blocks of rows.

Sums are kept by group of rows, so that the distance without a group, for a jackknife, costs additions and no kernel.
Legend of shapes: n and r rows, D width, g groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Kernel = Callable[[Array, Array], Array]  # (n, D), (r, D) float64 -> (n, r)
BLOCK = 2_000  # rows of a kernel matrix held at once
CMMD_SIGMA = 10.0  # metrics.md 5.4
CMMD_SCALE = 1_000.0


def cubic_kernel(x: Array, y: Array) -> Array:
    """Return (x . y / D + 1)^3, (n, r): the kernel of KID (Binkowski et al. 2018)."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def gaussian_kernel(x: Array, y: Array) -> Array:
    """Return exp(-|x - y|^2 / (2 sigma^2)), (n, r), sigma 10: the kernel of CMMD (Jayasumana et al. 2024)."""
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * (x @ y.T)
    return np.exp(-np.maximum(squares, 0.0) / (2 * CMMD_SIGMA**2))


@dataclass(frozen=True)
class KernelSums:
    """Sums of a kernel between groups of rows of two clouds."""

    xx: Array  # (g, g) all pairs
    yy: Array  # (g, g)
    xy: Array  # (g, g)
    self_x: Array  # (g,) pairs of a row with itself
    self_y: Array  # (g,)
    n: Array  # (g,) rows
    r: Array  # (g,)

    @classmethod
    def of(
        cls, x: Array, y: Array, kernel: Kernel, group_x: Array | None = None, group_y: Array | None = None
    ) -> KernelSums:
        """Return the sums of ``kernel``.

        Args:
            x: (n, D).
            y: (r, D).
            kernel: Symmetric.
            group_x: Group of each row of ``x``, 0 .. g - 1; by default all in one.
            group_y: The same for ``y``, with the same number of groups.

        Raises:
            ValueError: If a side has fewer than two rows, widths differ, or a value is not finite.
        """
        x, y = _checked(x, y)
        one_x, one_y = np.zeros(len(x), dtype=np.int64), np.zeros(len(y), dtype=np.int64)
        at_x, at_y = one_x if group_x is None else group_x, one_y if group_y is None else group_y
        groups = int(max(at_x.max(), at_y.max())) + 1
        member_x, member_y = np.eye(groups)[at_x], np.eye(groups)[at_y]  # (n, g), (r, g)
        return cls(
            xx=_block_sums(x, x, kernel, member_x, member_x),
            yy=_block_sums(y, y, kernel, member_y, member_y),
            xy=_block_sums(x, y, kernel, member_x, member_y),
            self_x=member_x.T @ _diagonal(x, kernel),
            self_y=member_y.T @ _diagonal(y, kernel),
            n=member_x.sum(0),
            r=member_y.sum(0),
        )

    def mmd2(self, *, biased: bool, without: int | None = None) -> float:
        """Return the squared discrepancy.

        Args:
            biased: Pairs of a row with itself count (V-statistic) or not (U-statistic, without bias, can be below 0).
            without: Leave this group out of both sides.
        """
        keep = np.ones(len(self.n))
        if without is not None:
            keep[without] = 0.0
        n, r = keep @ self.n, keep @ self.r
        within_x, within_y, between = (keep @ sums @ keep for sums in (self.xx, self.yy, self.xy))
        if biased:
            return float(within_x / n**2 + within_y / r**2 - 2 * between / (n * r))
        within_x, within_y = within_x - keep @ self.self_x, within_y - keep @ self.self_y
        return float(within_x / (n * (n - 1)) + within_y / (r * (r - 1)) - 2 * between / (n * r))


class Subsets(NamedTuple):
    """Mean and spread of the distance over random subsets."""

    mean: float
    spread: float  # standard deviation; no error bar of the mean, for subsets share rows


def kernel_distance(features_a: Array, features_b: Array) -> float:
    """Return KID, the unbiased squared discrepancy of the cubic kernel over all rows (a U-statistic).

    Args:
        features_a: (n, D) with n >= 2.
        features_b: (r, D) with r >= 2.

    Returns:
        The distance; without bias at any n, so slightly below 0 now and then.

    Reference:
        Binkowski et al. 2018; metrics.md 5.4.
    """
    return KernelSums.of(features_a, features_b, cubic_kernel).mmd2(biased=False)


def kernel_distance_of_subsets(
    features_a: Array, features_b: Array, *, subsets: int = 100, size: int = 1_000, seed: int = 2020
) -> Subsets:
    """Return KID as torch-fidelity takes it: over random subsets, drawn as it draws them from the same seed.

    Args:
        features_a: (n, D) with n >= ``size``.
        features_b: (r, D) with r >= ``size``.
        subsets: Number of pairs of subsets.
        size: Rows of a subset.
        seed: Of the draws.

    Raises:
        ValueError: If a side has fewer than ``size`` rows.
    """
    x, y = _checked(features_a, features_b)
    if min(len(x), len(y)) < size:
        raise ValueError(f"subsets of {size} rows need as many on each side, got {len(x)} and {len(y)}")
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        a, b = x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)]
        values.append(kernel_distance(a, b))
    return Subsets(float(np.mean(values)), float(np.std(values)))


def cmmd(features_a: Array, features_b: Array) -> float:
    """Return CMMD: 1000 times the biased squared discrepancy of a Gaussian kernel between unit vectors.

    At sigma 10 the kernel is nearly flat over the unit sphere: about ``10 |mean_a - mean_b|^2``, blind to covariances.

    Args:
        features_a: (n, D) with n >= 2, brought to unit length here.
        features_b: (r, D) with r >= 2, likewise.

    Reference:
        Jayasumana et al. 2024; metrics.md 5.4.
    """
    sums = KernelSums.of(unit_rows(features_a), unit_rows(features_b), gaussian_kernel)
    return CMMD_SCALE * sums.mmd2(biased=True)


def unit_rows(features: Array) -> Array:
    """Return the rows at unit length, float64.

    Raises:
        ValueError: If a row is zero.
    """
    x = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError("a row of zeros has no direction")
    return x / lengths


def _block_sums(x: Array, y: Array, kernel: Kernel, member_x: Array, member_y: Array) -> Array:
    """Return the kernel's sums between groups, (g, g); of a cloud with itself, blocks off the diagonal once for two."""
    total = np.zeros((member_x.shape[1], member_y.shape[1]))
    for i in range(0, len(x), BLOCK):
        rows = slice(i, i + BLOCK)
        for j in range(i if x is y else 0, len(y), BLOCK):
            columns = slice(j, j + BLOCK)
            part = member_x[rows].T @ kernel(x[rows], y[columns]) @ member_y[columns]
            total += part + part.T if x is y and j > i else part
    return total


def _diagonal(x: Array, kernel: Kernel) -> Array:
    return np.array([kernel(row[None], row[None])[0, 0] for row in x])


def _checked(features_a: Array, features_b: Array) -> tuple[Array, Array]:
    x, y = np.asarray(features_a, dtype=np.float64), np.asarray(features_b, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"expected rows of equal width, got {x.shape} and {y.shape}")
    if min(len(x), len(y)) < 2:
        raise ValueError(f"a kernel distance needs two or more rows on each side, got {len(x)} and {len(y)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("features hold NaN or infinity")
    return x, y
