"""Who is in the picture: exact set, F1, right number of each.

All functions take instance counts, (N, K) integers for N frames and K characters, clipped where the evaluator stops
counting.
"""

from __future__ import annotations

import numpy as np

from storybench.statistics.bootstrap import divide

Array = np.ndarray


def set_is_exact(predicted: Array, expected: Array) -> Array:
    r"""Return whether exactly the expected are seen, :math:`1[\hat C = C]`, (N,) bool."""
    return np.all((predicted > 0) == (expected > 0), axis=-1)


def exact_set_accuracy(predicted: Array, expected: Array) -> float:
    r"""Return Char-Acc, the mean of :math:`1[\hat C = C]` over frames. Two of the same character pass."""
    return float(set_is_exact(predicted, expected).mean()) if len(expected) else float("nan")


def counts_are_exact(predicted: Array, expected: Array, limit: int = 2) -> Array:
    """Return whether every character is seen as often as expected, (N,) bool; counts above ``limit`` are equal."""
    return np.all(np.minimum(predicted, limit) == np.minimum(expected, limit), axis=-1)


def count_accuracy(predicted: Array, expected: Array, limit: int = 2) -> float:
    """Return the share of frames in which the number of instances of every character is right."""
    return float(counts_are_exact(predicted, expected, limit).mean()) if len(expected) else float("nan")


def confusion(predicted: Array, expected: Array) -> Array:
    """Return true positives, false positives, false negatives per frame and character, (N, K, 3) float64."""
    seen, gold = predicted > 0, expected > 0
    return np.stack([seen & gold, seen & ~gold, ~seen & gold], axis=-1).astype(np.float64)


def spurious(predicted: Array, expected: Array) -> Array:
    r"""Return how many are seen that are not expected, :math:`|\hat C \setminus C|`, (N,); also of empty frames."""
    return ((predicted > 0) & (expected == 0)).sum(axis=-1)


def missing(predicted: Array, expected: Array) -> Array:
    r"""Return how many are expected that are not seen, :math:`|C \setminus \hat C|`, (N,)."""
    return ((predicted == 0) & (expected > 0)).sum(axis=-1)


def count_error(predicted: Array, expected: Array) -> Array:
    r"""Return :math:`\left| |\hat C| - |C| \right|`, (N,): how far off the number of different characters is."""
    return np.abs((predicted > 0).sum(axis=-1) - (expected > 0).sum(axis=-1))


def precision_recall(sums: Array) -> tuple[Array, Array]:
    """Return precision and recall from sums (..., 3) of tp, fp, fn; NaN for 0/0."""
    tp, fp, fn = np.moveaxis(sums, -1, 0)
    return divide(tp, tp + fp), divide(tp, tp + fn)


def micro_f1(sums: Array) -> Array:
    r"""Return :math:`2TP / (2TP + FP + FN)` from sums (..., K, 3), pooled over characters; NaN for 0/0."""
    tp, fp, fn = np.moveaxis(sums.sum(axis=-2), -1, 0)
    return divide(2 * tp, 2 * tp + fp + fn)


def macro_f1(sums: Array) -> Array:
    """Return the mean over characters with a gold frame of their F1, from sums (..., K, 3); NaN without any."""
    tp, fp, fn = np.moveaxis(sums, -1, 0)  # (..., K)
    gold = (tp + fn) > 0
    each = np.where(gold, divide(2 * tp, 2 * tp + fp + fn), 0.0)
    return divide(each.sum(-1), gold.sum(-1))


def character_f1(predicted: Array, expected: Array, average: str = "micro") -> float:
    """Return the F1 of the characters seen, ``micro`` (pooled, the published convention) or ``macro``.

    Reference:
        metrics.md 2; StoryGPT-V eval/eval_cls.py:67-111.
    """
    sums = confusion(predicted, expected).sum(axis=0)
    return float(micro_f1(sums) if average == "micro" else macro_f1(sums))
