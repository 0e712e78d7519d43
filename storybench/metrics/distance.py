"""Antecedent accuracy taken apart: by how far back the antecedent was last named, and by pronoun.

A table here stands beside a score, it is no score: its intervals take fewer draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from storybench.coreference.chance import OTHER_CLASS, pronoun_class
from storybench.metrics.functional.reference import half_life, logit_slope
from storybench.statistics import bootstrap
from storybench.story import Mention

Array = np.ndarray
Part = dict[str, float | int | None]
DETAIL_DRAWS = 2_000
SINGULAR = ("she", "he", "it", "they", OTHER_CLASS)
SEVERAL = ("they:several", f"{OTHER_CLASS}:several")


@dataclass(frozen=True)
class Strata:
    """A way to sort mentions; a mention in none of ``names`` counts in the score and in no stratum."""

    names: tuple[str, ...]
    of: Callable[[Mention], str]

    @property
    def width(self) -> int:
        """Sums a story has."""
        return 2 * len(self.names)

    def row(self, scored: Iterable[tuple[Mention, int]]) -> Array:
        """Return hits of each stratum, then characters referred to, (2 * names,) float64.

        Args:
            scored: Mentions, and how many of the characters of each are seen.
        """
        sums = np.zeros((2, len(self.names)))
        for mention, hits in scored:
            name = self.of(mention)
            if name in self.names:
                sums[:, self.names.index(name)] += hits, len(mention.characters)
        return sums.ravel()

    def table(self, rows: Array) -> dict[str, Part]:
        """Return stratum -> accuracy from the rows of all clusters, (K, 2 * names), without empty strata."""
        size = len(self.names)
        parts = {name: share(rows, i, size + i) for i, name in enumerate(self.names)}
        return {name: part for name, part in parts.items() if part["n"]}


def _pronoun(mention: Mention) -> str:
    kind = pronoun_class(mention).split(":")[0]
    if len(mention.characters) == 1:
        return kind
    return SEVERAL[0] if kind == "they" else SEVERAL[1]


MAX_DISTANCE = 8  # both rules of reference stop at 4; a longer one of another data set is in the score alone
BY_DISTANCE = Strata(tuple(str(d) for d in range(1, MAX_DISTANCE + 1)), lambda mention: str(mention.distance))
BY_PRONOUN = Strata((*SINGULAR, *SEVERAL), _pronoun)


def share(rows: Array, numerator: int, denominator: int) -> Part:
    """Return one column over another with its interval over clusters, as ``value``, ``low``, ``high`` and ``n``.

    Clusters with nothing to count are left out: where all others agree, the interval depends on how many there are.
    """
    statistic = bootstrap.ratio(numerator, denominator)
    rows = rows[rows[:, denominator] > 0]
    n = int(rows[:, denominator].sum())
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = bootstrap.interval(rows, statistic, draws=DETAIL_DRAWS, bounds=(0.0, 1.0))
    return {"value": bootstrap.point(rows, statistic), "low": low, "high": high, "n": n}


def distance_summary(sums: Array, chance: float | None) -> tuple[float | None, float | None]:
    """Return the slope of logit AA(d) per frame and the half-life in frames, from the sums of :data:`BY_DISTANCE`.

    Args:
        sums: (2 * distances,) hits, then characters referred to.
        chance: Hit rate of the best history-blind guess; without it there is no half-life.
    """
    distances = np.arange(1, MAX_DISTANCE + 1)
    hits, totals = sums.reshape(2, MAX_DISTANCE)
    slope = logit_slope(distances, hits, totals)
    return slope, None if chance is None else half_life(distances, hits, totals, chance)
