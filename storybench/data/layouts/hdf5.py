"""FlintstonesSV and PororoSV from ARLDM's HDF5 file, with the clips' ids found again from the files beside it.

ARLDM wrote the rows in a known order: Flintstones as in the split file, keeping clips with four more of their episode
after them; Pororo by rising index into ``img_cache4.npy``. Where those files are beside the HDF5 file a clip has its
published id, and the first row that holds it serves it. Where they are not, every row is an episode of its own, with
clips ``train/000000/0`` to ``train/000000/4``, and ``notes`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from storybench.data.clips import Clip
from storybench.data.layouts.flintstones_annotation import SPLIT_FILE, read_split
from storybench.data.layouts.flintstones_release import in_story_order
from storybench.data.layouts.hdf5_file import FRAMES, Place, StripFile, find_h5, is_h5, mended
from storybench.data.layouts.pororo_captions import DESCRIPTIONS, LABELS, read_captions, read_labels, shown
from storybench.data.layouts.pororo_ids import (
    FOLLOWING,
    START_LIST,
    SUBSET_IDS,
    episode_lengths,
    episodes_of,
    read_start_list,
    read_subsets,
    split_id,
    start_list,
)
from storybench.data.layouts.pororo_strip import strip_length, sub_frame
from storybench.data.safe import read_pickle
from storybench.data.windows import Window, story_windows
from storybench.errors import DataError
from storybench.story import FramePixels

FLINTSTONES_LABELS = "labels.pkl"
Rows = dict[str, list[Window]]  # group -> the five clips of each row
Episodes = Mapping[str, Sequence[str]]


class HDF5Stories:
    """An HDF5 file whose rows have ids.

    Captions are as ARLDM stores them: stripped, without the line breaks and tabs of the published ones. A clip of an
    episode that no row holds has no caption.

    Attributes:
        notes: What a reader of the stories should know of this file, a sentence each.
    """

    layout = "hdf5"

    def __init__(self, file: StripFile, known: tuple[Episodes, Rows] | None, beside: str) -> None:
        """Read the captions and place every clip; no picture is read.

        Args:
            file: The HDF5 file.
            known: Episodes and the clips of each row; None if the files that tell them are absent.
            beside: Which files those are.

        Raises:
            DataError: If the file is damaged, or the ids do not fit its rows.
        """
        self.has_pictures = True
        self.notes: tuple[str, ...] = ()
        self._file, self._beside = file, beside
        texts = file.texts()
        if known is None:
            known = _unnamed(texts)
            self.notes = (
                f"{beside} not beside '{file.path.name}': its clips have no published ids and its episodes are "
                "unknown, so that neighbouring stories count as independent.",
            )
        self._episodes, self._rows = known
        self._member = {clip: episode for episode, clips in self._episodes.items() for clip in clips}
        self._captions: dict[str, str] = {}
        self._places: dict[str, Place] = {}
        self._shown: Mapping[str, tuple[str, ...]] = {}
        for group, rows in texts.items():
            self._place(group, rows)

    def episodes(self) -> Episodes:
        """Return episode -> its clips in story order."""
        return self._episodes

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return subset -> first clips of its rows."""
        return {group: [row[0] for row in rows] for group, rows in self._rows.items()}

    def clip(self, clip_id: str) -> Clip:
        """Return one clip.

        Raises:
            DataError: If no episode has such a clip.
        """
        if clip_id not in self._member:
            raise DataError(f"'{self._file.path}' has no clip {clip_id!r}: expected an id of its episodes.")
        text = self._captions.get(clip_id, "")
        return Clip(clip_id, self._member[clip_id], (text,) if text else (), self._shown.get(clip_id))

    def frame_count(self, clip_id: str) -> int:
        """Return the number of sub-frames of a clip's strip."""
        return strip_length(self._file.strip(self._where(clip_id)))

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Return sub-frame ``frame`` in true colours; there are no masks or boxes.

        Raises:
            DataError: If no row holds the clip, or its strip is damaged.
        """
        place = self._where(clip_id)
        return FramePixels(mended(sub_frame(self._file.strip(place), frame, self._file.named(place))), None, ())

    def _where(self, clip_id: str) -> Place:
        if clip_id not in self._places:
            raise DataError(f"No row of '{self._file.path}' holds clip {clip_id}: it is in no story of the file.")
        return self._places[clip_id]

    def _place(self, group: str, rows: list[tuple[str, ...]]) -> None:
        """Give every clip of a group its caption and its first place."""
        path, ids = self._file.path, self._rows[group]
        if len(ids) != len(rows):
            raise DataError(
                f"'{path}' has {len(rows)} {group} stories, {self._beside} beside it gives {len(ids)}: they are not of "
                "one release; bring those of the file, or take them away to read it without ids."
            )
        for number, (clips, captions) in enumerate(zip(ids, rows, strict=True)):
            for frame, (clip, caption) in enumerate(zip(clips, captions, strict=True)):
                # neighbouring rows share clips: a wrong order shows as a clip with two captions
                if self._captions.setdefault(clip, caption) != caption:
                    raise DataError(
                        f"Row {number} of {group} in '{path}' has another caption for clip {clip} than an earlier row: "
                        f"{self._beside} beside it is of another release; bring that of the file."
                    )
                self._places.setdefault(clip, (group, number, frame))


class FlintstonesHDF5(HDF5Stories):
    """``train-val-test_split.json`` beside the file gives the ids, ``labels.pkl`` the characters."""

    def __init__(self, root: Path) -> None:
        """Open the HDF5 file of a folder.

        Raises:
            DataError: If a file is missing or damaged, or they do not fit each other.
        """
        file, folder = _file(root, "flintstones")
        split = folder / SPLIT_FILE
        super().__init__(file, flintstones_rows(split) if split.is_file() else None, SPLIT_FILE)
        labels = folder / FLINTSTONES_LABELS
        if labels.is_file():
            self._shown = _flintstones_labels(labels)


class PororoHDF5(HDF5Stories):
    """``train_seen_unseen_ids.npy`` and ``img_cache4.npy`` beside the file give the ids, ``labels.npy`` the characters.

    ``descriptions.csv`` stands in for ``img_cache4.npy``: the list can be made again from the lengths of the episodes.
    """

    def __init__(self, root: Path) -> None:
        """Open the HDF5 file of a folder.

        Raises:
            DataError: If a file is missing or damaged, or they do not fit each other.
        """
        file, folder = _file(root, "pororo")
        super().__init__(file, pororo_rows(folder), f"{SUBSET_IDS} with {START_LIST}")
        if (folder / LABELS).is_file():
            self._shown = read_labels(folder / LABELS)


def is_hdf5(root: Path) -> bool:
    """Return whether a folder holds an HDF5 file, or ``root`` is one."""
    return any(is_h5(path) for path in ([root] if root.is_file() else root.iterdir()))


def flintstones_rows(split: Path) -> tuple[Episodes, Rows]:
    """Return episodes and the clips of every row, as ARLDM's script orders them by the split file."""
    subsets = read_split(split)
    episodes = in_story_order(clip for clips in subsets.values() for clip in clips)
    stories = {window[0]: window for window in story_windows(episodes, FRAMES, "overlapping")}
    return episodes, {group: [stories[clip] for clip in clips if clip in stories] for group, clips in subsets.items()}


def pororo_rows(folder: Path) -> tuple[Episodes, Rows] | None:
    """Return episodes and the clips of every row, as ARLDM's script orders them; None if the ids are not there."""
    ids, listed = folder / SUBSET_IDS, folder / START_LIST
    described = any((folder / name).is_file() for name in DESCRIPTIONS)
    if not ids.is_file() or not (listed.is_file() or described):
        return None
    if listed.is_file():
        starts = read_start_list(listed)
        lengths = {episode: last + FOLLOWING for episode, last in episode_lengths(starts).items()}
    else:
        lengths = episode_lengths(read_captions(folder))
        starts = start_list(lengths)
    return episodes_of(lengths), {
        group: [_five(clip) for clip in clips] for group, clips in read_subsets(ids, starts).items()
    }


def _five(start: str) -> Window:
    episode, number = split_id(start)
    return tuple(f"{episode}/{number + k}" for k in range(FRAMES))


def _unnamed(texts: Mapping[str, Sequence[tuple[str, ...]]]) -> tuple[Episodes, Rows]:
    rows = {
        group: [tuple(f"{group}/{row:06d}/{k}" for k in range(FRAMES)) for row in range(len(captions))]
        for group, captions in texts.items()
    }
    return {row[0].rpartition("/")[0]: row for windows in rows.values() for row in windows}, rows


def _file(root: Path, dataset: str) -> tuple[StripFile, Path]:
    path = find_h5(root, dataset)
    if path is None:
        raise DataError(f"'{root}' holds no HDF5 file: expected {dataset}.h5 as ARLDM's script writes it.")
    return StripFile(path), path.parent


def _flintstones_labels(path: Path) -> dict[str, tuple[str, ...]]:
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise DataError(f"'{path}' does not hold one dictionary by clip: take the file again.")
    return {clip: shown(path, clip, row, "flintstones") for clip, row in content.items()}
