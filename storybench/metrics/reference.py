"""Reference metrics over stories: whom does the picture show when the caption only refers to them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from storybench.coreference.chance import guessed_hits
from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional import reference as functional
from storybench.metrics.record import FrameRecord
from storybench.statistics import bootstrap

NO_MENTION = "no caption of this text refers to a character of an earlier frame"
NO_EXPLICIT = "needs the same stories drawn from explicit captions with the same seed"


class AntecedentAccuracy(StoryMetric):
    """Share of characters referred to across frames that are seen."""

    name = "antecedent_acc"
    unit = "characters referred to"
    requires = ("frames", "mentions")
    citation = "metrics.md 3, AA"
    missing = NO_MENTION

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (hits, characters referred to)."""
        pairs = [functional.antecedent_hits([m.characters for m in r.mentions], r.reading.characters) for r in story]
        return np.array(pairs, dtype=np.float64).sum(0)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return hits / characters referred to."""
        return bootstrap.ratio()(weights, rows)


class AntecedentAccuracyStrict(AntecedentAccuracy):
    """Share of referring frames that show all characters referred to and nobody who is not expected."""

    name = "antecedent_acc_strict"
    unit = "frames with a reference"
    citation = "metrics.md 3, AA_strict"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames resolved, frames with a reference)."""
        frames = [r for r in story if r.mentions]
        right = sum(functional.is_resolved_strictly(r.referred, r.reading.characters, r.expected_set) for r in frames)
        return np.array([right, len(frames)], dtype=np.float64)


class AntecedentKappa(AntecedentAccuracy):
    """Antecedent accuracy above the best guess that knows the pronoun and no history: 0 for it, 1 for perfect."""

    name = "antecedent_kappa"
    bounds = (-float("inf"), 1.0)
    chance = 0.0
    citation = "metrics.md 3, chance correction"

    def __init__(self, guess: Mapping[str, Mapping[str, float]], evaluator: str = "toonsv-perceiver-v1") -> None:
        super().__init__(evaluator)
        self.guess = guess

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (hits, hits of the guess, characters referred to)."""
        hits, total = super().row(story)
        return np.array([hits, sum(guessed_hits(m, self.guess) for r in story for m in r.mentions), total])

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return (AA - p0) / (1 - p0)."""
        hits, guessed, total = (weights @ rows).T
        return bootstrap.divide(hits - guessed, total - guessed)

    def guess_accuracy(self) -> float:
        """Return p0 on the frames seen so far."""
        return bootstrap.point(self.cluster_rows(), bootstrap.ratio(1, 2)) if self.rows else float("nan")


class ConditionalResolution(StoryMetric):
    """Of the frames whose characters are drawn when named, the share in which they are drawn when only referred to."""

    name = "conditional_resolution"
    unit = "frames drawn right from explicit text"
    requires = ("frames", "mentions", "explicit_frames")
    citation = "metrics.md 3, CRR"
    missing = "no referred character was drawn even when named"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (drawn both times, drawn when named, frames with a reference)."""
        frames = [r for r in story if r.mentions and r.explicit is not None]
        named = [r.referred <= r.explicit.characters for r in frames if r.explicit is not None]
        referred = [r.referred <= r.reading.characters for r in frames]
        both = sum(e and r for e, r in zip(named, referred, strict=True))
        return np.array([both, sum(named), len(frames)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return drawn both times / drawn when named."""
        return bootstrap.ratio()(weights, rows)

    def count(self, sums: Array) -> int:
        """Return the number of frames drawn right when named."""
        return int(sums[1])
