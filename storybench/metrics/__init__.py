"""Metrics over stories: thin torchmetrics classes over the pure functions in ``functional``.

``FrechetDistance``, ``KernelDistance``, ``CMMD`` and ``PRDC`` stand alone: pictures or features in, a number out. All
others are :class:`StoryMetric`: they take the :class:`FrameRecord` of each frame of a story.
"""

from storybench.metrics.assignment import AssignmentAccuracy
from storybench.metrics.base import StoryMetric
from storybench.metrics.calibrated import IdentityConsistency, SettingConsistency
from storybench.metrics.captions import CaptionBleu, CaptionCider, LegacyBleu, LegacyCider
from storybench.metrics.characters import (
    CharacterAccuracy,
    CharacterF1,
    CharacterF1Macro,
    CharacterRecallCorrected,
    CountAccuracy,
    CountError,
    FalseAlarmCorrected,
    MissingRate,
    SpuriousRate,
)
from storybench.metrics.consistency import DetailConsistency
from storybench.metrics.copying import CopyRate
from storybench.metrics.counterfactual import FlipRate, FlipRateDrawn, Stickiness
from storybench.metrics.frechet import Frechet, FrechetCorrected, FrechetDistance
from storybench.metrics.identity import CropCoverage, IdentityAUC, SettingAUC
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.metrics.kernel import CMMD, KernelDistance, StoryCMMD, StoryKID
from storybench.metrics.manifold import PRDC, StoryCoverage, StoryDensity, StoryPrecision, StoryRecall
from storybench.metrics.peers import (
    CidsSelf,
    ClipImage,
    DinoImage,
    DreamSim,
    Lpips,
    Occm,
    VBenchBackground,
    VBenchSubject,
    VinaReciprocalRank,
)
from storybench.metrics.record import FrameRecord, Swap
from storybench.metrics.reference import (
    AntecedentAccuracy,
    AntecedentAccuracyAmbiguous,
    AntecedentAccuracyPlural,
    AntecedentAccuracyStrict,
    AntecedentKappa,
    ConditionalResolution,
    ReferenceGap,
    SettingCarryOver,
)
from storybench.metrics.settings import SettingAccuracy, SettingExactPublished, SettingF1Macro, SettingF1Published

__all__ = [
    "CMMD",
    "PRDC",
    "AntecedentAccuracy",
    "AntecedentAccuracyAmbiguous",
    "AntecedentAccuracyPlural",
    "AntecedentAccuracyStrict",
    "AntecedentKappa",
    "AssignmentAccuracy",
    "CaptionBleu",
    "CaptionCider",
    "CharacterAccuracy",
    "CharacterF1",
    "CharacterF1Macro",
    "CharacterRecallCorrected",
    "CidsSelf",
    "ClipImage",
    "ConditionalResolution",
    "CopyRate",
    "CountAccuracy",
    "CountError",
    "CropCoverage",
    "DetailConsistency",
    "DinoImage",
    "DreamSim",
    "FalseAlarmCorrected",
    "FeatureReference",
    "FlipRate",
    "FlipRateDrawn",
    "FrameRecord",
    "Frechet",
    "FrechetCorrected",
    "FrechetDistance",
    "IdentityAUC",
    "IdentityConsistency",
    "Instruments",
    "KernelDistance",
    "LegacyBleu",
    "LegacyCider",
    "Lpips",
    "MissingRate",
    "Occm",
    "ReferenceGap",
    "SettingAUC",
    "SettingAccuracy",
    "SettingCarryOver",
    "SettingConsistency",
    "SettingExactPublished",
    "SettingF1Macro",
    "SettingF1Published",
    "SpuriousRate",
    "Stickiness",
    "StoryCMMD",
    "StoryCoverage",
    "StoryDensity",
    "StoryKID",
    "StoryMetric",
    "StoryPrecision",
    "StoryRecall",
    "Swap",
    "VBenchBackground",
    "VBenchSubject",
    "VinaReciprocalRank",
]
