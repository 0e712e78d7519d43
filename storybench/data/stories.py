"""Clips -> stories: the one place where a release, a story rule and the text modes meet.

A :class:`ClipStories` is lazy: it holds ids, makes a :class:`Story` when asked for one, tells a text mode when it is
first read, and decodes a picture when it is looked at. Memory is flat whatever the size of the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from storybench.coreference.published import PUBLISHED, published_captions
from storybench.coreference.rewriting import Rewriter
from storybench.data.clips import Clip, ClipSource
from storybench.data.facts import Facts
from storybench.data.frame_choice import FrameChoice
from storybench.data.windows import Window
from storybench.story import Caption, Character, Frame, FramePixels, Story

TEXTS = ("original", "referential", *PUBLISHED)
Teller = Callable[[], Sequence[Caption]]


class StoryTexts:
    """The captions of one story in every text mode, each mode told once, when it is first read."""

    def __init__(self, tellers: Mapping[str, Teller]) -> None:
        self.tellers = tellers
        self._told: dict[str, Sequence[Caption]] = {}

    def tell(self, text: str) -> Sequence[Caption]:
        """Return the captions of all frames in mode ``text``."""
        if text not in self._told:
            self._told[text] = self.tellers[text]()
        return self._told[text]


class FrameTexts(Mapping[str, Caption]):
    """One frame's view of its story's texts."""

    def __init__(self, texts: StoryTexts, index: int) -> None:
        self._texts, self._index = texts, index

    def __getitem__(self, text: str) -> Caption:
        """Return this frame's caption in mode ``text``."""
        return self._texts.tell(text)[self._index]

    def __iter__(self) -> Iterator[str]:
        """Yield the modes, telling none."""
        return iter(self._texts.tellers)

    def __len__(self) -> int:
        """Return the number of modes."""
        return len(self._texts.tellers)


@dataclass(frozen=True)
class ClipStories(Sequence[Story]):
    """The stories of one subset of a release, made one by one.

    Attributes:
        facts: Cast, pronouns and aliases of the data set.
        source: The release on disk.
        subset: Its name, for the stories.
        windows: Clip ids of every story that the rule gives.
        cast: With portraits where there are any.
        rewriter: Tells the referential text.
        choice: Which of a clip's pictures is its frame.
    """

    facts: Facts
    source: ClipSource
    subset: str
    windows: Sequence[Window]
    cast: tuple[Character, ...]
    rewriter: Rewriter
    choice: FrameChoice

    def __len__(self) -> int:
        """Return the number of stories."""
        return len(self.windows)

    def __getitem__(self, index: int) -> Story:  # type: ignore[override]
        """Make one story."""
        clips = [self.source.clip(clip_id) for clip_id in self.windows[index]]
        texts = StoryTexts(self._tellers(clips))
        frames = tuple(self._frame(k, clip, texts) for k, clip in enumerate(clips))
        return Story(story_id(clips[0].id), self.facts.name, self.subset, frames, self.cast, cluster=clips[0].episode)

    def _tellers(self, clips: Sequence[Clip]) -> dict[str, Teller]:
        captions = tuple(clip.captions[0] for clip in clips)
        tellers: dict[str, Teller] = {
            "original": partial(self.rewriter.original, captions),
            "referential": partial(self.rewriter.referential, captions),
        }
        for name in PUBLISHED:
            tellers[name] = partial(published_captions, name, self.facts.name, clips)
        return tellers

    def _frame(self, index: int, clip: Clip, texts: StoryTexts) -> Frame:
        characters = clip.characters
        if characters is None:  # captions alone: who is named is all that is known
            named = {name for m in texts.tell("original")[index].mentions for name in m.characters}
            characters = tuple(c.name for c in self.facts.cast if c.name in named)
        load = partial(_load, self.source, self.choice, clip.id) if self.source.has_pictures else None
        return Frame(index, FrameTexts(texts, index), characters, clip.setting, load=load, id=clip.id)


def story_id(clip_id: str) -> str:
    """Return the id of the story that starts with a clip: the clip's own, as one word that can name a folder."""
    return clip_id.replace("/", "-")


def _load(source: ClipSource, choice: FrameChoice, clip_id: str) -> FramePixels:
    return source.pixels(clip_id, choice.of(clip_id, source.frame_count(clip_id)))
