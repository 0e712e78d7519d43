"""How consistent is a story, on a scale whose ends are measured: true stories 1, strangers 0?

A raw mean similarity rewards frozen frames. Here a model that is more alike than the truth loses as much as one that is
less alike, and the scale says what a number means. Values are never clipped (metrics.md 4.1).

Legend of shapes: B draws, K clusters. A cluster has six sums: similarity and pairs of generated, of true, and of
strangers' frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from storybench.statistics.bootstrap import divide

Array = np.ndarray
SUMS = 6
SEPARATION_SE = 2.0  # metrics.md 4.1: closer ends than this many standard errors make no scale


class Ends(NamedTuple):
    """Mean pair similarities, each (B,) or a number."""

    generated: Array
    real: Array
    floor: Array


def calibrated_consistency(generated: Array | float, real: Array | float, floor: Array | float) -> Array:
    r"""Return :math:`CC = 1 - |1 - (q_{gen} - q_{floor}) / (q_{real} - q_{floor})|`, NaN if both ends are equal.

    1 for the similarity of true stories, 0 for that of strangers; twice as far from the floor as the truth is 0 again.

    Reference:
        metrics.md 4.1.
    """
    top, span = np.subtract(generated, floor), np.subtract(real, floor)
    return 1.0 - np.abs(1.0 - divide(top, span))


def mean_similarities(weights: Array, rows: Array) -> Ends:
    """Return the three means for weights (B, K) of rows (K, >= 6); NaN without a pair."""
    sums = weights @ rows[:, :SUMS]  # (B, 6)
    return Ends(*(divide(sums[:, k], sums[:, k + 1]) for k in (0, 2, 4)))


def separation_error(rows: Array) -> float:
    """Return the standard error over clusters of ``q_real - q_floor``, rows (K, >= 6); NaN for fewer than two.

    The two are ratios of sums over the same clusters, so the error is that of their linearised difference.
    """
    clusters = len(rows)
    total = rows.sum(0)
    if clusters < 2 or total[3] == 0 or total[5] == 0:
        return float("nan")
    real = (rows[:, 2] - total[2] / total[3] * rows[:, 3]) / total[3]  # (K,)
    floor = (rows[:, 4] - total[4] / total[5] * rows[:, 5]) / total[5]
    return float(np.sqrt(clusters / (clusters - 1) * np.sum((real - floor) ** 2)))
