"""Counts over stories, in one pass that keeps no story: texts, characters, references, overlap, splits.

References are counted twice over: as mentions, which know their antecedent, and as words he, she and they in the text
as told, which anybody can count. The published substring counter stands apart (:class:`PublishedTally`): it is an
artefact, reproduced for comparison only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from storybench.coreference.chance import cross_frame_mentions
from storybench.coreference.counters import frames_beginning, frames_containing
from storybench.coreference.selection import EVERY, SELECTIONS, STRATA
from storybench.story import Caption, Story


class TextTally:
    """Captions and mentions of one text mode."""

    def __init__(self) -> None:
        self.captions = 0
        self.words = 0
        self.containing = 0
        self.beginning = 0
        self.cross_frame = 0
        self._distinct: set[str] = set()
        self._kinds: Counter[str] = Counter()
        self._forms: Counter[str] = Counter()
        self._distances: Counter[int] = Counter()
        self._surfaces: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()

    def add(self, captions: Sequence[Caption]) -> None:
        """Count the captions of one story."""
        texts = [caption.text for caption in captions]
        self.captions += len(texts)
        self.words += sum(len(text.split()) for text in texts)
        self.containing += frames_containing(texts)
        self.beginning += frames_beginning(texts)
        self._distinct.update(texts)
        for mention in (m for caption in captions for m in caption.mentions):
            self._kinds[mention.kind] += 1
            if mention.kind == "referential":
                self._forms[mention.form] += 1
                self._surfaces[mention.surface.lower()] += 1
                self._flags["ambiguous"] += mention.ambiguous
                if mention.distance is not None:
                    self._distances[mention.distance] += 1
        for mention in cross_frame_mentions(m for caption in captions for m in caption.mentions):
            self.cross_frame += 1
            self._flags["cross_plural"] += len(mention.characters) > 1
            self._flags["cross_ambiguous"] += mention.ambiguous

    def mentions(self) -> dict[str, Any]:
        """Return counts of captions and of mentions of every kind, those inside one caption too."""
        return {
            "distinct_captions": len(self._distinct),
            "mentions": sum(self._kinds.values()),
            "referential": self._kinds["referential"],
            "uncertain": self._kinds["uncertain"],
            "ambiguous": self._flags["ambiguous"],
            "forms": by_key(self._forms),
            "distances": by_key(self._distances),
            "surfaces": by_key(self._surfaces),
        }

    def references(self, stories: int) -> dict[str, Any]:
        """Return references a story: by words, and across frames by mentions."""
        return {
            "per_story": {
                "frames_with_he_she_they": ratio(self.containing, stories),
                "frames_beginning_with_he_she_they": ratio(self.beginning, stories),
            },
            "cross_frame": {"total": self.cross_frame, "per_story": ratio(self.cross_frame, stories)},
            "distance": by_key(Counter({k: n for k, n in self._distances.items() if k >= 1})),
            "plural": self._flags["cross_plural"],
            "ambiguous": self._flags["cross_ambiguous"],
            "uncertain": self._kinds["uncertain"],
        }


class StoryTally:
    """Everything ``storybench data stats`` counts of the stories it is shown."""

    def __init__(self, text: str, original: str, texts: Sequence[str] = ()) -> None:
        """Count nothing yet.

        Args:
            text: The text mode whose references are counted.
            original: The mode that ``text`` is compared with.
            texts: All modes to count mentions of; by default these two. No other mode is told.
        """
        self.text = text
        self.original = original
        self.stories = self.frames = self.changed_frames = 0
        self._texts = {mode: TextTally() for mode in dict.fromkeys([*texts, original, text])}
        self._characters: Counter[str] = Counter()
        self._sizes: Counter[int] = Counter()
        self._settings: Counter[str] = Counter()
        self._clusters: set[str] = set()
        self._first_seen: dict[str, int] = {}  # frame id -> the first story that has it
        self._sharing: set[int] = set()

    def add(self, story: Story) -> None:
        """Count one story."""
        for mode, tally in self._texts.items():
            tally.add([frame.captions[mode] for frame in story.frames])
        self._clusters.add(story.cluster or story.id)
        for frame in story.frames:
            changed = frame.captions[self.text].text != frame.captions[self.original].text
            self.changed_frames += changed
            self._characters.update(frame.characters)
            self._sizes[len(frame.characters)] += 1
            if frame.setting:
                self._settings[frame.setting] += 1
            first = self._first_seen.setdefault(frame.id or f"{story.id}/{frame.index}", self.stories)
            if first != self.stories:
                self._sharing |= {first, self.stories}
        self.stories += 1
        self.frames += len(story.frames)

    def report(self) -> dict[str, Any]:
        """Return all counts as plain data."""
        told = self._texts[self.text]
        return {
            "stories": self.stories,
            "frames": self.frames,
            "distinct_frames": len(self._first_seen),
            "clusters": len(self._clusters),
            "words": {
                "total": told.words,
                "per_caption": ratio(told.words, told.captions),
                "per_story": ratio(told.words, self.stories),
            },
            "characters_a_frame": by_key(self._sizes),
            "characters": by_key(self._characters),
            "settings": by_key(self._settings),
            "references": {**told.references(self.stories), "changed_frames": self.changed_frames},
            "texts": {mode: tally.mentions() for mode, tally in self._texts.items()},
            "overlap": {
                "stories_sharing_a_frame": ratio(len(self._sharing), self.stories),
                "stories_per_frame": ratio(self.frames, len(self._first_seen)),
            },
        }


class SplitTally:
    """Which stories each selection takes, and how many two selections share."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {name: [] for name in SELECTIONS}
        self.stories: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()

    def add(self, story_id: str, taken_by: frozenset[str], core: bool = True) -> None:
        """Count one story that the selections ``taken_by`` take; its id is kept if it is of the hashed ``core``."""
        names = [name for name in STRATA if name in taken_by]
        self._pairs.update((a, b) for a in names for b in names)
        for name in (EVERY, *names):
            self.stories[name] += 1
            if core:
                self.ids[name].append(story_id)

    def shared(self) -> dict[str, dict[str, int]]:
        """Return selection -> selection -> number of stories in both; the diagonal is its size."""
        return {a: {b: self._pairs[a, b] for b in STRATA} for a in STRATA}


class PublishedTally:
    """The references that published code counts, an artefact, beside what its text really holds."""

    def __init__(self) -> None:
        self.stories = self.counted = self.containing = self.beginning = 0
        self._frames: Counter[str] = Counter()
        self._crashes: Counter[str] = Counter()

    def add(self, counted: int, texts: Sequence[str], events: Mapping[str, int], crashes: Sequence[str] = ()) -> None:
        """Count one story: its published count, its texts, frames by event, and the exceptions of crashed frames."""
        self.stories += 1
        self.counted += counted
        self.containing += frames_containing(texts)
        self.beginning += frames_beginning(texts)
        self._frames.update(events)
        self._crashes.update(crash for crash in crashes if crash)

    def report(self) -> dict[str, Any]:
        """Return means a story, and totals of frames."""
        return {
            "published_count_per_story": ratio(self.counted, self.stories),
            "frames_with_he_she_they_per_story": ratio(self.containing, self.stories),
            "frames_beginning_with_he_she_they_per_story": ratio(self.beginning, self.stories),
            **{f"{event}_frames": n for event, n in sorted(self._frames.items())},
            "crashed_frames": sum(self._crashes.values()),
            "crashes": by_key(self._crashes),
        }


def ratio(count: int, total: int) -> float | None:
    """Return ``count / total`` to six digits, None where nothing was counted."""
    return round(count / total, 6) if total else None


def by_key(counter: Counter[Any]) -> dict[str, int]:
    """Return counts by key, in order of the keys."""
    return {str(key): counter[key] for key in sorted(counter)}
