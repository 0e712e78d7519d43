"""PororoSV as text: captions, and labels and split where they are beside. The layout of strips adds pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from storybench.data.clips import Clip
from storybench.data.facts import load_facts
from storybench.data.layouts.pororo_ids import (
    START_LIST,
    SUBSET_IDS,
    clip_id,
    episode_lengths,
    episodes_of,
    is_episode,
    read_start_list,
    read_subsets,
    split_id,
    start_list,
)
from storybench.data.safe import read_csv_rows, read_npy
from storybench.errors import DataError
from storybench.story import FramePixels

DESCRIPTIONS = ("descriptions.csv", "descriptions.npy")
LABELS, COUNTER = "labels.npy", "frames_counter.npy"


class PororoCaptions:
    """A folder with ``descriptions.csv`` or ``descriptions.npy``, and no pictures.

    ``labels.npy``, ``frames_counter.npy``, ``train_seen_unseen_ids.npy`` and ``img_cache4.npy`` are used if there.
    Every episode has the clips 1..n; a number without caption is a clip without captions.

    Attributes:
        notes: What a reader of the stories should know of this folder, a sentence each.
    """

    layout = "captions"
    has_pictures = False

    def __init__(self, root: Path) -> None:
        """Read captions and labels.

        Raises:
            DataError: If there are no captions, or a file is damaged.
        """
        self.root = root
        self.notes: tuple[str, ...] = ()
        self._captions = read_captions(root)
        self._labels = read_labels(root / LABELS) if (root / LABELS).is_file() else {}
        self._lengths = episode_lengths([*self._captions, *_last_clips(root / COUNTER)])
        if (root / SUBSET_IDS).is_file() and not (root / START_LIST).is_file():
            self.notes += (f"{START_LIST} is absent: the list of story starts was made again by the published rule.",)

    def episodes(self) -> Mapping[str, Sequence[str]]:
        """Return episode -> its clips 1..n."""
        return self._episodes

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return subset -> clips that start its stories; empty without ``train_seen_unseen_ids.npy``.

        Raises:
            DataError: If the files of the split are damaged, or do not fit each other or the captions.
        """
        return self._subsets

    def clip(self, clip_id: str) -> Clip:
        """Return one clip.

        Raises:
            DataError: If no episode has such a clip.
        """
        return self._clip(clip_id)

    def frame_count(self, clip_id: str) -> int:
        """Return 0: there are no pictures."""
        return 0

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Refuse: there are no pictures.

        Raises:
            DataError: Always.
        """
        raise DataError(
            f"'{self.root}' has captions only, no picture {frame} of {clip_id}: open a release with its pictures."
        )

    def _clip(self, clip_id: str) -> Clip:
        episode, number = split_id(clip_id)
        if not 1 <= number <= self._lengths.get(episode, 0):
            raise DataError(f"'{self.root}' has no clip {clip_id!r}: expected an id such as Pororo_ENGLISH1_1_ep1/1.")
        captions = self._captions.get(clip_id, ("",))
        return Clip(clip_id, episode, captions if captions[0].strip() else (), self._labels.get(clip_id))

    @cached_property
    def _episodes(self) -> dict[str, list[str]]:
        return episodes_of(self._lengths)

    @cached_property
    def _subsets(self) -> dict[str, list[str]]:
        ids, listed = self.root / SUBSET_IDS, self.root / START_LIST
        if not ids.is_file():
            return {}
        starts = read_start_list(listed) if listed.is_file() else start_list(self._lengths)
        for clip in starts:
            episode, number = split_id(clip)
            if not 1 <= number <= self._lengths.get(episode, 0):
                raise DataError(
                    f"'{listed}' names clip {clip}, which the captions beside it do not know: take both of one release."
                )
        return read_subsets(ids, starts)


def read_captions(root: Path) -> dict[str, tuple[str, ...]]:
    """Return clip -> its captions in published order, from the CSV file if there is one, else from the array.

    Raises:
        DataError: If there is neither, it is damaged, or a row is not what it should be.
    """
    table, array = (root / name for name in DESCRIPTIONS)
    if not table.is_file() and array.is_file():
        return {clip: _texts(array, clip, texts) for clip, texts in _by_clip(array).items()}
    captions: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(read_csv_rows(table), start=1):
        clip = clip_id(f"{row[0]}/{row[1]}") if len(row) == 3 and is_episode(row[0]) else None
        if clip is None:
            raise DataError(f"Row {number} of '{table}' is not episode, frame, caption: take the file again.")
        captions[clip] = (*captions.get(clip, ()), row[2])
    if not captions:
        raise DataError(f"'{table}' is empty: expected rows of episode, frame, caption; take the file again.")
    return captions


def read_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Return clip -> the characters shown, from a ``labels.npy``.

    Raises:
        DataError: If it is damaged, or a clip has not one number a character.
    """
    return {clip: shown(path, clip, row) for clip, row in _by_clip(path).items()}


def shown(path: Path, clip: str, row: Any, dataset: str = "pororo") -> tuple[str, ...]:
    """Return the characters whose number in ``row``, in label order, is not 0.

    Raises:
        DataError: If there is not one number a character; ``path`` and ``clip`` say of what.
    """
    cast = load_facts(dataset).cast
    try:
        numbers = np.asarray(row, dtype=float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (len(cast),):
        raise DataError(f"'{path}' does not label clip {clip} with {len(cast)} numbers: take the file again.")
    return tuple(c.name for c, present in zip(cast, numbers, strict=True) if present)


def _by_clip(path: Path) -> dict[str, Any]:
    """Return the dictionary of an array of one object, by clip id."""
    array = read_npy(path, objects=True)
    content = array.item() if array.ndim == 0 else None
    if not isinstance(content, dict):
        raise DataError(f"'{path}' does not hold one dictionary by frame: take the file again.")
    found = {}
    for key, value in content.items():
        written = key.decode("latin1") if isinstance(key, bytes) else str(key)
        if (clip := clip_id(written)) is None:
            raise DataError(f"'{path}' names {written!r}, which is no frame: expected <series>/<episode>/<k>.")
        found[clip] = value
    return found


def _texts(path: Path, clip: str, texts: Any) -> tuple[str, ...]:
    listed = list(texts) if isinstance(texts, (list, tuple, np.ndarray)) else [texts]
    decoded = [text.decode("latin1") if isinstance(text, bytes) else text for text in listed]
    if not all(isinstance(text, str) for text in decoded):
        raise DataError(f"'{path}' holds something other than captions for clip {clip}: take the file again.")
    return tuple(str(text) for text in decoded)


def _last_clips(counter: Path) -> list[str]:
    """Return the last clip of every episode that a ``frames_counter.npy`` counts; none without the file."""
    if not counter.is_file():
        return []
    content = read_npy(counter, objects=True)
    counts = content.item() if content.ndim == 0 else None
    if not isinstance(counts, dict):
        raise DataError(f"'{counter}' does not hold one dictionary by episode: take the file again.")
    last = []
    for key, count in counts.items():
        written = key.decode("latin1") if isinstance(key, bytes) else str(key)
        clip = clip_id(f"{written.strip('/')}/{count}")
        if clip is None:
            raise DataError(f"'{counter}' counts {written!r}: {count!r}, expected <series>/<episode>/ and a number.")
        last.append(clip)
    return last
