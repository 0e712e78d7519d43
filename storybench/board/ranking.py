"""Ranks of a board's rows under one metric, as far as the data establish them.

Two rows differ where the paired difference of their jackknives is significant after Holm's correction over all pairs
(metrics.md 7). A row then has the set of ranks that these differences leave open, such as ``1-3``. Rows that left out
other clusters than most cannot be paired: they get no rank, and a reason. Its cost is one matrix product and one sort,
so that a board of a thousand rows is ranked in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from storybench.statistics.comparisons import ALPHA, holm
from storybench.statistics.left_out import LeftOut, are_paired, pairwise_p_values
from storybench.statistics.ranks import RankSet
from storybench.statistics.statistic import Array


class Ranking(NamedTuple):
    """The rank set of every row that could be ranked, and in words why others could not."""

    ranks: dict[str, RankSet]
    unranked: dict[str, str]


def rank_rows(rows: Mapping[str, LeftOut], *, higher_is_better: bool, alpha: float = ALPHA) -> Ranking:
    """Return the rank set of every row under one metric.

    A row's place by value alone always lies within its set: whoever is significantly better has the better value.

    Args:
        rows: Row -> the metric without each cluster.
        higher_is_better: Direction of the metric.
        alpha: Probability of one or more false differences among all pairs.
    """
    unranked = {name: "has no value" for name, row in rows.items() if np.isnan(row.value)}
    usable = {name: row for name, row in rows.items() if name not in unranked}
    alike = _largest_group(usable)
    unranked |= {name: "was scored on other clusters than most rows" for name in usable if name not in alike}
    if not alike:
        return Ranking({}, unranked)
    better = significantly_better({n: usable[n] for n in alike}, higher_is_better=higher_is_better, alpha=alpha)
    best = 1 + better.sum(0)  # (n,), those that beat each row
    worst = len(alike) - better.sum(1)  # (n,), those that each row beats
    return Ranking({name: RankSet(int(best[k]), int(worst[k])) for k, name in enumerate(alike)}, unranked)


def significantly_better(rows: Mapping[str, LeftOut], *, higher_is_better: bool, alpha: float = ALPHA) -> Array:
    """Return (n, n) booleans: whether row i is better than row j, Holm over all pairs of rows.

    Raises:
        ValueError: If the rows did not all leave out the same clusters.
    """
    p = pairwise_p_values(rows)  # (n, n)
    above = np.triu_indices(len(p), k=1)
    adjusted = np.ones_like(p)
    adjusted[above] = np.nan_to_num(holm(p[above].tolist()), nan=1.0)
    adjusted = np.minimum(adjusted, adjusted.T)
    value = np.array([row.value for row in rows.values()]) * (1 if higher_is_better else -1)
    better: Array = (adjusted <= alpha) & (value[:, None] > value[None, :])
    return better


def _largest_group(rows: Mapping[str, LeftOut]) -> list[str]:
    """Return the rows that left out the same clusters as most rows did, in the given order."""
    kinds: list[LeftOut] = []
    kind_of: dict[str, int] = {}
    for name, row in rows.items():
        found = next((k for k, kind in enumerate(kinds) if are_paired(kind, row)), None)
        if found is None:
            kinds.append(row)
            found = len(kinds) - 1
        kind_of[name] = found
    if not kind_of:
        return []
    counts = Counter(kind_of.values())
    most = max(counts, key=lambda kind: (counts[kind], -kind))
    return [name for name, kind in kind_of.items() if kind == most]
