"""FlintstonesSV: the split file, the clip ids in it and the stories that follow from them (no other file is needed)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storybench.data.safe import read_json
from storybench.data.verifying.report import Findings, some_of
from storybench.data.windows import Window, story_windows

SUBSETS = ("train", "val", "test")
CLIP_ID = re.compile(r"s_(\d\d)_e_(\d\d)_shot_(\d{6})_(\d{6})")
LENGTHS = (4, 5)


@dataclass(frozen=True)
class Split:
    """The clip ids of a release.

    Attributes:
        of: Subset -> clip ids as listed.
        episodes: Episode -> its clips, all sorted as strings.
    """

    of: Mapping[str, Sequence[str]]
    episodes: Mapping[str, Sequence[str]]

    @property
    def ids(self) -> list[str]:
        """All clip ids, sorted as strings, each once."""
        return sorted({clip for clips in self.of.values() for clip in clips})

    def stories(self, frames: int, subset: str) -> list[Window]:
        """Return the overlapping stories that start in a subset."""
        return story_windows(self.episodes, frames, "overlapping", self.of[subset])


def episode_of(clip: str) -> str:
    """Return the episode of a clip, ``s_01_e_02``: all before ``_shot_``."""
    return clip.partition("_shot_")[0]


def read_split(path: Path) -> Split:
    """Read a split file: ``{"train": [clip id], "val": ..., "test": ...}``.

    Raises:
        DataError: If it cannot be read.
        KeyError: If a subset is missing.
        TypeError: If it is not of this form.
    """
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise TypeError("expected an object with the keys train, val and test")
    of = {subset: raw[subset] for subset in SUBSETS}
    if not all(isinstance(clips, list) and all(isinstance(clip, str) for clip in clips) for clips in of.values()):
        raise TypeError("expected lists of clip ids")
    episodes: dict[str, list[str]] = {}
    for clip in sorted({clip for clips in of.values() for clip in clips}):
        episodes.setdefault(episode_of(clip), []).append(clip)
    return Split(of, episodes)


def check_split(split: Split, facts: Mapping[str, Any], found: Findings) -> None:
    """Check ids, episodes and counts of clips and stories against the published ones."""
    _check_ids(split, facts["clip_frames"], found)
    _check_episodes(split, facts, found)
    counts = facts["counts"]
    found.count("clips", len(split.ids), counts["clips"])
    found.count("episodes", len(split.episodes), counts["episodes"])
    for subset in SUBSETS:
        clips = split.of[subset]
        found.count(f"{subset} clips", len(clips), counts["clips_of"][subset])
        found.count(f"{subset} episodes", len({episode_of(c) for c in clips}), counts["episodes_of"][subset])
        for n in reversed(LENGTHS):
            found.count(f"{subset} {n}-frame stories", len(split.stories(n, subset)), counts["stories"][str(n)][subset])
    _check_tail(split, counts["unfiltered_test"], found)
    _check_paper_clips(split, facts["paper_clips"], found)


def neighbours(split: Split, following: int) -> dict[str, list[str]]:
    """Return what a published ``following_cache`` holds: clip -> the next clips of its episode.

    As the published loaders make it: the next ``following`` ids of the sorted list, kept if all are of the clip's
    episode. The list ends with the last clip, so that the last clips keep shorter lists.
    """
    ids = split.ids
    kept = {}
    for k, clip in enumerate(ids):
        after = ids[k + 1 : k + 1 + following]
        if all(episode_of(other) == episode_of(clip) for other in after):
            kept[clip] = after
    return kept


def _check_ids(split: Split, span: int, found: Findings) -> None:
    parsed = {clip: CLIP_ID.fullmatch(clip) for clip in split.ids}
    found.some(
        "clip_ids",
        [clip for clip, match in parsed.items() if match is None],
        "{n} clip ids are not of the form s_SS_e_EE_shot_SSSSSS_EEEEEE",
    )
    wrong = [clip for clip, match in parsed.items() if match and int(match[4]) - int(match[3]) != span - 1]
    found.some("clip_spans", wrong, f"{{n}} clip ids do not span {span} frames (end - start = {span - 1})")
    times = Counter(clip for subset in SUBSETS for clip in split.of[subset])
    found.some("repeated_clips", [c for c, n in times.items() if n > 1], "{n} clips are listed more than once")


def _check_episodes(split: Split, facts: Mapping[str, Any], found: Findings) -> None:
    homes: dict[str, set[str]] = {}
    for subset in SUBSETS:
        for clip in split.of[subset]:
            homes.setdefault(episode_of(clip), set()).add(subset)
    shared = sorted(episode for episode, where in homes.items() if len(where) > 1)
    found.some("shared_episodes", shared, "{n} episodes are in more than one subset, so that stories mix subsets")
    official = {
        f"s_{int(season):02d}_e_{episode:02d}": subset
        for subset, seasons in facts["official_episodes"].items()
        for season, (first, last) in seasons.items()
        for episode in range(first, last + 1)
    }
    moved = sorted(episode for episode, where in homes.items() if where != {official.get(episode, "train")})
    found.some("other_split", moved, "{n} episodes are not in the subset of the official split")


def _check_tail(split: Split, expected: Mapping[str, int], found: Findings) -> None:
    in_test = set(split.of["test"])
    for n in reversed(LENGTHS):
        kept = neighbours(split, n - 1)
        test = [clip for clip in kept if clip in in_test]
        found.count(f"test {n}-frame stories without a filter on length", len(test), expected[str(n)])
        short = [clip for clip in test if len(kept[clip]) < n - 1]
        found.some(
            "short_tail",
            short,
            f"the published {n}-frame rule does not filter on length and makes {{n}} stories too short at the end of "
            "the list (storybench leaves them out)",
            known=True,
        )


def _check_paper_clips(split: Split, clips: Sequence[str], found: Findings) -> None:
    test, val = (set(split.of[subset]) for subset in ("test", "val"))
    moved = [clip for clip in clips if clip in test]
    found.some(
        "paper_clips",
        moved,
        "{n} clips of val in the official split, which the StoryGPT-V paper shows, are in test here, so that its test "
        "numbers are of another split",
    )
    if not moved and all(clip in val for clip in clips):
        found.notes.append(f"The clips that the StoryGPT-V paper shows are in val: {some_of(clips)}.")
