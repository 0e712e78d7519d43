"""Character metrics over stories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional import characters as functional
from storybench.metrics.functional.noise import rogan_gladen, rogan_gladen_with_error
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Reading
from storybench.statistics import bootstrap


def count_tables(story: Sequence[FrameRecord]) -> tuple[Array, Array]:
    """Return predicted and expected instance counts of a story, (frames, K + U) each.

    K sorted names of the evaluator, then U sorted gold names that it does not know and so never sees.
    """
    names = character_names(story)
    names += sorted({name for r in story for name in r.expected}.difference(names))
    return counts_of([r.reading for r in story], names), expected_counts(story, names)


def character_names(story: Sequence[FrameRecord]) -> list[str]:
    """Return the characters that the evaluator knows, sorted."""
    return sorted(story[0].reading.counts)


def counts_of(readings: Sequence[Reading], names: Sequence[str]) -> Array:
    """Return instance counts, (frames, K)."""
    return np.array([[reading.counts.get(n, 0) for n in names] for reading in readings])


def expected_counts(story: Sequence[FrameRecord], names: Sequence[str]) -> Array:
    """Return gold instance counts, (frames, K)."""
    return np.array([[Counter(r.expected)[n] for n in names] for r in story])


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


class SpuriousRate(CharacterAccuracy):
    """Characters a frame that are seen and not expected, also in frames that should be empty."""

    name = "spurious_rate"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    fraction = False
    citation = "metrics.md 2, spurious rate"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (spurious characters, frames)."""
        return np.array([functional.spurious(*count_tables(story)).sum(), len(story)], dtype=np.float64)


class MissingRate(SpuriousRate):
    """Characters a frame that are expected and not seen."""

    name = "missing_rate"
    citation = "metrics.md 2, missing rate"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (missing characters, frames)."""
        return np.array([functional.missing(*count_tables(story)).sum(), len(story)], dtype=np.float64)


class CountError(SpuriousRate):
    """How far off the number of different characters is, mean over frames."""

    name = "count_error"
    citation = "metrics.md 2, count error"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (summed error, frames)."""
        return np.array([functional.count_error(*count_tables(story)).sum(), len(story)], dtype=np.float64)


class CharacterF1(StoryMetric):
    """Micro F1 of the characters seen, pooled over frames and characters."""

    name = "char_f1"
    learned = ("names",)
    citation = "metrics.md 2; StoryGPT-V eval/eval_cls.py:67-111"

    def __init__(self, evaluator: str = "none") -> None:
        super().__init__(evaluator)
        self.names: list[str] = []

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add all judged frames of one story."""
        self.names = character_names(story)
        super().update(story)

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (tp, fp, fn) of each character, of all that the evaluator does not know together, then frames."""
        sums = functional.confusion(*count_tables(story)).sum(0)  # (K + U, 3)
        known = len(character_names(story))
        return np.concatenate([sums[:known].ravel(), sums[known:].sum(0), [len(story)]])

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return 2TP / (2TP + FP + FN)."""
        return functional.micro_f1(self._sums(weights, rows))

    def details(self) -> dict[str, Any]:
        """Return precision, recall, F1 and gold frames of each character."""
        rows = self.cluster_rows()
        if not len(rows):
            return {}
        sums = self._sums(np.ones((1, len(rows))), rows)[0]  # (K + 1, 3)
        precision, recall = functional.precision_recall(sums)
        f1 = functional.micro_f1(sums[:, None])
        table = {
            name: {
                "precision": _number(precision[k]),
                "recall": _number(recall[k]),
                "f1": _number(f1[k]),
                "frames": int(sums[k, 0] + sums[k, 2]),
            }
            for k, name in enumerate(self.names)
        }
        return {"characters": table}

    @staticmethod
    def _sums(weights: Array, rows: Array) -> Array:
        return (weights @ rows[:, :-1]).reshape(len(weights), -1, 3)  # (B, K + 1, 3)


class CharacterF1Macro(CharacterF1):
    """Mean over characters with a gold frame of their F1."""

    name = "char_f1_macro"
    citation = "metrics.md 2"

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean F1 of the characters."""
        return functional.macro_f1(self._sums(weights, rows))

    def details(self) -> dict[str, Any]:
        """Return nothing: the parts stand beside the micro F1."""
        return {}


class CharacterRecallCorrected(CharacterF1):
    """Share of a character's gold frames that show it, were the classifier free of errors; mean over characters.

    Sensitivity and specificity are measured on the true frames of the same stories, so that every bootstrap draw
    carries their error too. Assumes that the classifier errs on generated frames as on true ones.
    """

    name = "char_recall_corrected"
    requires = ("reading", "truth")
    citation = "Rogan and Gladen 1978; metrics.md 2"
    missing = "the classifier is too weak on true frames to correct with"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return per character (seen where expected, expected, seen elsewhere, elsewhere), both seen again of truth."""
        names = character_names(story)
        drawn, gold = counts_of([r.reading for r in story], names), expected_counts(story, names)
        true = counts_of([r.truth.reading for r in story if r.truth and r.truth.reading], names)
        here, there, truth = gold > 0, drawn > 0, true > 0
        parts = [there & here, here, there & ~here, ~here, truth & here, truth & ~here]
        sums = np.stack([part.sum(0) for part in parts], axis=-1)  # (K, 6)
        return np.append(sums.ravel(), len(story)).astype(np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean corrected rate of the characters that occur."""
        rate = self._corrected(self._sums(weights, rows))  # (B, K)
        known = ~np.isnan(rate)
        return bootstrap.divide(np.where(known, rate, 0.0).sum(-1), known.sum(-1))

    def details(self) -> dict[str, Any]:
        """Return observed and corrected rate of each character, with the classifier's own rates."""
        rows = self.cluster_rows()
        if not len(rows):
            return {}
        sums = self._sums(np.ones((1, len(rows))), rows)[0]  # (K, 6)
        observed, n, sensitivity, specificity = self._rates(sums)
        found = rogan_gladen_with_error(observed, n, sensitivity, sums[:, 1], specificity, sums[:, 3])
        table = {
            name: {
                "observed": _number(observed[k]),
                "corrected": _number(found.rate[k]),
                "standard_error": _number(found.standard_error[k]),
                "sensitivity": _number(sensitivity[k]),
                "specificity": _number(specificity[k]),
            }
            for k, name in enumerate(self.names)
        }
        return {self.name: table}

    def _corrected(self, sums: Array) -> Array:
        observed, _, sensitivity, specificity = self._rates(sums)
        return rogan_gladen(observed, sensitivity, specificity)

    @staticmethod
    def _rates(sums: Array) -> tuple[Array, Array, Array, Array]:
        """Return observed rate, its n, sensitivity and specificity from sums (..., 6)."""
        hits, here, _, there, true_hits, true_alarms = np.moveaxis(sums, -1, 0)
        return (
            bootstrap.divide(hits, here),
            here,
            bootstrap.divide(true_hits, here),
            1 - bootstrap.divide(true_alarms, there),
        )

    @staticmethod
    def _sums(weights: Array, rows: Array) -> Array:
        return (weights @ rows[:, :-1]).reshape(len(weights), -1, 6)  # (B, K, 6)


class FalseAlarmCorrected(CharacterRecallCorrected):
    """Share of the frames without a character that show it, were the classifier free of errors; mean of all."""

    name = "char_false_alarm_corrected"
    higher_is_better = False

    @staticmethod
    def _rates(sums: Array) -> tuple[Array, Array, Array, Array]:
        """Return observed rate, its n, sensitivity and specificity from sums (..., 6)."""
        _, here, alarms, there, true_hits, true_alarms = np.moveaxis(sums, -1, 0)
        return (
            bootstrap.divide(alarms, there),
            there,
            bootstrap.divide(true_hits, here),
            1 - bootstrap.divide(true_alarms, there),
        )


def _number(value: float) -> float | None:
    """Return a JSON number, None for NaN."""
    return None if np.isnan(value) else float(value)
