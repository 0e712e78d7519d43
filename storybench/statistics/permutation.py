"""Swap test of two models: if neither is better, their results on a cluster could as well have been exchanged.

Exact over all 2^K ways to exchange up to K = 17 clusters, drawn by seed beyond. Holds for any statistic of weighted
rows, ratios of sums included; what is exchanged is a whole cluster, so dependence inside it does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from storybench.statistics.draws import DRAWS
from storybench.statistics.statistic import CHUNK, Array, Statistic, point

EXACT = 17  # clusters: 131,072 patterns (metrics.md 7)


class SwapTest(NamedTuple):
    """Two-sided p-value, how many patterns it rests on, and whether those are all there are."""

    p_value: float
    patterns: int
    is_exact: bool


def swap_test(rows_a: Array, rows_b: Array, statistic: Statistic, *, draws: int = DRAWS, seed: int = 0) -> SwapTest:
    """Return the p-value of ``statistic(b) - statistic(a)`` when the models' rows are exchanged cluster by cluster.

    Args:
        rows_a: (K, S) of the base model.
        rows_b: (K, S) of the other; row k belongs to the same cluster as row k of ``rows_a``.
        statistic: From weights (B, K) and rows (K, S) to values (B,).
        draws: Patterns drawn for more than 17 clusters; the observed one is counted with them, so p is never 0.
        seed: Of the patterns.

    Returns:
        The test; NaN where the observed difference is undefined. A pattern with an undefined difference counts as
        extreme, against the claim that the models differ.

    Raises:
        ValueError: If the shapes differ.
    """
    if rows_a.shape != rows_b.shape:
        raise ValueError(f"paired rows differ in shape: {rows_a.shape} and {rows_b.shape}")
    clusters = len(rows_a)
    exact = clusters <= EXACT
    observed = point(rows_b, statistic) - point(rows_a, statistic) if clusters else float("nan")
    if np.isnan(observed):
        return SwapTest(float("nan"), 0, exact)
    both = np.concatenate([rows_a, rows_b])  # (2 K, S)
    bar = abs(observed) - 1e-12 * max(1.0, abs(observed))  # sums of other order must not break a tie
    extreme = 0
    for swapped in _all_patterns(clusters) if exact else _drawn_patterns(clusters, draws, seed):
        kept = 1.0 - swapped
        values = statistic(np.hstack([swapped, kept]), both) - statistic(np.hstack([kept, swapped]), both)  # (B,)
        extreme += int(np.sum(~(np.abs(values) < bar)))
    if exact:
        return SwapTest(extreme / 2 ** (clusters - 1), 2**clusters, True)
    return SwapTest((1 + extreme) / (1 + draws), draws, False)


def _all_patterns(clusters: int) -> Iterator[Array]:
    """Yield patterns (B, K) that leave the last cluster alone: the other half are their mirror images."""
    for start in range(0, 2 ** (clusters - 1), CHUNK):
        numbers = np.arange(start, min(start + CHUNK, 2 ** (clusters - 1)))
        yield ((numbers[:, None] >> np.arange(clusters)) & 1).astype(np.float64)


def _drawn_patterns(clusters: int, draws: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        yield rng.integers(0, 2, (min(CHUNK, draws - start), clusters)).astype(np.float64)
