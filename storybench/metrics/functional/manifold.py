"""Precision, recall, density and coverage: which frames lie within the nearest-neighbour balls of the other cloud.

Radii are distances to the k-th neighbour, the point itself not counted; a point on the rim is outside, unless the rim
is asked for (``closed``), as torch-fidelity has it. Distances are taken in blocks of rows, and for a jackknife the
four numbers without each group come from the same blocks. Legend of shapes: n generated (x), r true rows (y), D width,
g groups, b rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Array = np.ndarray
NEIGHBOURS = 5  # metrics.md 5.4
BLOCK = 2_000
SAME = 1e-12  # squared distance over squared lengths below which rows of float32 are equal; beneath it rounding decides
SPARE = 32  # neighbours listed beyond k, for when a group with some of them is left out


class PRDC(NamedTuple):
    """Four shares; density can exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


class _Tally:
    """Running counts for one set of kept rows."""

    def __init__(self, keep_x: Array, keep_y: Array, radii_x: Array, radii_y: Array, counted: Array) -> None:
        self.keep_x, self.keep_y, self.counted = keep_x, keep_y, counted
        self.radii_x = np.where(keep_x, radii_x, -1.0)  # no distance is inside a radius below 0
        self.radii_y = np.where(keep_y, radii_y, -1.0)
        self.inside, self.balls = 0, 0
        self.recalled = np.zeros(len(keep_y), dtype=bool)
        self.covered = np.zeros(len(keep_y), dtype=bool)

    def add(self, rows: slice, squares: Array, closed: bool) -> None:
        """Count a block of squared distances (b, r) of generated rows to all true ones."""
        compare = np.less_equal if closed else np.less
        in_y = compare(squares, self.radii_y[None]) & self.keep_x[rows, None]  # (b, r)
        self.inside += int((in_y.any(1) & self.counted[rows]).sum())
        self.balls += int(in_y[self.counted[rows]].sum())
        self.covered |= in_y.any(0)  # the nearest generated row is inside if any is
        self.recalled |= compare(squares, self.radii_x[rows, None]).any(0)

    def result(self, k: int) -> PRDC:
        n, r = int(self.keep_x.sum()), int(self.keep_y.sum())
        recall, coverage = (int((hit & self.keep_y).sum()) / r for hit in (self.recalled, self.covered))
        return PRDC(self.inside / n, recall, self.balls / (k * n), coverage)


def prdc(
    generated: Array, true: Array, *, k: int = NEIGHBOURS, closed: bool = False, repeats_count: bool = True
) -> PRDC:
    r"""Return precision, recall, density and coverage.

    With :math:`\rho` the distance to the k-th neighbour in its own cloud:
    P = mean over x of "some y with :math:`d < \rho(y)`", R = mean over y of "some x with :math:`d < \rho(x)`",
    D = mean over x of the number of such y, over k, C = mean over y of ":math:`\min_x d < \rho(y)`".

    Args:
        generated: x, (n, D) with n > k.
        true: y, (r, D) with r > k.
        k: Neighbours that make a radius.
        closed: Count points on the rim (``<=``; Kynkäänniemi et al. and torch-fidelity, with k = 3).
        repeats_count: Whether a generated row that repeats another adds to precision and density, as published; else
            it is counted as outside of all balls, so that nobody gains by drawing one good picture again and again.

    Raises:
        ValueError: If a side has too few rows, widths differ, or a value is not finite.

    Reference:
        Kynkäänniemi et al. 2019; Naeem et al. 2020; metrics.md 5.4.
    """
    return prdc_without_groups(generated, true, None, None, k=k, closed=closed, repeats_count=repeats_count)[0]


def prdc_without_groups(
    generated: Array,
    true: Array,
    group_x: Array | None,
    group_y: Array | None,
    *,
    k: int = NEIGHBOURS,
    closed: bool = False,
    repeats_count: bool = True,
) -> list[PRDC]:
    """Return :func:`prdc` of all rows, then without each group in turn, radii included.

    Args:
        generated: (n, D).
        true: (r, D).
        group_x: Group of each generated row, 0 .. g - 1; None for all rows only.
        group_y: The same for true rows.
        k: As for :func:`prdc`.
        closed: As for :func:`prdc`.
        repeats_count: As for :func:`prdc`.

    Raises:
        ValueError: As :func:`prdc`, also if too few rows are left without a group.
    """
    x, y = _checked(generated, true, k)
    radii_x, radii_y = radii_without_groups(x, group_x, k), radii_without_groups(y, group_y, k)
    same = np.arange(len(x)) if repeats_count else np.unique(x, axis=0, return_inverse=True)[1].ravel()
    tallies = []
    for j in range(len(radii_x)):
        keep_x, keep_y = _kept(len(x), group_x, j), _kept(len(y), group_y, j)
        tallies.append(_Tally(keep_x, keep_y, radii_x[j], radii_y[j], _first(same, keep_x)))
    for rows, squares in _blocks(x, y):
        for tally in tallies:
            tally.add(rows, squares, closed)
    return [tally.result(k) for tally in tallies]


def radii_without_groups(x: Array, group: Array | None, k: int) -> Array:
    """Return squared distances to the k-th other row, (1 + g, n): among all rows, then without each group in turn."""
    labels = np.zeros(len(x), dtype=np.int64) if group is None else np.asarray(group)
    groups = 0 if group is None else int(labels.max()) + 1
    if groups and len(x) - np.bincount(labels).max() <= k:
        raise ValueError(f"{k} neighbours need more than {k} rows in all groups but the largest")
    out = np.empty((1 + groups, len(x)))
    listed = min(k + SPARE, len(x) - 1)
    for rows, squares in _blocks(x, x):
        squares[np.arange(len(squares)), np.arange(rows.start, rows.start + len(squares))] = np.inf  # not itself
        nearest = np.argpartition(squares, listed - 1, axis=1)[:, :listed]  # (b, listed)
        distances = np.take_along_axis(squares, nearest, 1)
        order = np.argsort(distances, axis=1, kind="stable")
        distances, owners = np.take_along_axis(distances, order, 1), labels[np.take_along_axis(nearest, order, 1)]
        out[0, rows] = distances[:, k - 1]
        for j in range(groups):
            seen = (owners != j).cumsum(1) >= k  # (b, listed)
            found = np.take_along_axis(distances, seen.argmax(1)[:, None], 1)[:, 0]
            for i in np.flatnonzero(~seen[:, -1]):  # too many of the listed ones are in the group
                found[i] = np.partition(squares[i, labels != j], k - 1)[k - 1]
            out[1 + j, rows] = found
    return out


def _blocks(x: Array, y: Array) -> Iterator[tuple[slice, Array]]:
    """Yield rows of ``x`` and their squared distances to all of ``y``, (b, r)."""
    squares_x, squares_y = (x**2).sum(1), (y**2).sum(1)
    for i in range(0, len(x), BLOCK):
        rows = slice(i, min(i + BLOCK, len(x)))
        size = squares_x[rows, None] + squares_y[None]  # (b, r)
        squares = size - 2 * (x[rows] @ y.T)
        squares[squares < SAME * size] = 0.0
        yield rows, squares


def _kept(rows: int, group: Array | None, j: int) -> Array:
    """Return which rows stay when group ``j - 1`` is left out; all for ``j`` 0."""
    return np.ones(rows, dtype=bool) if j == 0 or group is None else np.asarray(group) != j - 1


def _first(same: Array, keep: Array) -> Array:
    """Return which kept rows are the first of those with their number, (n,) bool."""
    kept = np.flatnonzero(keep)
    out = np.zeros(len(same), dtype=bool)
    out[kept[np.unique(same[kept], return_index=True)[1]]] = True
    return out


def _checked(generated: Array, true: Array, k: int) -> tuple[Array, Array]:
    x, y = np.asarray(generated, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"expected rows of equal width, got {x.shape} and {y.shape}")
    if k < 1 or min(len(x), len(y)) <= k:
        raise ValueError(f"{k} neighbours need more than {k} rows on each side, got {len(x)} and {len(y)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("features hold NaN or infinity")
    centre = y.mean(0)  # a common shift changes no distance and loses fewer digits
    return x - centre, y - centre
