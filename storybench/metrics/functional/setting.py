"""Where the picture plays: the likeliest place, and the published multi-label form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storybench.statistics.bootstrap import divide

Array = np.ndarray
MIN_GOLD = 10  # frames that a setting needs to count in the macro mean (metrics.md 2)


def setting_accuracy(predicted: Sequence[str], expected: Sequence[str]) -> float:
    """Return the share of frames whose setting is the expected one (BG-Acc v1); NaN without frames."""
    hits = [p == e for p, e in zip(predicted, expected, strict=True)]
    return sum(hits) / len(hits) if hits else float("nan")


def setting_exact(predicted: Sequence[frozenset[str]], expected: Sequence[str]) -> float:
    """Return the published BG-Acc: the share of frames whose rounded sigmoids are exactly the expected one.

    A frame with no logit above 0 is wrong.

    Reference:
        metrics.md 2; StoryGPT-V eval/eval_cls.py.
    """
    hits = [p == {e} for p, e in zip(predicted, expected, strict=True)]
    return sum(hits) / len(hits) if hits else float("nan")


def macro_f1_of_settings(sums: Array, gold: Array | None = None, least: int = MIN_GOLD) -> Array:
    """Return the mean F1 of the settings with ``least`` or more gold frames, from sums (..., S, 3) of tp, fp, fn.

    Args:
        sums: Of all frames, or of draws from them.
        gold: Gold frames of each setting among all frames, (S,): which settings count must not change from draw to
            draw, or the interval measures that. By default those of ``sums``.
        least: Gold frames that a setting needs.
    """
    tp, fp, fn = np.moveaxis(sums, -1, 0)  # (..., S)
    counted = ((tp + fn if gold is None else gold) >= least) & (tp + fn > 0)
    each = np.where(counted, divide(2 * tp, 2 * tp + fp + fn), 0.0)
    return divide(each.sum(-1), counted.sum(-1))
