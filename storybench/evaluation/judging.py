"""From what was seen to records: a generated frame beside the true one, a stranger for the floor, and its twins."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from storybench.coreference.chance import cross_frame_mentions
from storybench.coreference.counterfactual import NameSwap
from storybench.coreference.places import names_place
from storybench.errors import DataError
from storybench.evaluation.watching import EXPLICIT, FrameReader, TrueFrames, Watcher
from storybench.metrics.record import FrameRecord, Swap
from storybench.perception.observation import Observation, Picture
from storybench.seeding import frame_seed
from storybench.statistics.clusters import story_clusters
from storybench.story import Caption, Mention, Story


@dataclass(frozen=True)
class Reels:
    """The frames of one run, and those that stand beside them; None where there are none."""

    drawn: FrameReader
    explicit: FrameReader | None = None  # the same stories from explicit captions with the same noise
    truth: TrueFrames | None = None
    swapped: FrameReader | None = None  # stories drawn again with a name swapped, with the same noise
    swaps: Mapping[str, NameSwap] = field(default_factory=dict)  # story id -> what was swapped


class Judge:
    """Makes the records of stories from what a :class:`Watcher` has seen."""

    def __init__(self, stories: Sequence[Story], reels: Reels, text: str, watcher: Watcher) -> None:
        self.stories = {story.id: story for story in stories}
        self.reels, self.text, self.watcher = reels, text, watcher
        self.reader = watcher.only("reading")  # twins are read, nothing else is asked of them
        self.place, self.order = deal(sorted(self.stories))
        self.clusters = story_clusters(stories)

    def watch(self) -> None:
        """Show every picture that a record needs to the networks, each once."""
        stories, reels = self.stories.values(), self.reels
        self.watcher.watch(p for story in stories for p in self.watcher.pictures(story, reels.drawn))
        if reels.truth is not None:
            self.watcher.watch(p for story in stories for p in self.watcher.pictures(story, reels.truth))
        self.reader.watch(p for story in stories for p in self._twins(story))

    def records(self, story: Story) -> list[FrameRecord]:
        """Return the records of one story.

        Raises:
            DataError: If a frame lacks the judged text.
        """
        refers = [self._mentions(story, k) for k in range(len(story.frames))]
        seen = self._seen(story, self.reels.drawn)
        truth = None if self.reels.truth is None else self._seen(story, self.reels.truth)
        strangers = self._strangers(story)
        explicit = self._explicit(story, refers)
        captions = tuple(f.captions[EXPLICIT].text for f in story.frames if EXPLICIT in f.captions)
        records = [
            FrameRecord(
                story=story.id,
                frame=frame.index,
                cluster=self.clusters[story.id],
                expected=frame.characters,
                setting=frame.setting,
                details=frame.details,
                mentions=refers[k],
                seen=seen[k],
                explicit=explicit.get(k),
                truth=None if truth is None else truth[k],
                stranger=None if strangers is None else strangers[k],
                named=_named(frame.captions[self.text]),
                setting_named=names_place(frame.captions[self.text].text, frame.setting, story.dataset, story.cast),
                captions=captions,
            )
            for k, frame in enumerate(story.frames)
        ]
        return self._with_swap(story, records)

    def _mentions(self, story: Story, k: int) -> tuple[Mention, ...]:
        captions = story.frames[k].captions
        if self.text not in captions:
            raise DataError(f"Story {story.id} has no text {self.text!r}; available: {', '.join(sorted(captions))}.")
        return cross_frame_mentions(captions[self.text].mentions)

    def _seen(self, story: Story, frames: FrameReader) -> list[Observation]:
        return self.watcher.observations(self.watcher.pictures(story, frames))

    def _twins(self, story: Story) -> list[Picture]:
        """Return the pictures that stand beside a story's own: of explicit text, and those of a swapped name."""
        pictures = [] if self.reels.explicit is None else self.reader.pictures(story, self.reels.explicit)
        swap = self.reels.swaps.get(story.id)
        if swap is not None and self.reels.swapped is not None:
            pictures += [self.reader.picture(story, k, self.reels.swapped) for k in (swap.named_frames[-1], swap.frame)]
        return pictures

    def _explicit(self, story: Story, refers: Sequence[tuple[Mention, ...]]) -> dict[int, Observation]:
        """Return what was read in the explicit twins of the frames that refer back."""
        if self.reels.explicit is None or not any(refers):
            return {}
        seen = self.reader.observations(self.reader.pictures(story, self.reels.explicit))
        return {k: seen[k] for k, mentions in enumerate(refers) if mentions}

    def _with_swap(self, story: Story, records: list[FrameRecord]) -> list[FrameRecord]:
        """Return the records with the counterfactual of the frame that it is about."""
        swap = self.reels.swaps.get(story.id)
        if swap is None or self.reels.swapped is None:
            return records
        pictures = [self.reader.picture(story, k, self.reels.swapped) for k in (swap.named_frames[-1], swap.frame)]
        naming, seen = self.reader.observations(pictures)
        named = naming.reading is not None and swap.replacement in naming.reading.characters
        about = Swap(swap.original, swap.replacement, seen, named)
        return [replace(r, swap=about) if k == swap.frame else r for k, r in enumerate(records)]

    def _strangers(self, story: Story) -> list[Observation] | None:
        """Return a true frame of another story for each frame, every one from a different story."""
        if self.reels.truth is None:
            return None
        others = strangers(story.id, self.place, self.order, self.clusters, len(story.frames))
        if others is None:
            return None
        pictures = [
            self.watcher.picture(self.stories[other], k % len(self.stories[other].frames), self.reels.truth)
            for k, other in enumerate(others)
        ]
        return self.watcher.observations(pictures, with_captions=False)  # they were not seen beside these captions


def deal(ids: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Return the place of each story in a shuffled circle, and the circle; always the same for the same ids."""
    order = list(ids)
    random.Random(frame_seed(0, "strangers", 0)).shuffle(order)
    return {story_id: i for i, story_id in enumerate(order)}, order


def strangers(
    story_id: str, place: Mapping[str, int], order: Sequence[str], clusters: Mapping[str, str], count: int
) -> list[str] | None:
    """Return ``count`` different stories of other clusters, the next ones in the circle; None if there are too few."""
    found: list[str] = []
    for step in range(1, len(order)):
        if len(found) == count:
            break
        other = order[(place[story_id] + step) % len(order)]
        if clusters[other] != clusters[story_id]:
            found.append(other)
    return found if len(found) == count else None


def as_ceiling(records: Sequence[FrameRecord]) -> list[FrameRecord] | None:
    """Return the records of a model that draws the true frames; None where they are not there."""
    return _instead(records, [r.truth for r in records])


def as_floor(records: Sequence[FrameRecord]) -> list[FrameRecord] | None:
    """Return the records of a model that draws true frames of other stories, whatever the text says."""
    return _instead(records, [r.stranger for r in records])


def _instead(records: Sequence[FrameRecord], drawn: Sequence[Observation | None]) -> list[FrameRecord] | None:
    out = []
    for r, seen in zip(records, drawn, strict=True):
        if seen is None:
            return None
        out.append(replace(r, seen=seen, explicit=None if r.explicit is None else r.truth, swap=None))
    return out


def _named(caption: Caption) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c for m in caption.mentions if m.kind == "explicit" for c in m.characters))
