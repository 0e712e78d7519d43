"""Reference metrics over stories: whom does the picture show when the caption only refers to them?

Only frames with a reference to an earlier frame are scored. p0, the chance of a reader who knows the pronoun and no
history, was learnt on train and comes with the instruments; nothing here learns from the stories it scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from storybench.coreference.chance import guessed_hits, pronoun_class
from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.distance import BY_DISTANCE, BY_PRONOUN, distance_summary, share
from storybench.metrics.functional import reference as functional
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.records.score import Score
from storybench.statistics import bootstrap
from storybench.story import Mention

NO_MENTION = "no caption of this text refers to a character of an earlier frame"
NO_EXPLICIT = "needs the same stories drawn from explicit captions with the same seed"
NO_GUESS = "needs the guess per pronoun learnt on train, and there is none for this data set"
NO_ROOM = "the guess per pronoun is right everywhere here: there is nothing above chance"
Guess = Mapping[str, Mapping[str, float]]


class _OverMentions(StoryMetric):
    """Share of the characters referred to by the mentions it takes that are seen."""

    group = "reference"
    unit = "characters referred to"
    requires = ("reading", "mentions")
    missing = NO_MENTION

    def takes(self, mention: Mention) -> bool:
        """Say whether a mention counts."""
        return True

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (hits, characters referred to)."""
        frames = [([m.characters for m in r.mentions if self.takes(m)], r.reading.characters) for r in story]
        return np.array([functional.antecedent_hits(*frame) for frame in frames], dtype=np.float64).sum(0)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return hits / characters referred to."""
        return bootstrap.ratio()(weights, rows)


class AntecedentAccuracy(_OverMentions):
    """Share of characters referred to across frames that are seen; taken apart by distance and by pronoun beside it."""

    name = "antecedent_acc"
    citation = "metrics.md 3, AA"

    def __init__(self, evaluator: str = "none", guess: Guess | None = None) -> None:
        super().__init__(evaluator)
        self.guess = guess or {}

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric; the guess is only needed for the half-life."""
        return cls(instruments.protocol(cls.requires), instruments.pronoun_guess)

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (hits, characters referred to, hits of the guess), then the sums by distance and by pronoun."""
        scored = [
            (m, functional.antecedent_hits([m.characters], r.reading.characters)[0]) for r in story for m in r.mentions
        ]
        guessed = sum(guessed_hits(m, self.guess) for m, _ in scored)
        sums = [sum(hits for _, hits in scored), sum(len(m.characters) for m, _ in scored), guessed]
        return np.concatenate([np.array(sums, dtype=np.float64), BY_DISTANCE.row(scored), BY_PRONOUN.row(scored)])

    def count(self, sums: Array) -> int:
        """Return the number of characters referred to."""
        return int(sums[1])

    def details(self) -> dict[str, Any]:
        """Return accuracy by distance with its slope and half-life, and by pronoun."""
        rows = self.cluster_rows()
        if not len(rows) or not rows[:, 1].sum():
            return {}
        ends = np.cumsum([3, BY_DISTANCE.width])
        _, distances, pronouns = np.split(rows, ends, axis=1)
        chance = bootstrap.point(rows, bootstrap.ratio(2, 1)) if self.guess else None
        slope, half_life = distance_summary(distances.sum(0), chance)
        return {
            "antecedent_by_distance": BY_DISTANCE.table(distances),
            "antecedent_distance_slope": slope,
            "antecedent_half_life": half_life,
            "antecedent_by_pronoun": BY_PRONOUN.table(pronouns),
        }


class AntecedentAccuracyStrict(_OverMentions):
    """Share of referring frames that show all characters referred to and nobody who is not expected."""

    name = "antecedent_acc_strict"
    unit = "frames with a reference"
    citation = "metrics.md 3, AA_strict"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames resolved, frames with a reference)."""
        frames = [r for r in story if r.mentions]
        right = sum(functional.is_resolved_strictly(r.referred, r.reading.characters, r.expected_set) for r in frames)
        return np.array([right, len(frames)], dtype=np.float64)


class AntecedentAccuracyPlural(_OverMentions):
    """Antecedent accuracy of mentions that stand for several characters: "they", "the two friends"."""

    name = "antecedent_acc_plural"
    citation = "metrics.md 3, AA"
    missing = "no caption of this text refers to several characters of an earlier frame at once"

    def takes(self, mention: Mention) -> bool:
        """Say whether the mention stands for several."""
        return len(mention.characters) > 1


class AntecedentAccuracyAmbiguous(_OverMentions):
    """Antecedent accuracy where another character of the history could be meant: the pronoun alone does not decide."""

    name = "antecedent_acc_ambiguous"
    citation = "metrics.md 3, blind spot (a)"
    missing = "no reference of this text has another candidate in the history"

    def takes(self, mention: Mention) -> bool:
        """Say whether the history has another candidate."""
        return mention.ambiguous


class AntecedentKappa(_OverMentions):
    """Antecedent accuracy above the best guess that knows the pronoun and no history: 0 for it, 1 for perfect."""

    name = "antecedent_kappa"
    bounds = (-float("inf"), 1.0)
    chance = 0.0
    citation = "metrics.md 3, chance correction"

    def __init__(self, guess: Guess, evaluator: str = "none") -> None:
        super().__init__(evaluator)
        self.guess = guess

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric with the guess learnt on train."""
        return cls(instruments.pronoun_guess, instruments.protocol(cls.requires))

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (hits, hits of the guess, hits of recency, characters referred to)."""
        hits, total = super().row(story)
        guessed = sum(guessed_hits(m, self.guess) for r in story for m in r.mentions)
        return np.array([hits, guessed, self._recency_hits(story), total], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return (AA - p0) / (1 - p0)."""
        hits, guessed, _, total = (weights @ rows).T
        return bootstrap.divide(hits - guessed, total - guessed)

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return the score; without a guess from train there is no chance to correct for."""
        if not self.guess:
            return self.absent(NO_GUESS)
        score = super().score(seed=seed, draws=draws)
        return self.absent(NO_ROOM, score.n) if score.value is None and score.n else score

    def compute(self) -> Tensor:
        """Return the value, NaN without a guess."""
        return super().compute() if self.guess else torch.tensor(float("nan"), dtype=torch.float64)

    def details(self) -> dict[str, Any]:
        """Return p0 and what the rule "mentioned last, same gender and number" would score, both on these mentions."""
        rows = self.cluster_rows()
        if not len(rows) or not rows[:, 3].sum() or not self.guess:
            return {}
        return {"antecedent_chance": self.guess_accuracy(), "antecedent_recency": share(rows, 2, 3)}

    def guess_accuracy(self) -> float:
        """Return p0 on the frames seen so far."""
        return bootstrap.point(self.cluster_rows(), bootstrap.ratio(1, 3)) if self.rows else float("nan")

    def _recency_hits(self, story: Sequence[FrameRecord]) -> int:
        """Count with genders from train: a pronoun fits those it stood for there."""
        hits, earlier = 0, list[tuple[str, ...]]()
        for r in sorted(story, key=lambda r: r.frame):
            for m in r.mentions:
                hits += functional.recency_hits(m.characters, self.guess.get(pronoun_class(m), {}), earlier)
            earlier.append(tuple(dict.fromkeys([*r.named, *(c for m in r.mentions for c in m.characters)])))
        return hits


class _Paired(StoryMetric):
    """Referring frames drawn twice with the same noise: from explicit and from referential captions."""

    group = "reference"
    requires = ("reading", "mentions", "explicit")

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return frames drawn right (both times, when named, of all pairs, when referred to only), referring frames."""
        referring = [r for r in story if r.mentions]
        frames = [(r, e.characters) for r in referring if (e := r.explicit_reading) is not None]
        named = [r.referred <= explicit for r, explicit in frames]
        referred = [r.referred <= r.reading.characters for r, _ in frames]
        b, c = functional.discordant_frames(named, referred)
        return np.array([sum(named) - b, sum(named), len(frames), c, len(referring)], dtype=np.float64)

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return the score, or which of the two texts is missing."""
        rows = self.cluster_rows()
        if len(rows) and not rows[:, 4].sum():
            return self.absent(NO_MENTION)
        if len(rows) and not rows[:, 2].sum():
            return self.absent(NO_EXPLICIT)
        return super().score(seed=seed, draws=draws)


class ConditionalResolution(_Paired):
    """Of the frames whose characters are drawn when named, the share in which they are drawn when only referred to."""

    name = "conditional_resolution"
    unit = "frames drawn right from explicit text"
    citation = "metrics.md 3, CRR"
    missing = "no referred character was drawn even when named"

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return drawn both times / drawn when named."""
        return bootstrap.ratio()(weights, rows)

    def count(self, sums: Array) -> int:
        """Return the number of frames drawn right when named."""
        return int(sums[1])


class ReferenceGap(_Paired):
    """What a reference costs: frames drawn right when named minus when referred to, over referring frames; ideal 0."""

    name = "reference_gap"
    unit = "frames with a reference"
    higher_is_better = False
    bounds = (-1.0, 1.0)
    citation = "metrics.md 3, paired gap"

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean of a_exp - a_ref."""
        both, named, frames, referred_only, _ = (weights @ rows).T
        return bootstrap.divide(named - both - referred_only, frames)

    def count(self, sums: Array) -> int:
        """Return the number of frames drawn twice."""
        return int(sums[2])

    def details(self) -> dict[str, Any]:
        """Return the discordant frames that McNemar's test compares: b when named only, c when referred to only."""
        rows = self.cluster_rows()
        if not len(rows) or not rows[:, 2].sum():
            return {}
        both, named, _, referred_only, _ = rows.sum(0)
        return {"reference_gap_discordant": {"b": int(named - both), "c": int(referred_only)}}


class SettingCarryOver(StoryMetric):
    """BCO: frames that stay where the frame before was and do not say so, in which that place is seen."""

    name = "setting_carry_over"
    group = "reference"
    requires = ("reading", "setting")
    unit = "frames that keep a place untold"
    citation = "metrics.md 3, BCO"
    missing = "no caption of this text leaves the place to be remembered"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return hits, the same given the frame before was right, the same where the place is told: six sums."""
        frames = sorted(story, key=lambda r: r.frame)
        expected, told = [r.setting for r in frames], [r.setting_named for r in frames]
        read = [r.reading.setting for r in frames]
        right = [p == e for p, e in zip(read, expected, strict=True)]
        untold = functional.carried_settings(read, expected, told)
        again = functional.carried_settings(read, expected, [not t for t in told])
        after_right = [t for t in untold if right[t - 1]]
        sums = [f(group) for group in (after_right, again, untold) for f in (lambda g: sum(right[t] for t in g), len)]
        return np.array(sums, dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return hits / frames whose place is kept untold."""
        return bootstrap.ratio(4, 5)(weights, rows)

    def details(self) -> dict[str, Any]:
        """Return BCO given that the frame before shows the place, and accuracy where a kept place is told again."""
        rows = self.cluster_rows()
        if not len(rows) or not rows[:, [3, 5]].sum():
            return {}
        return {
            "setting_carry_over_given_previous": share(rows, 0, 1),
            "setting_carry_over_when_named": share(rows, 2, 3),
        }
