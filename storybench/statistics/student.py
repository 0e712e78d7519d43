"""Cluster-robust standard error and t interval: what is used where clusters are too few for a bootstrap.

With K = 17 episodes the draws of a bootstrap vary too little and its intervals cover too seldom; a t quantile with
K - 1 degrees of freedom mends that. For a value between finite bounds the interval is built on the logit scale and
carried back, so it stays between them and is longer on the side that has room: near an end the plain one covers too
seldom.
``benchmarks/interval_coverage.py`` measures both claims.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit
from scipy.stats import t

from storybench.statistics.statistic import (
    LEVEL,
    Array,
    Interval,
    Statistic,
    interval_without_spread,
    leave_one_out,
    point,
)

NO_SPREAD = 1e-12


def standard_error(rows: Array, statistic: Statistic) -> float:
    r"""Return the cluster-robust standard error of ``statistic``, NaN with fewer than two clusters.

    .. math::
        SE^2 = \frac{K}{K-1} \sum_k u_k^2, \qquad u_k = \frac{K-1}{K} (\bar\theta_{(\cdot)} - \theta_{(-k)})

    The influence :math:`u_k` of a cluster comes from leaving it out, so any statistic of weighted rows has one. For a
    mean over equal clusters this is the textbook value; clusters of unequal size make it a little larger than the
    linearised one, which is too small for few of them.

    Args:
        rows: Sufficient statistics, (K, S) float64, one row a cluster.
        statistic: From weights and rows to values.

    Reference:
        metrics.md 7; MacKinnon, Nielsen and Webb 2023, "Cluster-robust inference: a guide", CV3.
    """
    if len(rows) < 2:
        return float("nan")
    without = leave_one_out(rows, statistic)
    without = without[~np.isnan(without)]
    k = len(without)
    if k < 2:
        return float("nan")
    influence = (k - 1) / k * (without.mean() - without)
    return float(np.sqrt(k / (k - 1) * np.sum(influence**2)))


def t_interval(
    rows: Array, statistic: Statistic, *, level: float = LEVEL, bounds: tuple[float, float] | None = None
) -> Interval:
    """Return the cluster-robust t interval with K - 1 degrees of freedom.

    Args:
        rows: Sufficient statistics, (K, S) float64, one row a cluster.
        statistic: From weights and rows to values.
        level: Coverage aimed at.
        bounds: Smallest and largest possible value; the interval never leaves them.

    Returns:
        The interval; (None, None) with fewer than two clusters or an undefined value.
    """
    if len(rows) < 2 or np.isnan(estimate := point(rows, statistic)):
        return Interval(None, None)
    error = standard_error(rows, statistic)
    if np.isnan(error):
        return Interval(None, None)
    if error <= NO_SPREAD:
        return interval_without_spread(estimate, len(rows), level, bounds)
    reach = error * t.ppf((1 + level) / 2, len(rows) - 1)
    low, high = bounds or (-np.inf, np.inf)
    if np.isfinite(high - low) and low < estimate < high:
        share = (estimate - low) / (high - low)
        step = reach / ((high - low) * share * (1 - share))  # d logit(p) = dp / p (1 - p)
        ends = low + (high - low) * expit(logit(share) + np.array([-step, step]))
        return Interval(float(ends[0]), float(ends[1]))
    return Interval(float(max(estimate - reach, low)), float(min(estimate + reach, high)))
