"""A metric without each of its clusters in turn: all that a paired comparison of two runs needs, and little to keep.

A record keeps it beside the scores, so that runs can be compared later without their frames, their networks or the code
of the metric: the board, the gate and other people's tools read one table of numbers. Metrics over stories leave out
one cluster at a time, distances a group of clusters; :class:`LeftOut` says which, and two runs pair only if both left
out the same.

The interval is the delete-m jackknife's, value +- t standard errors. For the metrics here it agrees with the paired
bootstrap (tests/statistics/test_left_out.py), and all pairs of a board take a matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from storybench.statistics.jackknife import delete_group_jackknife
from storybench.statistics.statistic import LEVEL, Array
from storybench.statistics.student import NO_SPREAD


class LeftOut(NamedTuple):
    """The value of one metric of one run, and its value without each unit. Shapes are (g,) for g units."""

    value: float
    units: tuple[str, ...]  # clusters, or groups of clusters, by a name that says which stories are in them
    without: Array  # NaN where the metric is undefined without the unit
    sizes: Array  # how much of the data each unit holds; all 1 for clusters that count alike


class PairedDifference(NamedTuple):
    """``new - base`` with its interval and p-value; None where the spread cannot be known."""

    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    p_value: float | None  # two-sided, that there is no difference
    units: int  # that tell of the difference


def are_paired(base: LeftOut, new: LeftOut) -> bool:
    """Return whether two runs left out the same units of the same size."""
    return base.units == new.units and np.array_equal(base.sizes, new.sizes)


def paired_difference(base: LeftOut, new: LeftOut, *, level: float = LEVEL) -> PairedDifference:
    r"""Return ``new - base``, its interval and its p-value.

    The jackknife is that of the difference: what both runs find easy or hard cancels. Units that change neither value
    tell nothing of the spread and give no degree of freedom.

    Args:
        base: Of one run.
        new: Of another on the same stories.
        level: Coverage of the interval.

    Raises:
        ValueError: If the runs left out different units.

    Reference:
        Busing, Meijer and van der Leeden 1999 (delete-m jackknife); metrics.md 5.3, "jackknife the difference".
    """
    if not are_paired(base, new):
        raise ValueError("the runs left out different units and cannot be paired")
    value = new.value - base.value
    told = ~(np.isnan(base.without) | np.isnan(new.without))
    told &= (np.abs(base.without - base.value) > NO_SPREAD) | (np.abs(new.without - new.value) > NO_SPREAD)
    units = int(told.sum())
    if np.isnan(value):
        return PairedDifference(value, None, None, None, None, units)
    if units < 2:  # nothing varies: equal runs differ by nothing, of others nothing is known
        same = abs(value) <= NO_SPREAD
        return PairedDifference(value, value, value, 0.0, 1.0, units) if same else _unknown(value, units)
    left = (new.without - base.without)[told]
    error = delete_group_jackknife(value, left, base.sizes[told]).standard_error
    if error <= NO_SPREAD:
        return PairedDifference(value, value, value, 0.0, 1.0 if abs(value) <= NO_SPREAD else 0.0, units)
    reach = float(t.ppf((1 + level) / 2, units - 1)) * error
    p_value = float(2 * t.sf(abs(value) / error, units - 1))
    return PairedDifference(value, value - reach, value + reach, error, p_value, units)


def pairwise_p_values(runs: Mapping[str, LeftOut]) -> Array:
    """Return the two-sided p-value of every pair of runs, (n, n), 1 on the diagonal; NaN where it cannot be known.

    One matrix product for all pairs, with all units' degrees of freedom: for hundreds of rows of a board.

    Raises:
        ValueError: If the runs did not all leave out the same units.
    """
    first, *others = runs.values()
    if not all(are_paired(first, other) for other in others):
        raise ValueError("the runs left out different units and cannot be paired")
    share = first.sizes / first.sizes.sum()  # (g,)
    value = np.array([run.value for run in runs.values()])  # (n,)
    without = np.stack([run.without for run in runs.values()])  # (n, g)
    without = np.where(np.isnan(without), value[:, None], without)  # an undefined one tells nothing
    # pseudo-values less their mean, times what the jackknife weighs them with: errors add as sums of products
    h = 1 / share
    pseudo = h * value[:, None] - (h - 1) * without  # (n, g)
    centred = pseudo - (len(h) * value - np.sum((1 - share) * without, axis=1))[:, None]
    influence = centred / np.sqrt(len(h) * (h - 1))
    products = influence @ influence.T  # (n, n)
    own = np.diag(products)
    error = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2 * products, 0.0))
    gap = np.abs(value[:, None] - value[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * t.sf(gap / error, len(h) - 1)
    p = np.where(error > NO_SPREAD, p, np.where(gap <= NO_SPREAD, 1.0, np.nan))
    np.fill_diagonal(p, 1.0)
    return p


def _unknown(value: float, units: int) -> PairedDifference:
    return PairedDifference(value, None, None, None, None, units)
