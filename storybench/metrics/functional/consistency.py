"""Are the facts that no caption tells kept from frame to frame: a scarf's colour, the weather, a wall?

For each story and each detail that is visible, in truth, in two or more frames, consecutive visible occurrences form
pairs. A pair agrees if the evaluator reads the same value in both generated frames; a detail it does not find agrees
with nothing, so a missing character lowers the score instead of vanishing from it.

Agreement is corrected for chance by the model's own habits: how often readings of the *same* detail agree between
*different* stories. A model that always paints the same colour, or the same colour for each character, earns 0.

Legend of shapes: B draws, K stories, D details; V values of all details, laid out one detail after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from storybench.statistics.bootstrap import divide

Array = np.ndarray


@dataclass(frozen=True)
class DetailSpace:
    """The details a perceiver can read: keys in a fixed order, the values of each, and the type each belongs to."""

    values: tuple[tuple[str, tuple[str, ...]], ...]  # (key, its values)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Detail keys such as ``scarf:Zara``."""
        return tuple(key for key, _ in self.values)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Detail types such as ``scarf``, sorted."""
        return tuple(sorted({key.split(":")[0] for key in self.keys}))

    @cached_property
    def key_type(self) -> Array:
        """Type index of each key, (D,)."""
        return np.array([self.types.index(key.split(":")[0]) for key in self.keys], dtype=np.int64)

    @cached_property
    def value_key(self) -> Array:
        """Key index of each value column, (V,)."""
        return np.repeat(np.arange(len(self.values)), [len(options) for _, options in self.values])

    @cached_property
    def column(self) -> dict[tuple[str, str], int]:
        """Value column of (key, value)."""
        return {pair: i for i, pair in enumerate((key, v) for key, options in self.values for v in options)}

    @property
    def width(self) -> int:
        """Sums a story has: pairs, agreeing pairs and pairs with both found per key, then readings per value."""
        return 3 * len(self.keys) + len(self.value_key)


def detail_row(space: DetailSpace, gold: Sequence[Mapping[str, str]], read: Sequence[Mapping[str, str]]) -> Array:
    """Return the sums of one story, (3 D + V,) float64.

    Args:
        space: Keys and values counted.
        gold: Visible details of each true frame.
        read: Details the evaluator reads in each generated frame.
    """
    d = len(space.keys)
    row = np.zeros(space.width)
    for i, key in enumerate(space.keys):
        seen = [frame.get(key) for truth, frame in zip(gold, read, strict=True) if key in truth]
        if len(seen) < 2:
            continue
        for value in seen:
            if value is not None:
                row[3 * d + space.column[key, value]] += 1
        for before, after in pairwise(seen):
            row[i] += 1
            row[d + i] += before is not None and before == after
            row[2 * d + i] += before is not None and after is not None
    return row


def detail_agreement(weights: Array, rows: Array, space: DetailSpace) -> tuple[Array, Array, Array]:
    """Return pairs, agreeing pairs and agreement expected by chance, each (B, D).

    Chance for a key is the share of its pairs with both readings found, times the probability that readings from two
    different stories agree; a key read in one story only borrows the probability of its type. NaN where the type is
    read in one story only, too: nothing is known of chance.
    """
    d = len(space.keys)
    sums = weights @ rows  # (B, 3 D + V)
    readings = rows[:, 3 * d :]  # (K, V)
    in_key = (space.value_key[:, None] == np.arange(d)).astype(np.float64)  # (V, D)
    in_type = (space.key_type[:, None] == np.arange(len(space.types))).astype(np.float64)  # (D, types)
    squared = weights**2
    total = readings @ in_key  # (K, D)
    same = (sums[:, 3 * d :] ** 2 - squared @ readings**2) @ in_key
    every = (sums[:, 3 * d :] @ in_key) ** 2 - squared @ total**2
    of_type = divide(same @ in_type, every @ in_type)  # (B, types)
    probability = np.where(every > 0.5, divide(same, every), of_type[:, space.key_type])
    found = sums[:, 2 * d : 3 * d]  # pairs with both readings
    return sums[:, :d], sums[:, d : 2 * d], np.where(found > 0, found * probability, 0.0)


def kappa_by_type(weights: Array, rows: Array, space: DetailSpace) -> tuple[Array, Array]:
    r"""Return :math:`\kappa = (p_o - p_e) / (1 - p_e)` and the pairs of each type, both (B, types).

    Sums are pooled over the keys of a type before dividing. A reader of constants has p_o = p_e = 1 and gets 0; a type
    without pairs, or read in one story only, is NaN.
    """
    in_type = (space.key_type[:, None] == np.arange(len(space.types))).astype(np.float64)
    pairs, agree, expected = detail_agreement(weights, rows, space)
    unknown = np.isnan(expected) @ in_type > 0  # (B, types)
    pairs, agree, expected = pairs @ in_type, agree @ in_type, np.nan_to_num(expected) @ in_type
    room = pairs - expected
    kappa = np.where(room > 1e-9 * np.maximum(pairs, 1), divide(agree - expected, room), 0.0)
    return np.where((pairs > 0) & ~unknown, kappa, np.nan), pairs


def detail_kappa(weights: Array, rows: Array, space: DetailSpace) -> Array:
    """Return the mean of the types' kappas weighted by their pairs, (B,).

    NaN without a pair whose chance is known, so for any one story alone.
    """
    kappa, pairs = kappa_by_type(weights, rows, space)
    comparable = (weights > 0).sum(1, keepdims=True) > 1  # (B, 1)
    pairs = np.where(np.isnan(kappa) | ~comparable, 0.0, pairs)
    return divide((np.nan_to_num(kappa) * pairs).sum(1), pairs.sum(1))


def detail_consistency(
    space: DetailSpace, stories: Sequence[tuple[Sequence[Mapping[str, str]], Sequence[Mapping[str, str]]]]
) -> float:
    """Return the chance-corrected agreement over stories given as (gold, read) details per frame."""
    if not stories:
        return float("nan")
    rows = np.stack([detail_row(space, gold, read) for gold, read in stories])
    return float(detail_kappa(np.ones((1, len(rows))), rows, space)[0])
