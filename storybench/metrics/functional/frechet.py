"""The Fréchet distance between two clouds of features, in float64, by the cheapest form that is exact for their shape.

Never ``sqrtm``: it is ten times slower, can return complex numbers, and disagrees at 1e-6 for singular covariances
(metrics.md 5.2). Legend of shapes: n and r rows, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh, svdvals

from storybench.errors import NumericalError

Array = np.ndarray
TOLERANCE = 1e-6  # of the trace; a result further below zero is an error, not rounding


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of outer products: what a Fréchet distance needs, and any subset is a difference of two."""

    n: int
    total: Array  # (D,) float64
    outer: Array  # (D, D) float64

    @classmethod
    def of(cls, features: Array) -> Moments:
        """Return the moments of ``features`` (n, D)."""
        x = np.asarray(features, dtype=np.float64)
        return cls(len(x), x.sum(0), x.T @ x)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.outer + other.outer)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.total - other.total, self.outer - other.outer)

    @property
    def mean(self) -> Array:
        """Mean, (D,)."""
        return self.total / self.n

    @property
    def cov(self) -> Array:
        """Unbiased covariance, (D, D)."""
        return (self.outer - np.outer(self.total, self.mean)) / (self.n - 1)


class Measured(NamedTuple):
    """A distance, and what rounding left below zero before it was set to zero (0 if nothing was)."""

    value: float
    clipped: float


def frechet_distance(features_a: Array | Moments, features_b: Array | Moments) -> float:
    r"""Return the squared Fréchet distance between the Gaussians of two feature sets.

    .. math:: |\mu_a - \mu_b|^2 + \mathrm{tr} S_a + \mathrm{tr} S_b - 2\, \mathrm{tr} \sqrt{S_a S_b}

    Dispatch: both with fewer rows than columns, singular values of the cross product; one, its thin factor, the other
    side being rows or moments; else a factor of one covariance.

    Args:
        features_a: (n, D) with n >= 2, or its moments.
        features_b: (r, D) with r >= 2, or its moments.

    Returns:
        Distance in squared feature units, never negative. Symmetric in its arguments.

    Raises:
        ValueError: If a side has fewer than two rows, is not finite, or widths differ.
        NumericalError: If the result is below ``-1e-6`` of the trace.

    Reference:
        Heusel et al. 2017, eq. 6; metrics.md 5.2.
    """
    return measure(features_a, features_b).value


def measure(features_a: Array | Moments, features_b: Array | Moments) -> Measured:
    """Return :func:`frechet_distance` and the note that goes with it. Arguments and errors are the same."""
    a, b = _Side.of(features_a), _Side.of(features_b)
    _check(a, b)
    if a.is_small and b.is_small:
        root = float(svdvals(a.scaled @ b.scaled.T).sum())  # nuclear norm of (n, r); no covariance is formed
    elif a.is_small or b.is_small:
        root = _root_by_thin(a, b) if a.is_small else _root_by_thin(b, a)
    else:
        root = _root_by_factor(a.cov, b.cov)
    return _assemble(a.mean - b.mean, a.trace, b.trace, root)


class _Side:
    """One of the two clouds, as rows or as moments; what is derived is made when a branch asks for it."""

    def __init__(self, n: int, mean: Array, scaled: Array | None, moments: Moments | None) -> None:
        self.n, self.mean, self.moments = n, mean, moments
        self._scaled = scaled

    @classmethod
    def of(cls, features: Array | Moments) -> _Side:
        if isinstance(features, Moments):
            return cls(features.n, features.total / max(features.n, 1), None, features)
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or len(x) < 2:
            return cls(len(x), np.zeros(x.shape[1:]), None, None)
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean) / np.sqrt(len(x) - 1), None)  # scaled' scaled is the covariance

    @property
    def is_small(self) -> bool:
        """Whether there are rows, and fewer than columns."""
        return self._scaled is not None and self.n < self._scaled.shape[1]

    @property
    def scaled(self) -> Array:
        """Centred rows over the root of n - 1, (n, D)."""
        if self._scaled is None:
            raise ValueError("moments have no rows")
        return self._scaled

    @property
    def has_rows(self) -> bool:
        return self._scaled is not None

    @cached_property
    def cov(self) -> Array:
        """Covariance, (D, D)."""
        return self.scaled.T @ self.scaled if self.moments is None else self.moments.cov

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.trace(self.cov)) if self.moments is not None else float((self.scaled**2).sum())


def _root_by_thin(small: _Side, large: _Side) -> float:
    """Return tr sqrt(A B) for A of rank r < D from eigenvalues of an (r, r) matrix, by the cheaper of two orders."""
    y = small.scaled  # (r, D)
    r, width = y.shape
    through_rows = large.n * r * (width + r / 2)  # multiplications of (Y X')(Y X')'
    through_cov = large.n * width**2 / 2 + r * width * (width + r)  # of Y (X'X) Y'
    if large.has_rows and through_rows < through_cov:
        cross = y @ large.scaled.T  # (r, n)
        return _root_sum(eigvalsh(cross @ cross.T))
    return _root_sum(eigvalsh(y @ large.cov @ y.T))


def _root_by_factor(cov_a: Array, cov_b: Array) -> float:
    """Return tr sqrt(A B) from A = L L': the roots of the eigenvalues of L' B L.

    Cholesky costs half of an eigendecomposition but exists for positive definite A only; the other needs no such thing.
    """
    try:
        factor = cholesky(cov_a, lower=True)  # (D, D)
        inner = factor.T @ cov_b @ factor
    except LinAlgError:
        values, vectors = eigh(cov_a)
        factor = vectors * np.sqrt(np.clip(values, 0, None))
        inner = factor.T @ cov_b @ factor
    return _root_sum(eigvalsh((inner + inner.T) / 2))


def _root_sum(eigenvalues: Array) -> float:
    """Return the sum of roots; eigenvalues within rounding of zero are zero, for their roots would be noise of 1e-8."""
    noise = len(eigenvalues) * np.finfo(np.float64).eps * np.abs(eigenvalues).max(initial=0.0)
    return float(np.sqrt(np.where(eigenvalues > noise, eigenvalues, 0.0)).sum())


def _assemble(shift: Array, trace_a: float, trace_b: float, root: float) -> Measured:
    trace = float(trace_a + trace_b)
    value = float(shift @ shift) + trace - 2 * root
    if value < -TOLERANCE * max(trace, np.finfo(np.float64).tiny):
        raise NumericalError(f"Fréchet distance {value:.3g} is negative beyond rounding (trace {trace:.3g}).")
    return Measured(max(value, 0.0), min(value, 0.0))


def _check(a: _Side, b: _Side) -> None:
    """Check sizes, and finiteness by the mean of each side."""
    if a.n < 2 or b.n < 2:
        raise ValueError(f"a Fréchet distance needs two or more rows on each side, got {a.n} and {b.n}")
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"feature widths differ: {a.mean.shape} and {b.mean.shape}")
    if not (np.isfinite(a.mean).all() and np.isfinite(b.mean).all()):
        raise ValueError("features hold NaN or infinity")
