"""How PororoSV names its frames, and which of them start a story of which subset.

A clip is ``<episode>/<k>`` here: ``Pororo_ENGLISH1_1_ep1/1``. The releases write the same clip as
``Pororo_ENGLISH1_1/Pororo_ENGLISH1_1_ep1/1.png``, with or without the ending, the series, or ``Pororo_``.

The split is three arrays of indexes into ``img_cache4.npy``, the list of all story starts. Its order is that of
torchvision's ImageFolder: **lexicographic** by series, episode and file name (1, 10, 11, .., 2), and it keeps frame k
of an episode of n frames iff k <= n - 4. The list can therefore be made again from the lengths of the episodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storybench.data.safe import read_npy
from storybench.errors import DataError

START_LIST, SUBSET_IDS = "img_cache4.npy", "train_seen_unseen_ids.npy"
SUBSETS = ("train", "val", "test")  # called train, seen and unseen by the file
FOLLOWING = 4  # clips after the first of a story, in the published lists
_CLIP = re.compile(r"(?:.*/)?([^/]+?_ep[0-9]{1,6})[/_]([0-9]{1,6})(?:\.png)?")
_EPISODE = re.compile(r".+_ep[0-9]{1,6}")


def clip_id(published: str) -> str | None:
    """Return the id of a clip that a release writes as ``published``; None if that names no clip."""
    found = _CLIP.fullmatch(published)
    return None if found is None else f"{episode_name(found[1])}/{int(found[2])}"


def episode_name(published: str) -> str:
    """Return an episode's (or series') name as in ``descriptions.csv``: it starts with ``Pororo_``."""
    return published if published.startswith("Pororo_") else f"Pororo_{published}"


def is_episode(name: str) -> bool:
    """Return whether a folder or a field can be the name of an episode."""
    return "/" not in name and _EPISODE.fullmatch(name) is not None


def series_of(episode: str) -> str:
    """Return the series of an episode: ``Pororo_ENGLISH1_1`` of ``Pororo_ENGLISH1_1_ep1``."""
    return episode.rpartition("_ep")[0]


def split_id(clip: str) -> tuple[str, int]:
    """Return episode and number of a clip id; number 0, which no clip has, if it is none."""
    episode, _, number = clip.rpartition("/")
    return episode, int(number) if number.isascii() and number.isdigit() else 0


def episode_lengths(clips: Iterable[str]) -> dict[str, int]:
    """Return episode -> its highest frame number, episodes ordered by series, then number (ep2 before ep10)."""
    lengths: dict[str, int] = {}
    for clip in clips:
        episode, number = split_id(clip)
        lengths[episode] = max(number, lengths.get(episode, 0))
    return dict(sorted(lengths.items(), key=lambda item: (series_of(item[0]), int(item[0].rpartition("_ep")[2]))))


def episodes_of(lengths: Mapping[str, int]) -> dict[str, list[str]]:
    """Return episode -> its clips 1..n, numbered without gaps."""
    return {episode: [f"{episode}/{k}" for k in range(1, count + 1)] for episode, count in lengths.items()}


def start_list(lengths: Mapping[str, int]) -> list[str]:
    """Return the clips of ``img_cache4.npy``, in its order, made from episode -> number of frames."""
    ordered = sorted(lengths, key=lambda episode: (series_of(episode), episode))
    return [f"{e}/{k}" for e in ordered for k in sorted(range(1, lengths[e] - FOLLOWING + 1), key=str)]


def read_start_list(path: Path) -> list[str]:
    """Return the clips of an ``img_cache4.npy``.

    Raises:
        DataError: If it is unreadable, or an entry names no clip.
    """
    array = read_npy(path)
    if array.ndim != 1 or array.dtype.kind not in "SU":
        raise DataError(f"'{path}' is not the list of story starts: expected a row of paths; take it again.")
    starts = []
    for entry in array.tolist():
        written = entry.decode("latin1") if isinstance(entry, bytes) else entry
        if (clip := clip_id(written)) is None:
            raise DataError(f"'{path}' names {written!r}, which is no frame: expected <series>/<episode>/<k>.png.")
        starts.append(clip)
    return starts


def read_subsets(path: Path, starts: Sequence[str]) -> dict[str, list[str]]:
    """Return subset -> the clips that start its stories, by rising index as ARLDM stores them.

    Args:
        path: ``train_seen_unseen_ids.npy``, three rows of indexes.
        starts: What they index: the clips of ``img_cache4.npy``.

    Raises:
        DataError: If there are not three rows of whole numbers, or one is out of range.
    """
    array = read_npy(path, objects=True)
    if array.ndim < 1 or len(array) != len(SUBSETS):
        raise DataError(f"'{path}' does not hold three rows of ids (train, seen, unseen): take it again.")
    rows = {name: _indexes(path, name, row, len(starts)) for name, row in zip(SUBSETS, array, strict=True)}
    return {name: [starts[i] for i in row] for name, row in rows.items()}


def _indexes(path: Path, subset: str, row: Any, count: int) -> list[int]:
    try:
        ids = np.asarray(row)
    except ValueError as error:
        raise DataError(f"The {subset} ids of '{path}' are no row of whole numbers: take it again.") from error
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise DataError(f"The {subset} ids of '{path}' are no row of whole numbers: take it again.")
    if (wrong := ids[(ids < 0) | (ids >= count)]).size:
        raise DataError(
            f"{wrong.size} of the {subset} ids of '{path}' are out of range, the first is {wrong[0]}: expected "
            f"0..{count - 1}, indexes into {START_LIST}; take both files from one release."
        )
    return [int(i) for i in np.sort(ids)]
