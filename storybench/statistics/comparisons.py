"""Which of two models is better, and by how much: paired differences, p-values, and gates.

The decision rests on the swap test over clusters with Holm's correction over all pairs of a metric; the interval of the
difference says how large it is. McNemar's p is for print only: it takes frames for independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binom

from storybench.statistics.bootstrap import Difference, paired_difference
from storybench.statistics.draws import DRAWS
from storybench.statistics.permutation import swap_test
from storybench.statistics.ranks import RankSet, rank_sets
from storybench.statistics.statistic import Array, Statistic

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two models under one metric; ``difference`` is ``other - base``."""

    base: str
    other: str
    difference: Difference
    p_value: float  # swap test, two-sided
    adjusted: float  # Holm's, over all pairs compared
    is_significant: bool

    def winner(self, *, higher_is_better: bool = True) -> str | None:
        """Return the better model, None where no difference is established."""
        if not self.is_significant or self.difference.value == 0:
            return None
        return self.other if (self.difference.value > 0) == higher_is_better else self.base


def compare_models(
    rows: Mapping[str, Array], statistic: Statistic, *, alpha: float = ALPHA, draws: int = DRAWS, seed: int = 0
) -> list[Comparison]:
    """Return the comparison of every pair of models under one metric.

    Args:
        rows: Model -> (K, S) sums per cluster; row k is the same cluster for all.
        statistic: The metric's, from weights and rows to values.
        alpha: Probability of one or more false differences among all pairs.
        draws: Of the bootstrap, and of the swap test for more than 17 clusters.
        seed: Of both.

    Raises:
        ValueError: If the shapes differ, or fewer than two models are given.
    """
    if len(rows) < 2:
        raise ValueError(f"expected two or more models to compare, got {sorted(rows)}")
    pairs = list(combinations(rows, 2))
    found = [paired_difference(rows[a], rows[b], statistic, draws=draws, seed=seed) for a, b in pairs]
    p_values = [swap_test(rows[a], rows[b], statistic, draws=draws, seed=seed).p_value for a, b in pairs]
    adjusted = holm(p_values)
    return [
        Comparison(a, b, difference, p, float(q), bool(q <= alpha))
        for (a, b), difference, p, q in zip(pairs, found, p_values, adjusted, strict=True)
    ]


def ranks_of(
    models: Sequence[str], comparisons: Sequence[Comparison], *, higher_is_better: bool = True
) -> dict[str, RankSet]:
    """Return the rank set of every model from all comparisons of one metric."""
    better = []
    for pair in comparisons:
        winner = pair.winner(higher_is_better=higher_is_better)
        if winner is not None:
            better.append((winner, pair.base if winner == pair.other else pair.other))
    return rank_sets(models, better)


def holm(p_values: Sequence[float]) -> Array:
    """Return Holm's adjusted p-values in the given order, (m,); comparing them with alpha bounds the family's error.

    A NaN (nothing to compare) stays NaN and is no member of the family.

    Reference:
        Holm 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p, kind="stable")[: int(np.sum(~np.isnan(p)))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def mcnemar(only_a: int, only_b: int) -> float:
    r"""Return the exact two-sided p of McNemar's test, :math:`\min(1, 2 P(Bin(b + c, 1/2) \le \min(b, c)))`.

    It ignores clustering: frames of a story are taken for independent, so it is too small.

    Args:
        only_a: Frames that only the first model gets right.
        only_b: Frames that only the second gets right.

    Raises:
        ValueError: If a count is negative.

    Reference:
        metrics.md 7.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts of discordant frames cannot be negative: {only_a} and {only_b}")
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def is_not_worse(difference: Difference, margin: float, *, higher_is_better: bool = True) -> bool:
    """Return whether the other model is worse by less than ``margin`` for sure: the gate of harness.md 5.

    The end of the interval on the bad side must lie above ``-margin``; an unknown interval passes no gate.

    Raises:
        ValueError: If the margin is negative.
    """
    if margin < 0:
        raise ValueError(f"a margin of {margin} is below 0: give the largest loss that does not matter")
    end = difference.low if higher_is_better else difference.high
    return end is not None and (end > -margin if higher_is_better else end < margin)


def is_equivalent(difference: Difference, margin: float) -> bool:
    """Return whether the models differ by less than ``margin`` for sure, in either direction.

    With a 95 % interval this is two one-sided tests at 2.5 % each.

    Raises:
        ValueError: If the margin is negative.
    """
    return is_not_worse(difference, margin) and is_not_worse(difference, margin, higher_is_better=False)
