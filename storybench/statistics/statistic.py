"""What a metric is to the statistics: sums per cluster, and a function of their weighted totals.

A row holds the sufficient statistics of one cluster; a weight says how often the cluster counts. Weights of 1 give the
estimate, whole numbers a bootstrap draw, a single 0 the estimate without that cluster.

Legend of shapes: B draws, K clusters, S sums a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

CHUNK = 1_000  # weights held at once; a constant, so that memory settings never change the numbers
LEVEL = 0.95

Array = np.ndarray
Statistic = Callable[[Array, Array], Array]  # weights (B, K) and rows (K, S) -> values (B,), NaN where undefined


class Interval(NamedTuple):
    """Ends of a confidence interval; both None when it is undefined."""

    low: float | None
    high: float | None


def ratio(numerator: int = 0, denominator: int = 1) -> Statistic:
    """Return the statistic "weighted sum of one column over that of another"."""

    def statistic(weights: Array, rows: Array) -> Array:
        sums = weights @ rows[:, [numerator, denominator]]  # (B, 2)
        return divide(sums[:, 0], sums[:, 1])

    return statistic


def divide(numerator: Array, denominator: Array) -> Array:
    """Return the quotient, NaN where the denominator is 0: missing is not zero."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) != 0)


def point(rows: Array, statistic: Statistic) -> float:
    """Return the statistic of all clusters, each once."""
    return float(statistic(np.ones((1, len(rows))), rows)[0])


def leave_one_out(rows: Array, statistic: Statistic) -> Array:
    """Return the statistic without each cluster in turn, (K,); at most 1,000 x K weights exist at once."""
    out = []
    for start in range(0, len(rows), CHUNK):
        left = np.arange(start, min(start + CHUNK, len(rows)))
        weights = np.ones((len(left), len(rows)))
        weights[np.arange(len(left)), left] = 0.0
        out.append(statistic(weights, rows))
    return np.concatenate(out)


def interval_without_spread(
    estimate: float, clusters: int, level: float, bounds: tuple[float, float] | None
) -> Interval:
    """Return an interval for a value that is the same whichever clusters are drawn.

    At an end of ``bounds`` it is the exact binomial bound for K clusters, (alpha/2)^(1/K) away from the end; elsewhere
    such data say nothing of the spread and there is no interval.
    """
    if bounds is None:
        return Interval(None, None)
    low, high = bounds
    span = high - low if np.isfinite(high - low) else 1.0  # kappas: from chance to perfect
    reach = span * (1 - ((1 - level) / 2) ** (1 / clusters))
    if np.isclose(estimate, high, atol=1e-12):
        return Interval(high - reach, high)
    if np.isclose(estimate, low, atol=1e-12):
        return Interval(low, low + reach)
    return Interval(None, None)
