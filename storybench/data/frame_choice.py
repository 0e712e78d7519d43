"""Which of a clip's pictures is its frame.

Every published reader draws one at random on each access, in validation and test too, so that the ground truth itself
moves. Here the frame of a clip is fixed (the middle one by default) and a training draw is a function of
(seed, epoch, clip).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from storybench.errors import ConfigError


@dataclass(frozen=True)
class FrameChoice:
    """``how`` is ``middle``, ``random``, or the index of a picture; ``seed`` and ``epoch`` move ``random`` only."""

    how: str | int = "middle"
    seed: int = 0
    epoch: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.how, bool) or not (self.how in ("middle", "random") or isinstance(self.how, int)):
            raise ConfigError(f"dataset.frame is {self.how!r}: expected middle, random or a number from 0.")

    def of(self, clip_id: str, count: int) -> int:
        """Return the index, below ``count``, of the picture of ``clip_id``.

        Raises:
            ConfigError: If a fixed index is not there.
        """
        if self.how == "middle":
            return count // 2
        if self.how == "random":
            digest = hashlib.sha256(f"{self.seed}/{self.epoch}/{clip_id}".encode()).digest()
            return int.from_bytes(digest[:8], "big") % count
        assert isinstance(self.how, int)
        if not 0 <= self.how < count:
            raise ConfigError(f"dataset.frame is {self.how}: clip {clip_id} has pictures 0..{count - 1}.")
        return self.how
