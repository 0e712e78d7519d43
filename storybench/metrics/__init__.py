"""Metrics over stories: thin torchmetrics classes over the pure functions in ``functional``."""

from storybench.metrics.base import StoryMetric
from storybench.metrics.characters import (
    CharacterAccuracy,
    CharacterF1,
    CharacterF1Macro,
    CountAccuracy,
    SettingAccuracy,
)
from storybench.metrics.consistency import DetailConsistency
from storybench.metrics.frechet import Frechet
from storybench.metrics.record import FrameRecord
from storybench.metrics.reference import (
    AntecedentAccuracy,
    AntecedentAccuracyStrict,
    AntecedentKappa,
    ConditionalResolution,
)

__all__ = [
    "AntecedentAccuracy",
    "AntecedentAccuracyStrict",
    "AntecedentKappa",
    "CharacterAccuracy",
    "CharacterF1",
    "CharacterF1Macro",
    "ConditionalResolution",
    "CountAccuracy",
    "DetailConsistency",
    "Frechet",
    "FrameRecord",
    "SettingAccuracy",
    "StoryMetric",
]
