"""The one protocol a model implements to be measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from PIL import Image

from storybench.story import StoryPrompt


@runtime_checkable
class StoryVisualizer(Protocol):
    """Draws stories.

    Noise must be drawn from (seed, story id, frame) alone (:func:`storybench.seeding.frame_seed`), so that order, batch
    size and resume change nothing but floating-point rounding.
    """

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield ``(story id, one RGB picture a caption)`` for every story, in any order."""
        ...

    def identity(self) -> Mapping[str, object]:
        """Return what decides the frames: ``name``, ``version``, ``weights`` (file -> sha256), ``sampler`` settings."""
        ...
