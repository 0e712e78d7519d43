"""Delete-a-group jackknife: bias and standard error where a bootstrap distorts, as for Fréchet distances.

Two corrections of bias. The first-order one removes what falls as 1/n; that is not enough where n is only a few times
the width of the features. The second-order one removes 1/n and 1/n^2 by also looking at halves of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t

Floats = Sequence[float] | np.ndarray
Integers = Sequence[int] | np.ndarray
SPLITS = 4  # ways to halve; their mean is less noisy than one


class Jackknife(NamedTuple):
    """Bias-corrected estimate and standard error."""

    corrected: float
    standard_error: float


def delete_group_jackknife(value: float, left_out: Floats, sizes: Integers) -> Jackknife:
    r"""Return the delete-m jackknife for groups of unequal size.

    .. math::
        \theta_{bc} = g\theta - \sum_j (1 - n_j/n)\,\theta_{(-j)}, \qquad
        SE^2 = \frac1g \sum_j \frac{(h_j\theta - (h_j-1)\theta_{(-j)} - \theta_{bc})^2}{h_j - 1}, \quad h_j = n / n_j

    Args:
        value: The statistic of all data.
        left_out: The statistic without group j, for each of g >= 2 groups.
        sizes: n_j, units in group j.

    Raises:
        ValueError: With fewer than two groups, or lists of different length.

    Reference:
        Busing, Meijer and van der Leeden 1999; metrics.md 5.3.
    """
    without = np.asarray(left_out, dtype=np.float64)
    n_j = np.asarray(sizes, dtype=np.float64)
    if without.shape != n_j.shape or without.size < 2:
        raise ValueError(f"expected two or more groups with a size each, got {without.size} values, {n_j.size} sizes")
    groups, share = without.size, n_j / n_j.sum()
    corrected = groups * value - np.sum((1 - share) * without)
    h = 1 / share
    pseudo = h * value - (h - 1) * without
    variance = np.mean((pseudo - corrected) ** 2 / (h - 1))
    return Jackknife(float(corrected), float(np.sqrt(variance)))


def second_order_jackknife(
    value: float, left_out: Floats, halves: Floats, sizes: Integers, half_sizes: Integers
) -> Jackknife:
    r"""Return the estimate without bias of orders 1/n and 1/n^2, and the delete-m standard error.

    The mean of the statistic over parts of relative size :math:`1/u` is taken as
    :math:`\theta + b_1 E u + b_2 E u^2`; all data (u = 1), all without one group (u just above 1) and halves (u about
    2) give three equations for :math:`\theta, b_1, b_2`. The standard error is that of
    :func:`delete_group_jackknife`: what varies linearly with the data enters both estimates alike.

    Args:
        value: The statistic of all data.
        left_out: The statistic without group j, for each of g >= 2 groups.
        halves: The statistic of both halves of some splits (see :func:`half_splits`).
        sizes: n_j, units in group j.
        half_sizes: Units in each half.

    Raises:
        ValueError: With fewer than two groups or halves, or lists of different length.

    Reference:
        Quenouille 1956 (second order); metrics.md 5.3.
    """
    first = delete_group_jackknife(value, left_out, sizes)
    parts, units = np.asarray(halves, dtype=np.float64), np.asarray(half_sizes, dtype=np.float64)
    if parts.shape != units.shape or parts.size < 2:
        raise ValueError(f"expected two or more halves with a size each, got {parts.size} values, {units.size} sizes")
    n = float(np.sum(sizes))
    rows, values = [[1.0, 1.0, 1.0]], [value]
    for found, size in ((np.asarray(left_out, dtype=np.float64), n - np.asarray(sizes)), (parts, units)):
        u = n / size
        rows.append([1.0, float(u.mean()), float((u**2).mean())])
        values.append(float(found.mean()))
    return Jackknife(float(np.linalg.solve(np.array(rows), np.array(values))[0]), first.standard_error)


def half_splits(groups: int, splits: int = SPLITS) -> list[np.ndarray]:
    """Return masks over groups, (groups,) bool: two complementary ones for each way to halve, which share no pattern.

    Split s puts group j by bit s of j; halves of 20 groups hold 8 to 12.
    """
    index = np.arange(groups)
    bits = max(1, min(splits, (groups - 1).bit_length() - 1))  # a higher bit would leave a half nearly empty
    masks = [(index >> s) % 2 == 0 for s in range(bits)]
    return [half for mask in masks for half in (mask, ~mask)]


def t_quantile(groups: int, level: float = 0.95) -> float:
    """Return how many jackknife standard errors an interval reaches to a side: Student's t with groups - 1 degrees."""
    return float(t.ppf((1 + level) / 2, groups - 1))


def group_indices(keys: Sequence[str] | np.ndarray, groups: int) -> np.ndarray:
    """Return a group number for every row: whole clusters together, dealt round in sorted order of their keys.

    Args:
        keys: Cluster of each row.
        groups: Wanted number; fewer are made when there are fewer clusters.
    """
    unique, inverse = np.unique(np.asarray(keys), return_inverse=True)
    return (np.arange(len(unique)) % min(groups, len(unique)))[inverse]
