"""Which frames a protocol compares: the stories that take part and the true frames they are held against.

Everything here is about keys, not pixels. A :class:`TrueKey` names one sub-frame of one true frame; FlintstonesSV has 5
sub-frames a clip, a ToonSV frame is its own only one. Overlapping stories share clips, so that a reference drawn for
every generated frame repeats clips up to T times; its effective size is the number of distinct ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from PIL import Image

from storybench.data.stories import ClipStories
from storybench.errors import DataError
from storybench.perception.protocols.protocol import Reference
from storybench.story import Frame, Story

T = TypeVar("T")


class TrueKey(NamedTuple):
    """One sub-frame of the true frame called ``frame``."""

    frame: str
    part: int


class SubFrames(Protocol):
    """The pictures of true frames."""

    def count(self, frame: str) -> int:
        """Return how many sub-frames the true frame has."""
        ...

    def load(self, key: TrueKey) -> Image.Image:
        """Decode one."""
        ...


class OwnFrames:
    """The one picture that each story's frame is: what ToonSV has."""

    def __init__(self, stories: Sequence[Story]) -> None:
        self._frames: dict[str, Frame] = {name: f for s in stories for name, f in zip(names(s), s.frames, strict=True)}

    def count(self, frame: str) -> int:
        """Return 1."""
        return 1

    def load(self, key: TrueKey) -> Image.Image:
        """Return the frame's picture.

        Raises:
            DataError: If the data set was opened without pictures.
        """
        frame = self._frames[key.frame]
        if frame.load is None:
            raise DataError(f"True frame {key.frame} has no picture here: a distance needs the data set's pictures.")
        return frame.image


class ClipFrames:
    """All pictures of each clip of a published release."""

    def __init__(self, stories: ClipStories) -> None:
        self._source = stories.source

    def count(self, frame: str) -> int:
        """Return how many pictures the clip has.

        Raises:
            DataError: If the release here has none.
        """
        if not self._source.has_pictures:
            raise DataError("The data set here has captions only: a distance needs its pictures.")
        return self._source.frame_count(frame)

    def load(self, key: TrueKey) -> Image.Image:
        """Decode one picture of the clip."""
        return self._source.pixels(key.frame, key.part).image


def sub_frames(stories: Sequence[Story]) -> SubFrames:
    """Return the true pictures behind ``stories``: of a release all that each clip has, else each frame's own."""
    return ClipFrames(stories) if isinstance(stories, ClipStories) else OwnFrames(stories)


def names(story: Story) -> list[str]:
    """Return the names of a story's true frames; frames that stories share have one name."""
    return [frame.id or f"{story.id}/{frame.index}" for frame in story.frames]


def taking_part(stories: Sequence[T], reference: Reference, name: Callable[[T], str]) -> list[T]:
    """Return the stories that a protocol keeps, in their order.

    ``first_stories`` counts in the given order. A dropped last batch loses the stories that come last by name: the
    published order was that of a directory listing (of 2,309 stories in batches of 16, 5 are lost; metrics.md 5.5).
    """
    kept = list(stories)[: reference.first_stories or None]
    if not reference.batch_stories:
        return kept
    whole = len(kept) // reference.batch_stories * reference.batch_stories
    chosen = {name(story) for story in sorted(kept, key=name)[:whole]}
    return [story for story in kept if name(story) in chosen]


def every_true_frame(frames: Sequence[str], count: Callable[[str], int]) -> list[TrueKey]:
    """Return each sub-frame of each distinct true frame once, sorted."""
    return [TrueKey(frame, part) for frame in sorted(set(frames)) for part in range(count(frame))]


def drawn_true_frames(
    places: Sequence[tuple[str, int]], frames: Sequence[str], count: Callable[[str], int], seed: int
) -> list[TrueKey]:
    """Return one sub-frame of the true frame of every generated frame, drawn from (seed, story, place) alone.

    Args:
        places: Story id and index of every generated frame.
        frames: Name of the true frame of each.
        count: Number of sub-frames of a true frame.
        seed: 0 .. draws - 1; another seed is another draw.
    """
    keys = []
    for (story, index), frame in zip(places, frames, strict=True):
        digest = hashlib.sha256(f"{seed}/{story}/{index}".encode()).digest()
        keys.append(TrueKey(frame, int.from_bytes(digest[:8], "big") % count(frame)))
    return keys


def reference_draws(
    places: Sequence[tuple[str, int]], frames: Sequence[str], count: Callable[[str], int], reference: Reference
) -> list[list[TrueKey]]:
    """Return the true frames of each draw of a reference rule; draws that cannot differ are given once."""
    if reference.frames == "every":
        return [every_true_frame(frames, count)]
    draws = [drawn_true_frames(places, frames, count, seed) for seed in range(reference.draws)]
    return draws[:1] if all(draw == draws[0] for draw in draws) else draws
