"""Which figure of a frame is which gold character?

A Hungarian match on a classifier's probabilities without an acceptance threshold: a character drawn wrong keeps its
figure and lowers the score, instead of vanishing from it (metrics.md 4.1). Only a character for whom no figure is left
goes without one; that is what crop coverage counts.

Figures that look like none of the characters asked for are a tie, and ties are broken by a draw. Broken by
a rule, they would be the same character in every frame of a frozen picture, and consistency would be found where nobody
was drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

Array = np.ndarray
TIE_DECIMALS = 2  # a hundredth of a probability says nothing about who a figure is


def match_figures(probabilities: Array, names: Sequence[str], expected: Sequence[str], key: str = "") -> Array:
    """Return for each expected instance the index of its figure, (len(expected),) int64, -1 for none.

    The order of ``expected`` (left to right in some data sets) and of the figures decides nothing: both are sorted,
    then shuffled by ``key``.

    Args:
        probabilities: Who each figure is, (N, K), N figures and K names.
        names: The K characters that the columns speak of; a character not among them has probability 0 everywhere.
        expected: Gold instances; a name that stands twice asks for two figures.
        key: Name of the frame, the seed of the draw among ties.

    Reference:
        metrics.md 4.1.
    """
    found = np.full(len(expected), -1, dtype=np.int64)
    if not len(expected) or not len(probabilities):
        return found
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    columns = {name: k for k, name in enumerate(names)}
    by_name = [columns[name] for name in sorted(columns)]
    alike = probabilities[:, by_name].T  # (K, N)
    figures = rng.permutation(np.lexsort((np.arange(len(probabilities)), *alike[::-1])))
    slots = rng.permutation(sorted(range(len(expected)), key=lambda i: expected[i]))
    score = np.zeros((len(slots), len(figures)))
    for row, slot in enumerate(slots):
        if expected[slot] in columns:
            score[row] = np.round(probabilities[figures, columns[expected[slot]]].astype(np.float64), TIE_DECIMALS)
    rows, chosen = linear_sum_assignment(score, maximize=True)
    found[slots[rows]] = figures[chosen]
    return found
