"""Are two pictures of the same thing more alike than two pictures of different things?

A verification score asks for the order of similarities, not for their height, so that a model which draws everything
alike scores one half and not one (metrics.md 4.1).

Legend of shapes: N items, E width of an embedding, P positive and Q negative pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray
TIE_DECIMALS = 6  # similarities that differ by less are ties: equal pictures must tie whatever the order of summation


class Pairs(NamedTuple):
    """Similarities of pairs of items from two different frames."""

    same: Array  # (P,) float64: same label, same story
    different: Array  # (Q,) float64: different labels


class Concordance(NamedTuple):
    """What the area under a curve is a ratio of; sums of these over stories give the area of a data set."""

    concordant: float  # (positive, negative) pairs in the right order, ties one half
    pairs: float


def cosines(embeddings: Array) -> Array:
    """Return the cosine of every two rows of (N, E), (N, N) float64; a row of zeros is like nothing."""
    x = np.asarray(embeddings, dtype=np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    return unit @ unit.T


def pair_similarities(embeddings: Array, labels: Array, frames: Array, stories: Array | None = None) -> Pairs:
    """Return the similarities of all pairs of items that stand in two different frames.

    Args:
        embeddings: (N, E).
        labels: Gold label of each item, (N,).
        frames: Frame of each item within its story, (N,).
        stories: Story of each item, (N,); by default one story. Items of two stories make negatives only.
    """
    label, frame = np.asarray(labels), np.asarray(frames)
    story = np.zeros(len(label), dtype=np.int64) if stories is None else np.asarray(stories)
    i, j = np.triu_indices(len(label), k=1)
    within = story[i] == story[j]
    apart = ~(within & (frame[i] == frame[j]))
    same = label[i] == label[j]
    values = cosines(embeddings)[i, j]
    return Pairs(values[same & within & apart], values[~same & apart])


def mann_whitney(positives: Array, negatives: Array) -> Concordance:
    """Return how many (positive, negative) pairs are in the right order, ties one half, and how many pairs there are.

    Args:
        positives: (P,) scores that should be high.
        negatives: (Q,) scores that should be low.
    """
    high = np.round(np.asarray(positives, dtype=np.float64), TIE_DECIMALS)
    low = np.sort(np.round(np.asarray(negatives, dtype=np.float64), TIE_DECIMALS))
    below = np.searchsorted(low, high, side="left")
    up_to = np.searchsorted(low, high, side="right")
    return Concordance(float(below.sum() + up_to.sum()) / 2, float(len(high) * len(low)))


def verification_auc(positives: Array, negatives: Array) -> float:
    """Return the area under the ROC curve of telling positives from negatives; NaN without either.

    Reference:
        Mann and Whitney 1947; metrics.md 4.1.
    """
    found = mann_whitney(positives, negatives)
    return found.concordant / found.pairs if found.pairs else float("nan")
