"""A split over a data set: the stories that a selection takes, their ids, and the hash that ships for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from storybench.coreference.selection import EVERY, check_selection, takes
from storybench.data.clips import ClipSource
from storybench.data.facts import read_facts
from storybench.data.windows import default_rule, story_windows
from storybench.story import Story

FIVE = 5  # frames of the stories whose first clips have public captions
CORE_DATASETS = ("flintstones",)  # captions are public for the clips that start a five-frame story, and no others
Core = Callable[[Story], bool]


class SelectedStories(Sequence[Story]):
    """The stories of ``stories`` that a selection takes, each made when it is asked for.

    Iterating tests the stories one by one and keeps none; the length and an index need all of them tested, once.
    """

    def __init__(self, stories: Sequence[Story], select: str) -> None:
        """Select nothing yet.

        Raises:
            ConfigError: If there is no such selection.
        """
        check_selection(select)
        self.stories = stories
        self.select = select
        self._indices: list[int] | None = None

    @property
    def indices(self) -> list[int]:
        """Where the taken stories stand in ``stories``."""
        if self._indices is None:
            self._indices = [k for k in range(len(self.stories)) if takes(self.select, self.stories[k])]
        return self._indices

    def __len__(self) -> int:
        """Return the number of stories taken."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Story:  # type: ignore[override]
        """Make the ``index``-th story taken."""
        return self.stories[self.indices[index]]

    def __iter__(self) -> Iterator[Story]:
        """Make the stories taken, one after the other."""
        for k in range(len(self.stories)):
            story = self.stories[k]
            if takes(self.select, story):
                yield story


def selected(stories: Sequence[Story], select: str = EVERY) -> Sequence[Story]:
    """Return the stories that ``select`` takes, lazily; ``stories`` themselves for ``all``.

    Raises:
        ConfigError: If there is no such selection.
    """
    chosen = SelectedStories(stories, select)
    return stories if select == EVERY else chosen


def ids_sha256(ids: Iterable[str]) -> str:
    """Return the SHA-256 over story ids, sorted and joined by newlines: equal for equal sets of stories."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def core(dataset: str, stories: Sequence[Story]) -> Core | None:
    """Return which stories the shipped hashes cover; None: all.

    FlintstonesSV captions are public for clips that start a five-frame story. Only stories of such clips can be checked
    by everyone, so the shipped hashes are over those; with a whole release the other stories are left out of the hash.
    """
    source = getattr(stories, "source", None)
    if dataset not in CORE_DATASETS or source is None:
        return None
    episodes: Mapping[str, Sequence[str]] = source.episodes()
    starts = frozenset(clip for clips in episodes.values() for clip in clips[: max(0, len(clips) - FIVE + 1)])
    return lambda story: all(frame.id in starts for frame in story.frames)


def shipped(dataset: Mapping[str, Any], subset: str, select: str) -> dict[str, Any] | None:
    """Return ``{"stories", "sha256"}`` as shipped for a split of a data set in its standard form, or None.

    Args:
        dataset: Configuration of the data set; another size, seed or story rule is another set of stories.
        subset: Its subset.
        select: The selection.
    """
    frames = int(dataset.get("frames") or FIVE)
    drawn = dataset.get("root") is None  # from seeds, not from files
    other = (
        dataset.get("size") is not None
        or (drawn and dataset.get("seed", 0) != 0)
        or dataset.get("rule", "auto") not in ("auto", default_rule(frames))
    )
    if other:
        return None
    entry: dict[str, Any] | None = read_facts("splits").get(dataset["name"], {}).get(f"{subset}/{frames}/{select}")
    return entry


def compared(entry: Mapping[str, Any] | None, sha256: str) -> str:
    """Return ``matches``, ``differs`` or ``not shipped``."""
    if entry is None:
        return "not shipped"
    return "matches" if entry["sha256"] == sha256 else "differs"


def subset_frames(source: ClipSource, frames: int, rule: str = "auto") -> dict[str, Any] | None:
    """Return how many frames each subset has, and how many every two subsets share; None without subsets.

    Counted from ids alone, over all stories that the rule gives.
    """
    subsets = source.subsets()
    if not subsets:
        return None
    episodes = source.episodes()
    taken = {
        name: {clip for window in story_windows(episodes, frames, rule, starts) for clip in window}
        for name, starts in subsets.items()
    }
    pairs = combinations(taken, 2)
    return {
        "frames": {name: len(clips) for name, clips in taken.items()},
        "shared": {f"{a} & {b}": len(taken[a] & taken[b]) for a, b in pairs},
    }
