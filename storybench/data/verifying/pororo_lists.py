"""PororoSV: the list of stories that the split indexes, and the split itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storybench.data.layouts.pororo_ids import FOLLOWING, SUBSETS, split_id
from storybench.data.layouts.pororo_ids import START_LIST as CACHE
from storybench.data.layouts.pororo_ids import SUBSET_IDS as IDS
from storybench.data.safe import read_npy
from storybench.data.verifying.pororo_captions import frame_id
from storybench.data.verifying.report import Findings, some_of

NEXT = "following_cache4.npy"


def read_cache(path: Path) -> list[str]:
    """Read ``img_cache4.npy``: the paths of the strips that start a story.

    Raises:
        DataError: If it cannot be read.
        ValueError: If an entry is of another form.
    """
    return [frame_id(entry) for entry in read_npy(path, objects=True).ravel()]


def check_cache(starts: Sequence[str], found: Findings) -> list[str]:
    """Check ``img_cache4.npy`` and ``following_cache4.npy``; return the list that the split indexes."""
    listed = found.read(CACHE, read_cache)
    if listed is not None and listed != starts:
        lost, extra = Counter(starts) - Counter(listed), Counter(listed) - Counter(starts)
        found.some("img_cache_missing", sorted(lost), f"{{n}} story starts by the frame numbers are not in {CACHE}")
        found.some("img_cache_unknown", sorted(extra), f"{{n}} entries of {CACHE} start no story by the frame numbers")
        if not lost and not extra:
            at = next(k for k, (ours, theirs) in enumerate(zip(starts, listed, strict=True)) if ours != theirs)
            found.defect(
                "img_cache_order",
                f"{CACHE} is in another order than ImageFolder's: entry {at} is {listed[at]}, expected {starts[at]}.",
            )
    current = starts if listed is None else listed
    _check_following(current, found)
    return list(current)


def check_subsets(listed: Sequence[str], facts: Mapping[str, Any], found: Findings) -> dict[str, int] | None:
    """Check ``train_seen_unseen_ids.npy``; return subset -> number of stories, None if it is absent or unreadable.

    Args:
        listed: The frames that start a story, as the ids index them.
        facts: Those of PororoSV in ``releases.json``.
        found: Takes what is wrong.
    """
    ids = found.read(IDS, _read_ids)
    if ids is None:
        return None
    counts = facts["counts"]
    for subset in SUBSETS:
        found.count(f"{subset} stories", len(ids[subset]), counts["subsets"][subset])
    found.count("stories in a subset", sum(map(len, ids.values())), sum(counts["subsets"].values()))
    outside = [f"{subset} {k}" for subset in SUBSETS for k in ids[subset] if not 0 <= k < len(listed)]
    found.some("ids_out_of_range", outside, f"{{n}} ids of {IDS} are outside 0..{len(listed) - 1}")
    times = Counter(k for subset in SUBSETS for k in ids[subset])
    repeated = [str(k) for k, n in sorted(times.items()) if n > 1]
    found.some("ids_repeated", repeated, f"{{n}} ids of {IDS} are in more than one subset, or twice in one")
    starts = {subset: [listed[k] for k in ids[subset] if 0 <= k < len(listed)] for subset in SUBSETS}
    _check_missing(listed, starts, facts, found)
    _check_overlap(starts, found)
    return {subset: len(ids[subset]) for subset in SUBSETS}


def story_frames(start: str) -> list[str]:
    """Return the 5 frames of the story that starts with ``start``."""
    episode, first = split_id(start)
    return [f"{episode}/{first + k}" for k in range(FOLLOWING + 1)]


def _read_ids(path: Path) -> dict[str, list[int]]:
    raw = read_npy(path, objects=True)
    if len(raw) != len(SUBSETS):
        raise ValueError(f"{len(raw)} arrays, expected 3: train, seen, unseen")
    return {subset: [int(k) for k in np.asarray(part).ravel()] for subset, part in zip(SUBSETS, raw, strict=True)}


def _check_following(listed: Sequence[str], found: Findings) -> None:
    rows = found.read(NEXT, lambda path: [[frame_id(x) for x in row] for row in read_npy(path, objects=True)])
    if rows is None:
        return
    if len(rows) != len(listed):
        found.defect("following", f"{NEXT} has {len(rows):,} rows for {len(listed):,} stories.")
    wrong = [start for start, row in zip(listed, rows, strict=False) if row != story_frames(start)[1:]]
    found.some("following", wrong, f"{{n}} rows of {NEXT} are not the next 4 frames")


def _check_missing(
    listed: Sequence[str], starts: Mapping[str, Sequence[str]], facts: Mapping[str, Any], found: Findings
) -> None:
    held = {start for subset in SUBSETS for start in starts[subset]}
    missing = [start for start in listed if start not in held]
    found.count("stories in no subset", len(missing), facts["counts"]["missing"])
    per_episode = Counter(split_id(start)[0] for start in missing)
    totals = Counter(split_id(start)[0] for start in listed)
    lost = {e for e in per_episode if "Racing_Adventure_" in e and e.rpartition("_")[2] in facts["lost_episodes"]}
    told = {e: f"{e} ({per_episode[e]} of {totals[e]})" for e in sorted(per_episode)}
    if lost:
        found.defect(
            "missing_racing_adventure",
            f"{sum(per_episode[e] for e in lost):,} stories of Racing_Adventure are in no subset, because the "
            f"published split was drawn by indexing the wrong list: {', '.join(told[e] for e in sorted(lost))}.",
            known=True,
        )
    elsewhere = [told[e] for e in told if e not in lost]
    found.some("missing_stories", elsewhere, "{n} other episodes have stories that are in no subset")


def _check_overlap(starts: Mapping[str, Sequence[str]], found: Findings) -> None:
    frames = {subset: {f for start in starts[subset] for f in story_frames(start)} for subset in SUBSETS}
    if frames["val"]:
        shared = len(frames["val"] & frames["train"])
        if shared:
            found.defect(
                "val_not_held_out",
                f"{shared:,} of the {len(frames['val']):,} frames of val ({100 * shared / len(frames['val']):.1f} %) "
                "are also in stories of train: val is not held out.",
                known=True,
            )
        with_test = len(frames["val"] & frames["test"])
        if with_test:
            found.defect("val_in_test", f"{with_test:,} frames of val are also in stories of test.", known=True)
    episodes = {subset: {split_id(start)[0] for start in starts[subset]} for subset in SUBSETS}
    if both := sorted(episodes["train"] & episodes["test"]):
        found.defect(
            "test_not_held_out",
            f"{len(both):,} episodes are in train and test, which the published split keeps apart: {some_of(both)}.",
        )
