"""The one pass over the pixels: each picture is decoded once, shown to every network, and never looked at again.

What is seen goes into a cache on disk and comes back story by story, so memory does not grow with the number of frames,
and frames that were seen before are not even decoded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from PIL import Image

from storybench.errors import DataError
from storybench.perception.cache import ObservationCache
from storybench.perception.observation import Observation, Observer, Picture
from storybench.story import Story

EXPLICIT = "explicit"
AT_ONCE = 64  # pictures decoded together


class FrameReader(Protocol):
    """Anything that gives decoded frames; :class:`storybench.frames.FrameStore` does.

    It may have ``key(story_id, frame)`` that names the pixels without decoding them.
    """

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return one RGB picture."""
        ...


class TrueFrames:
    """Reads the true pictures of stories: scored like a model, they give the ceiling."""

    def __init__(self, stories: Sequence[Story]) -> None:
        self.stories = {story.id: story for story in stories}

    @property
    def has_strangers(self) -> bool:
        """Whether some story has enough stories of other clusters to take a frame of a different one for each frame."""
        sizes = Counter(story.cluster or story.id for story in self.stories.values())
        return any(
            len(self.stories) - sizes[story.cluster or story.id] >= len(story.frames) for story in self.stories.values()
        )

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return the true picture."""
        return self.stories[story_id].frames[frame].image

    def key(self, story_id: str, frame: int) -> str:
        """Return a name of its pixels."""
        known = self.stories[story_id].frames[frame].key
        return pixel_key(self.read(story_id, frame)) if known is None else known()


@dataclass(frozen=True)
class Watcher:
    """Networks, the pictures they have seen, and the size that pictures must have."""

    observers: tuple[Observer, ...]
    cache: ObservationCache
    size: tuple[int, int] | None = None  # width and height in pixels; None accepts any
    own_features: str = ""  # protocol id under which the features of a reading stand among the others

    def only(self, *fields: str) -> Watcher:
        """Return a watcher with those networks alone that fill ``fields``."""
        return replace(self, observers=tuple(o for o in self.observers if o.field in fields))

    def watch(self, pictures: Iterable[Picture]) -> None:
        """Show ``pictures`` to every network that has not seen them.

        Raises:
            DataError: If a frame is missing, damaged or of the wrong size.
        """
        waiting = iter(pictures)
        while self.observers and (some := list(islice(waiting, AT_ONCE))):
            self._look(some)

    def pictures(self, story: Story, frames: FrameReader) -> list[Picture]:
        """Return the frames of a story as pictures to look at."""
        return [self.picture(story, k, frames) for k in range(len(story.frames))]

    def picture(self, story: Story, k: int, frames: FrameReader) -> Picture:
        """Return frame ``k`` as a picture to look at; it is not decoded now if ``frames`` can name it."""
        captions = tuple(f.captions[EXPLICIT].text for f in story.frames if EXPLICIT in f.captions)
        index = story.frames[k].index
        name = getattr(frames, "key", None)
        if name is not None:
            return Picture(name(story.id, index), lambda: self._checked(frames, story.id, index), captions)
        image = self._checked(frames, story.id, index)
        return Picture(pixel_key(image), lambda: image, captions)

    def observations(self, pictures: Sequence[Picture], *, with_captions: bool = True) -> list[Observation]:
        """Return what was seen in ``pictures``; all have been watched.

        Args:
            pictures: What was looked at.
            with_captions: Whether to include what depends on the captions of a picture's own story.
        """
        values: list[dict[str, Any]] = [{"features": {}} for _ in pictures]
        for observer in self.observers:
            if observer.uses_captions and not with_captions:
                continue
            names = [_name(p, observer) for p in pictures]
            kept = self.cache.read(observer.id, names)
            for value, name in zip(values, names, strict=True):
                seen = observer.value(kept[name])
                if observer.field == "features":
                    value["features"][observer.id] = seen
                else:
                    value[observer.field] = seen
        for value in values:
            if self.own_features and "reading" in value:
                value["features"][self.own_features] = value["reading"].features
        return [Observation(**value) for value in values]

    def _checked(self, frames: FrameReader, story_id: str, k: int) -> Image.Image:
        image = frames.read(story_id, k)
        if self.size is not None and image.size != self.size:
            raise DataError(
                f"Frame {story_id}/{k} is {image.width} x {image.height} pixels, expected "
                f"{self.size[0]} x {self.size[1]}: resize them first, the evaluator reads one size only."
            )
        return image

    def _look(self, pictures: Sequence[Picture]) -> None:
        decoded: dict[str, Image.Image] = {}
        for observer in self.observers:
            named = {_name(p, observer): p for p in pictures}
            seen = self.cache.known(observer.id, list(named))
            fresh = {name: p for name, p in named.items() if name not in seen}
            if not fresh:
                continue
            for p in fresh.values():
                if p.key not in decoded:
                    decoded[p.key] = p.load()
            found = observer.observe([decoded[p.key] for p in fresh.values()], [p.captions for p in fresh.values()])
            self.cache.write(observer.id, dict(zip(fresh, found, strict=True)))


def pixel_key(image: Image.Image) -> str:
    """Return a name of an RGB picture's pixels."""
    return f"pixels/{image.width}x{image.height}/{hashlib.sha256(image.tobytes()).hexdigest()}"


def _name(picture: Picture, observer: Observer) -> str:
    """Return the cache's name of a picture for an observer; captions are a part of it where they are looked at."""
    if not observer.uses_captions:
        return picture.key
    texts = hashlib.sha256("\n".join(picture.captions).encode()).hexdigest()
    return f"{picture.key}|{texts[:32]}"
