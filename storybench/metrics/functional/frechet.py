"""The Fréchet distance between two clouds of features, in float64, by the cheapest form that is exact for their shape.

Never ``sqrtm``: it is ten times slower, can return complex numbers, and disagrees at 1e-6 for singular covariances
(metrics.md 5.2). Legend of shapes: n and r rows, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, eigvalsh, svdvals

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


def frechet_distance(features_a: Array | Moments, features_b: Array | Moments) -> float:
    r"""Return the squared Fréchet distance between the Gaussians of two feature sets.

    .. math:: |\mu_a - \mu_b|^2 + \mathrm{tr} S_a + \mathrm{tr} S_b - 2\, \mathrm{tr} \sqrt{S_a S_b}

    Dispatch for arrays: both with fewer rows than columns, singular values of the cross product; one, its thin factor;
    else, or for moments, the eigen-factor of a covariance.

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
    if isinstance(features_a, Moments) or isinstance(features_b, Moments):
        a, b = (f if isinstance(f, Moments) else Moments.of(f) for f in (features_a, features_b))
        _check(a.n, b.n, a.total, b.total)
        return _assemble(a.mean - b.mean, np.trace(a.cov), np.trace(b.cov), _root_by_eigh(a.cov, b.cov))
    x, y = np.asarray(features_a, dtype=np.float64), np.asarray(features_b, dtype=np.float64)
    _check(len(x), len(y), x.sum(0), y.sum(0))
    mean_x, mean_y = x.mean(0), y.mean(0)
    xn, yn = (x - mean_x) / np.sqrt(len(x) - 1), (y - mean_y) / np.sqrt(len(y) - 1)  # xn' xn is the covariance
    width = x.shape[1]
    if len(x) < width and len(y) < width:
        root = float(svdvals(xn @ yn.T).sum())  # nuclear norm, (n, r)
    elif len(x) < width or len(y) < width:
        thin, wide = (xn, yn) if len(x) < width else (yn, xn)
        root = _root_sum(eigvalsh(thin @ (wide.T @ wide) @ thin.T))
    else:
        root = _root_by_eigh(xn.T @ xn, yn.T @ yn)
    return _assemble(mean_x - mean_y, float((xn**2).sum()), float((yn**2).sum()), root)


def _root_by_eigh(cov_a: Array, cov_b: Array) -> float:
    """Return tr sqrt(A B) from A = L L': the roots of the eigenvalues of L' B L."""
    values, vectors = eigh(cov_a)
    factor = vectors * np.sqrt(np.clip(values, 0, None))  # (D, D)
    inner = factor.T @ cov_b @ factor
    return _root_sum(eigvalsh((inner + inner.T) / 2))


def _root_sum(eigenvalues: Array) -> float:
    """Return the sum of roots; eigenvalues within rounding of zero are zero, for their roots would be noise of 1e-8."""
    noise = len(eigenvalues) * np.finfo(np.float64).eps * np.abs(eigenvalues).max(initial=0.0)
    return float(np.sqrt(np.where(eigenvalues > noise, eigenvalues, 0.0)).sum())


def _assemble(shift: Array, trace_a: float, trace_b: float, root: float) -> float:
    trace = float(trace_a + trace_b)
    value = float(shift @ shift) + trace - 2 * root
    if value < -TOLERANCE * max(trace, np.finfo(np.float64).tiny):
        raise NumericalError(f"Fréchet distance {value:.3g} is negative beyond rounding (trace {trace:.3g}).")
    return max(value, 0.0)


def _check(n: int, r: int, row_a: Array, row_b: Array) -> None:
    """Check sizes, and finiteness by a row or a sum of each side."""
    if n < 2 or r < 2:
        raise ValueError(f"a Fréchet distance needs two or more rows on each side, got {n} and {r}")
    if row_a.shape != row_b.shape:
        raise ValueError(f"feature widths differ: {row_a.shape} and {row_b.shape}")
    if not (np.isfinite(row_a).all() and np.isfinite(row_b).all()):
        raise ValueError("features hold NaN or infinity")
