"""Rank sets: the ranks a model may truly have, given which differences are established."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple


class RankSet(NamedTuple):
    """Best and worst rank that the comparisons allow; models with equal sets are tied."""

    best: int
    worst: int

    def __str__(self) -> str:
        """Return ``2`` or ``1-3``, as a board prints it."""
        return str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"


def rank_sets(models: Sequence[str], better: Collection[tuple[str, str]]) -> dict[str, RankSet]:
    """Return for each of N models 1 + #significantly better .. N - #significantly worse (metrics.md 7).

    Args:
        models: Names, each once.
        better: Pairs (winner, loser) of established differences.

    Raises:
        ValueError: If a name is twice in ``models``, a pair names another model, or two models beat each other.
    """
    names, wins = set(models), set(better)
    if len(names) != len(models):
        raise ValueError(f"models are named twice: {sorted(m for m in names if models.count(m) > 1)}")
    for winner, loser in sorted(wins):
        if winner not in names or loser not in names or winner == loser:
            raise ValueError(f"({winner!r}, {loser!r}) is not a pair of the models {sorted(names)}")
        if (loser, winner) in wins:
            raise ValueError(f"{winner!r} and {loser!r} are each said to be better than the other")
    return {
        m: RankSet(1 + sum(loser == m for _, loser in wins), len(models) - sum(winner == m for winner, _ in wins))
        for m in models
    }
