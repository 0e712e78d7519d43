"""Setting metrics over stories: the likeliest place, and the published multi-label forms beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional import setting as functional
from storybench.metrics.functional.characters import micro_f1
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.statistics import bootstrap

NO_SETTING = "the stories name no setting"


def placed(story: Sequence[FrameRecord]) -> list[FrameRecord]:
    """Return the frames whose setting is annotated."""
    return [r for r in story if r.setting]


class SettingAccuracy(StoryMetric):
    """The likeliest setting is the expected one."""

    name = "setting_acc"
    group = "settings"
    requires = ("reading", "setting")
    citation = "metrics.md 2, BG-Acc v1"
    missing = NO_SETTING

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames right, frames)."""
        frames = placed(story)
        return np.array([sum(r.reading.setting == r.setting for r in frames), len(frames)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the share of frames."""
        return bootstrap.ratio()(weights, rows)


class SettingF1Macro(StoryMetric):
    """Mean F1 of the settings with ten or more gold frames, each read as the likeliest one."""

    name = "setting_f1_macro"
    group = "settings"
    requires = ("reading", "setting")
    citation = "metrics.md 2, BG-F1 v1"
    missing = f"no setting has {functional.MIN_GOLD} gold frames"

    def __init__(self, settings: Sequence[str] = (), evaluator: str = "none") -> None:
        """Start without stories.

        Args:
            settings: All settings that can be read, in a fixed order; a gold one that is not among them has no F1.
            evaluator: Protocol id of the network that looked.
        """
        super().__init__(evaluator)
        self.settings = tuple(settings)

    @classmethod
    def build(cls, instruments: Instruments) -> Self:
        """Return the metric over the settings of the evaluator."""
        return cls(instruments.settings, instruments.protocol(cls.requires))

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (tp, fp, fn) of each setting, then frames."""
        sums = np.zeros((len(self.settings), 3))
        place = {name: k for k, name in enumerate(self.settings)}
        frames = placed(story)
        for r in frames:
            gold, seen = place.get(r.setting), place.get(r.reading.setting)
            if gold is not None:
                sums[gold, 0 if gold == seen else 2] += 1
            if seen is not None and seen != gold:
                sums[seen, 1] += 1
        return np.append(sums.ravel(), len(frames))

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean F1."""
        sums = (weights @ rows[:, :-1]).reshape(len(weights), -1, 3)  # (B, S, 3)
        gold = rows[:, :-1].sum(0).reshape(-1, 3)[:, [0, 2]].sum(1)  # (S,)
        return functional.macro_f1_of_settings(sums, gold)


class SettingExactPublished(SettingAccuracy):
    """Published BG-Acc: exactly the expected setting has a sigmoid above one half; none above is wrong."""

    name = "setting_acc_published"
    requires = ("reading", "setting_labels")
    citation = "metrics.md 2, BG-Acc compat; StoryGPT-V eval/eval_cls.py"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (frames right, frames)."""
        frames = placed(story)
        exact = sum(r.reading.setting_labels == frozenset([r.setting]) for r in frames)
        return np.array([exact, len(frames)], dtype=np.float64)


class SettingF1Published(StoryMetric):
    """Published BG-F1: micro F1 of the rounded sigmoids over all settings."""

    name = "setting_f1_published"
    group = "settings"
    requires = ("reading", "setting_labels")
    citation = "metrics.md 2, BG-F1 compat; StoryGPT-V eval/eval_cls.py"
    missing = NO_SETTING

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (tp, fp, fn, frames)."""
        frames = placed(story)
        tp = fp = fn = 0
        for r in frames:
            labels = r.reading.setting_labels or frozenset()
            tp += r.setting in labels
            fn += r.setting not in labels
            fp += len(labels - {r.setting})
        return np.array([tp, fp, fn, len(frames)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return 2TP / (2TP + FP + FN)."""
        return micro_f1((weights @ rows[:, :3])[:, None, :])
