"""Character metrics over stories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional import characters as functional
from storybench.metrics.functional.setting import setting_accuracy
from storybench.metrics.record import FrameRecord
from storybench.statistics import bootstrap


def count_tables(story: Sequence[FrameRecord]) -> tuple[Array, Array]:
    """Return predicted and expected instance counts of a story, (frames, K) each, K sorted names of the evaluator."""
    names = sorted(story[0].reading.counts)
    predicted = np.array([[r.reading.counts[n] for n in names] for r in story])
    expected = np.array([[Counter(r.expected)[n] for n in names] for r in story])
    return predicted, expected


class CharacterAccuracy(StoryMetric):
    """Char-Acc: exactly the expected set of characters is seen. Two of the same character pass; see ``count_acc``."""

    name = "char_acc"
    citation = "metrics.md 2; Maharana et al. 2021"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames right, frames)."""
        return np.array([functional.set_is_exact(*count_tables(story)).sum(), len(story)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the share of frames."""
        return bootstrap.ratio()(weights, rows)


class CountAccuracy(CharacterAccuracy):
    """Every character is seen exactly as often as expected (0, 1, 2 or more)."""

    name = "count_acc"
    citation = "metrics.md 2 (count error, made exact)"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames right, frames)."""
        return np.array([functional.counts_are_exact(*count_tables(story)).sum(), len(story)], dtype=np.float64)


class SettingAccuracy(CharacterAccuracy):
    """The setting seen is the expected one."""

    name = "setting_acc"
    citation = "metrics.md 2, BG-Acc v1"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames right, frames)."""
        share = setting_accuracy([r.reading.setting for r in story], [r.setting for r in story])
        return np.array([round(share * len(story)), len(story)], dtype=np.float64)


class CharacterF1(StoryMetric):
    """Micro F1 of the characters seen, pooled over frames and characters."""

    name = "char_f1"
    citation = "metrics.md 2; StoryGPT-V eval/eval_cls.py:67-111"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (tp, fp, fn) of each character, then frames."""
        sums = functional.confusion(*count_tables(story)).sum(0)  # (K, 3)
        return np.append(sums.ravel(), len(story))

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return 2TP / (2TP + FP + FN)."""
        return functional.micro_f1(self._sums(weights, rows))

    @staticmethod
    def _sums(weights: Array, rows: Array) -> Array:
        return (weights @ rows[:, :-1]).reshape(len(weights), -1, 3)  # (B, K, 3)


class CharacterF1Macro(CharacterF1):
    """Mean over characters with a gold frame of their F1."""

    name = "char_f1_macro"
    citation = "metrics.md 2"

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean F1 of the characters."""
        return functional.macro_f1(self._sums(weights, rows))
