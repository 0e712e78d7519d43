"""What metrics are made from: which networks look, what is missing, what distances refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from storybench.perception.perceiver import Vocabulary

Array = np.ndarray


@dataclass(frozen=True)
class FeatureReference:
    """Features of true frames that a distance compares with, and the cluster of each."""

    id: str  # which frames, such as ``train-900000-900499``
    features: Array  # (n, D) float64
    group: Array  # (n,) int64


@dataclass(frozen=True)
class Instruments:
    """Everything beside the frames that a metric needs.

    ``protocols`` maps a field of :class:`storybench.perception.observation.Observation` (``reading``, ``figures``,
    ``caption``, ``caption_fit``) to the protocol id of what fills it; features stand in ``references`` under their own
    protocol id. ``missing`` maps what is not there to the reason, in words for the user.
    """

    protocols: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    settings: tuple[str, ...] = ()  # all that can be read, in a fixed order
    pronoun_guess: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    references: Mapping[str, FeatureReference] = field(default_factory=dict)
    features: str = ""  # protocol id of the features that distances use unless one is asked for by name

    def protocol(self, requires: tuple[str, ...]) -> str:
        """Return the protocol id of the first network among ``requires``; ``none`` without one."""
        return next((self.protocols[name] for name in requires if name in self.protocols), "none")
