"""How small a difference a benchmark can show: the minimum detectable difference (metrics.md 7).

It is a property of the benchmark and of how much two models disagree, not of a result; a gap below it that is not
significant says nothing.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, t

ALPHA, POWER = 0.05, 0.8


def paired_standard_error(units: int, discordant: float, design_effect: float = 1.0) -> float:
    r"""Return :math:`\sqrt{p_d / n}` times the root of the design effect: the error of a paired difference of shares.

    It is the value when the models are equally good; a true difference d takes :math:`d^2` off :math:`p_d`.

    Args:
        units: n, frames that both models drew.
        discordant: p_d, share of them that exactly one model gets right, in [0, 1].
        design_effect: Of the clusters, see :func:`storybench.statistics.clusters.design_effect`.

    Raises:
        ValueError: If there are no units or the share is none.
    """
    if units < 1 or not 0 <= discordant <= 1:
        raise ValueError(f"expected one or more units and a share in [0, 1], got {units} and {discordant}")
    return float(np.sqrt(discordant / units * design_effect))


def minimum_detectable_difference(
    standard_error: float, clusters: int | None = None, *, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the true difference that a two-sided test finds with the given power.

    (z_{1-alpha/2} + z_power) SE, 2.8 SE at the defaults; with clusters the quantiles are those of t, K - 1 degrees of
    freedom: (2.12 + 0.865) SE for 17 episodes.

    Args:
        standard_error: Of the paired difference, see :func:`paired_standard_error`, or from the data themselves.
        clusters: K; None for independent units.
        power: Probability of finding it.
        alpha: Probability of finding a difference that is none.

    Raises:
        ValueError: If there are fewer than two clusters.
    """
    if clusters is not None and clusters < 2:
        raise ValueError(f"{clusters} clusters: two or more are needed to know an error")
    levels = np.array([1 - alpha / 2, power])
    quantiles = norm.ppf(levels) if clusters is None else t.ppf(levels, clusters - 1)
    return float(quantiles.sum() * standard_error)
