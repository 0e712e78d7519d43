"""Delete-a-group jackknife: bias and standard error where a bootstrap distorts, as for Fréchet distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Jackknife(NamedTuple):
    """Bias-corrected estimate and standard error."""

    corrected: float
    standard_error: float


def delete_group_jackknife(value: float, left_out: Sequence[float], sizes: Sequence[int]) -> Jackknife:
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


def group_indices(keys: Sequence[str] | np.ndarray, groups: int) -> np.ndarray:
    """Return a group number for every row: whole clusters together, dealt round in sorted order of their keys.

    Args:
        keys: Cluster of each row.
        groups: Wanted number; fewer are made when there are fewer clusters.
    """
    unique, inverse = np.unique(np.asarray(keys), return_inverse=True)
    return (np.arange(len(unique)) % min(groups, len(unique)))[inverse]
