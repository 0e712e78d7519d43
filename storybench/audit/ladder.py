"""The corruption ladder: true frames of ToonSV, spoilt in ten ways and five strengths (metrics.md 8).

A strength is the share of frames that are spoilt (of stories, for shuffling inside a story), except for blur, where
every frame is and the strength is its width. What is spoilt at a strength is spoilt at every greater one, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from storybench.audit import spoiling
from storybench.data.toonsv.dataset import picture_key
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Scene

VERSION = 1  # of what is done to a frame; rises with any change, because spoilt frames are remembered by name
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
BLUR_PX = (0.0, 1.0, 2.0, 4.0, 8.0)
COPY, SHUFFLE, STRANGERS, CONSTANT = "copy_previous", "shuffle_in_story", "shuffle_across_stories", "constant_image"

SCENES: Mapping[str, Callable[[Scene, np.random.Generator], Scene]] = {
    "swap_identity": spoiling.swap_identity,
    "drop_character": spoiling.drop_character,
    "add_character": spoiling.add_character,
    "swap_background": spoiling.swap_background,
}
CORRUPTIONS: dict[str, tuple[float, ...]] = {
    "swap_identity": SHARES,
    "recolour": SHARES,
    "drop_character": SHARES,
    "add_character": SHARES,
    "swap_background": SHARES,
    "blur": BLUR_PX,
    SHUFFLE: SHARES,
    STRANGERS: SHARES,
    COPY: SHARES,
    CONSTANT: SHARES,
}  # name -> strengths, from none to full


class Shot(NamedTuple):
    """What stands where a true frame was: a scene, and how its pixels are treated."""

    scene: Scene
    treatment: str = ""
    amount: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class SpoiltFrames:
    """Reads spoilt true frames as if a model had drawn them.

    Attributes:
        scenes: Story id -> what its true frames show.
        corruption: A name of ``CORRUPTIONS``.
        strength: One of its strengths.
        seed: Decides which frames are spoilt, and how.
    """

    scenes: Mapping[str, Sequence[Scene]]
    corruption: str
    strength: float
    seed: int = 0
    _shots: dict[str, list[Shot]] = field(default_factory=dict, compare=False, repr=False)

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return one spoilt frame, or the true one where chance left it alone."""
        shot = self.shots(story_id)[frame]
        if shot.treatment == "recolour":
            return spoiling.recolour(shot.scene, np.random.default_rng(shot.seed))
        if shot.treatment == "blur" and shot.amount > 0:
            return spoiling.blur(shot.scene, shot.amount)
        return render(shot.scene).image

    def key(self, story_id: str, frame: int) -> str:
        """Return a name of its pixels."""
        shot = self.shots(story_id)[frame]
        drawn = picture_key(shot.scene)
        plain = not shot.treatment or (shot.treatment == "blur" and shot.amount == 0)
        return drawn if plain else f"{drawn}|audit-{VERSION}|{shot.treatment}|{shot.amount}|{shot.seed}"

    def shots(self, story_id: str) -> list[Shot]:
        """Return what stands in the frames of a story."""
        if story_id not in self._shots:
            self._shots[story_id] = self._spoil(story_id)
        return self._shots[story_id]

    def _spoil(self, story_id: str) -> list[Shot]:
        own = self.scenes[story_id]
        hit = [self._chance(story_id, k) < self.strength for k in range(len(own))]
        if self.corruption in SCENES:
            change = SCENES[self.corruption]
            return [Shot(change(s, self._dice(story_id, k)) if hit[k] else s) for k, s in enumerate(own)]
        if self.corruption == "recolour":
            return [
                Shot(s, "recolour", 1.0, self._number(story_id, k)) if hit[k] else Shot(s) for k, s in enumerate(own)
            ]
        if self.corruption == "blur":
            return [Shot(s, "blur", self.strength) for s in own]
        if self.corruption == SHUFFLE:
            moved = self._chance(story_id, -1) < self.strength
            order = _turned(len(own), self._dice(story_id, -1)) if moved else range(len(own))
            return [Shot(own[k]) for k in order]
        if self.corruption == STRANGERS:
            return [Shot(self._dealt.get((story_id, k), s)) for k, s in enumerate(own)]
        if self.corruption == CONSTANT:
            return [Shot(spoiling.constant() if hit[k] else s) for k, s in enumerate(own)]
        shown: list[Shot] = []
        for k, scene in enumerate(own):
            shown.append(shown[-1] if hit[k] and shown else Shot(scene))
        return shown

    @cached_property
    def _dealt(self) -> dict[tuple[str, int], Scene]:
        """Return what each frame that is dealt away gets: frame k of the next such story, so that none is lost."""
        dealt = {}
        for k in range(max(len(own) for own in self.scenes.values())):
            chances = {s: self._chance(s, k) for s, own in self.scenes.items() if k < len(own)}
            hit = sorted((s for s, chance in chances.items() if chance < self.strength), key=lambda s: chances[s])
            for here, there in zip(hit, hit[1:] + hit[:1], strict=True):
                dealt[here, k] = self.scenes[there][k]
        return dealt

    def _number(self, story_id: str, k: int) -> int:
        text = f"{self.seed} {self.corruption} {story_id} {k}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def _chance(self, story_id: str, k: int) -> float:
        return self._number(story_id, k) / 2**64

    def _dice(self, story_id: str, k: int) -> np.random.Generator:
        return np.random.default_rng(self._number(story_id, k))


def _turned(count: int, rng: np.random.Generator) -> list[int]:
    """Return a random cycle of 0 .. count - 1: nothing stays in its place."""
    order = rng.permutation(count)
    out = [0] * count
    for here, there in zip(order, np.roll(order, 1), strict=True):
        out[int(here)] = int(there)
    return out
