"""Cluster bootstrap over per-story sufficient statistics, vectorised (metrics.md 7), and the interval every score has.

A draw is a vector of integer weights, how often each cluster was picked; a metric is recomputed from weighted sums, so
10,000 draws of a micro F1 take a fraction of a second. Not for Fréchet distances: duplicates bias them (see
``jackknife``).

Which interval is used depends on the number of clusters and on nothing else (:func:`method_for`):

- 100 or more: BCa, as metrics.md 7 defines it.
- 30 to 99: BCa with quantiles of t, K - 1 degrees of freedom, widened by sqrt(K / (K - 1)), in place of normal ones.
  Plain BCa covers 93 % at K = 31.
- fewer than 30: the cluster-robust t interval (see ``student``). Plain BCa covers 91 to 93 % at K = 17.

Legend of shapes: B draws, K clusters, S sums a cluster.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import norm, t

from storybench.statistics.draws import DRAWS, story_weights
from storybench.statistics.statistic import (
    CHUNK,
    LEVEL,
    Array,
    Interval,
    Statistic,
    divide,
    interval_without_spread,
    leave_one_out,
    point,
    ratio,
)
from storybench.statistics.student import NO_SPREAD, t_interval

FEW, MANY = 30, 100  # clusters; metrics.md 7 for the first, benchmarks/interval_coverage.py for the second

Method = Literal["bca", "bca_t", "t", "percentile"]

__all__ = [
    "CHUNK",
    "DRAWS",
    "LEVEL",
    "Array",
    "Difference",
    "Interval",
    "Method",
    "Statistic",
    "divide",
    "interval",
    "method_for",
    "paired_difference",
    "point",
    "ratio",
    "story_weights",
]


class Difference(NamedTuple):
    """A paired difference ``b - a`` and its interval."""

    value: float
    low: float | None
    high: float | None


def method_for(clusters: int) -> Method:
    """Return the interval that is used for this number of clusters."""
    if clusters < FEW:
        return "t"
    return "bca_t" if clusters < MANY else "bca"


def interval(
    rows: Array,
    statistic: Statistic,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    method: Method | None = None,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Return a confidence interval of ``statistic`` over clusters.

    BCa (Efron 1987), as in metrics.md 7, with ties counted half in z0. When every draw gives the same value the
    bootstrap knows nothing: at an end of ``bounds`` the exact binomial bound for K clusters is used, (alpha/2)^(1/K)
    away from the end; elsewhere there is no interval.

    Args:
        rows: Sufficient statistics, (K, S) float64, one row a cluster.
        statistic: From weights and rows to values.
        draws: Number of bootstrap draws.
        seed: Of the draws; equal K and seed share draws.
        level: Coverage aimed at.
        method: One of :data:`Method`; None: :func:`method_for` decides.
        bounds: Smallest and largest possible value.

    Returns:
        The interval; (None, None) with fewer than two clusters or no defined draw.
    """
    clusters = len(rows)
    method = method or method_for(clusters)
    if method == "t":
        return t_interval(rows, statistic, level=level, bounds=bounds)
    if clusters < 2:
        return Interval(None, None)
    values = np.concatenate([statistic(w, rows) for w in story_weights(clusters, draws=draws, seed=seed)])
    values = values[~np.isnan(values)]
    estimate = point(rows, statistic)
    if values.size == 0 or np.isnan(estimate):
        return Interval(None, None)
    if np.ptp(values) <= 1e-12:
        return interval_without_spread(estimate, clusters, level, bounds)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method != "percentile":
        z = norm.ppf(tails)
        if method == "bca_t":
            z = np.sqrt(clusters / (clusters - 1)) * t.ppf(tails, clusters - 1)
        tails = _bca_levels(values, estimate, leave_one_out(rows, statistic), z)
    low, high = np.quantile(values, tails)
    return Interval(float(low), float(high))


def paired_difference(
    rows_a: Array, rows_b: Array, statistic: Statistic, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> Difference:
    """Return ``statistic(b) - statistic(a)`` with its interval; both models see the same draws.

    Args:
        rows_a: (K, S) of the base model.
        rows_b: (K, S) of the other; row k belongs to the same cluster as row k of ``rows_a``.
        statistic: As for :func:`interval`.
        draws: Number of bootstrap draws.
        seed: Of the draws.
        level: Coverage aimed at.

    Returns:
        The difference; an interval of width 0 if it is the same without any one cluster, None for its ends where it
        cannot be known, as when all rests on one cluster.

    Raises:
        ValueError: If the shapes differ.
    """
    if rows_a.shape != rows_b.shape:
        raise ValueError(f"paired rows differ in shape: {rows_a.shape} and {rows_b.shape}")
    width = rows_a.shape[1]

    def difference(weights: Array, rows: Array) -> Array:
        return statistic(weights, rows[:, width:]) - statistic(weights, rows[:, :width])

    both = np.concatenate([rows_a, rows_b], axis=1)  # (K, 2 S)
    both = both[both.any(axis=1)]  # a cluster with nothing to count changes no value and tells nothing of the spread
    found = interval(both, difference, draws=draws, seed=seed, level=level)
    value = point(both, difference)
    if found.low is None and len(both) >= 2 and np.ptp(leave_one_out(both, difference)) <= NO_SPREAD:
        return Difference(value, value, value)  # no cluster differs from the others
    return Difference(value, found.low, found.high)


def _bca_levels(values: Array, estimate: float, left_out: Array, z: Array) -> Array:
    """Return bias-corrected and accelerated levels of the normal quantiles ``z``; the plain ones where undefined."""
    close = 1e-12 * max(1.0, abs(estimate))  # sums of other order must not break a tie
    below = np.mean(values < estimate - close) + 0.5 * np.mean(np.abs(values - estimate) <= close)
    plain = norm.cdf(z)
    if not 0 < below < 1:
        return plain
    left_out = left_out[~np.isnan(left_out)]
    u = left_out.mean() - left_out if left_out.size else np.zeros(1)
    spread = np.sum(u**2) ** 1.5
    acceleration = np.sum(u**3) / (6 * spread) if spread > 0 else 0.0
    z0 = norm.ppf(below)
    scale = 1 - acceleration * (z0 + z)
    if np.any(scale <= 0):
        return plain
    return norm.cdf(z0 + (z0 + z) / scale)
