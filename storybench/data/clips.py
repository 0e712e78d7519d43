"""What a published release knows of a clip, whatever its layout on disk: the seam between layouts and stories.

FlintstonesSV calls a frame of a story a clip (75 video frames, a few of them kept), PororoSV a frame (a strip of
sub-frames). Both are a :class:`Clip` here: one caption, one place in a story, several pictures to choose from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from storybench.story import FramePixels


class Box(NamedTuple):
    """An annotated rectangle, (x0, y0, x1, y1) in pixels of the release's canvas; ``label`` as annotated."""

    label: str
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True)
class Clip:
    """One clip, without its pictures.

    Attributes:
        id: As published: ``s_01_e_01_shot_000000_000074`` or ``Pororo_ENGLISH1_1_ep1/1``.
        episode: ``s_01_e_01`` or ``Pororo_ENGLISH1_1_ep1``; stories never cross it.
        captions: As published, byte for byte; the first is the caption, none means that the release here has none.
        characters: Members of the cast that are shown, in label order; None if not annotated.
        annotated: Every annotated label in the order of the annotation, minor characters included.
        setting: Annotated place; empty if there is none.
        boxes: Rectangles of the middle keyframe.
    """

    id: str
    episode: str
    captions: tuple[str, ...] = ()
    characters: tuple[str, ...] | None = None
    annotated: tuple[str, ...] = ()
    setting: str = ""
    boxes: tuple[Box, ...] = ()


class ClipSource(Protocol):
    """A release on disk. Opening one reads annotation and captions, never pictures."""

    layout: str
    has_pictures: bool

    def episodes(self) -> Mapping[str, Sequence[str]]:
        """Return episode -> ids of its clips in story order; every clip of the release."""
        ...

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return subset -> ids of the clips that may start a story there; empty if the release here has no split."""
        ...

    def clip(self, clip_id: str) -> Clip:
        """Return one clip."""
        ...

    def frame_count(self, clip_id: str) -> int:
        """Return how many pictures a clip has."""
        ...

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Decode picture ``frame`` of a clip, with masks and boxes where the layout has them."""
        ...
