"""PororoSV in StoryGPT-V's folder: sub-frames super-resolved to 512 px, one ``.npy`` a clip, with masks where made.

How this release writes a clip's id is not published; every way that :mod:`~storybench.data.layouts.pororo_ids` knows
is read, and files are looked for under the id as written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from storybench.data.clips import Box, Clip
from storybench.data.facts import load_facts
from storybench.data.layouts.pororo_captions import shown
from storybench.data.layouts.pororo_ids import SUBSETS, clip_id, episode_lengths, episodes_of, split_id
from storybench.data.safe import read_json, read_npy, read_pickle
from storybench.errors import DataError
from storybench.story import FramePixels

ANNOTATIONS, SPLIT, LABELS = "cleaned_annotations.json", "split.json", "labels.pkl"
PICTURES, MASKS = "video_frames_sampled_4x", "seg_mask_4x_comb"
CANVAS_PX = 128  # side of the canvas that boxes are annotated on
MAX_INSTANCES = 255  # a clip has a handful; a larger id is damage, not a crowd


class PororoStoryGPTV:
    """``cleaned_annotations.json``, ``split.json``, ``labels.pkl``, ``video_frames_sampled_4x``, ``seg_mask_4x_comb``.

    Without ``split.json`` there are no subsets, without ``labels.pkl`` no characters, without a mask file no map. A
    pixel of a map is the ``id`` of a segment, and segment k has the k-th box; an id that no segment has leaves an empty
    one.
    """

    layout = "storygptv"

    def __init__(self, root: Path) -> None:
        """Read annotations, labels and split; no picture is opened.

        Raises:
            DataError: If a file is missing or damaged, or names clips that the annotations do not know.
        """
        self.root = root
        self.has_pictures = (root / PICTURES).is_dir()
        self.notes: tuple[str, ...] = ()
        self._written: dict[str, str] = {}
        self._clips: dict[str, Clip] = {}
        self._boxes: dict[str, tuple[Box, ...]] = {}
        path = root / ANNOTATIONS
        annotations = read_json(path)
        if not isinstance(annotations, dict):
            raise DataError(f"'{path}' is not an annotation by frame: expected an object of ids; take it again.")
        labels = _labels(root / LABELS)
        for written, entry in annotations.items():
            clip = _id(path, written)
            self._written[clip] = written
            captions, boxes = _captions_and_boxes(path, clip, entry)
            annotated = tuple(boxes[k] for k in sorted(boxes))
            self._clips[clip] = Clip(clip, split_id(clip)[0], captions, labels.get(clip), boxes=annotated)
            self._boxes[clip] = tuple(boxes.get(k, Box("", 0, 0, 0, 0)) for k in range(1, max(boxes, default=0) + 1))
        self._episodes = episodes_of(episode_lengths(self._clips))
        self._subsets = self._read_split(root / SPLIT)

    def episodes(self) -> Mapping[str, Sequence[str]]:
        """Return episode -> its clips 1..n; a number that is not annotated is a clip without captions."""
        return self._episodes

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return subset -> clips that start its stories, as listed."""
        return self._subsets

    def clip(self, clip_id: str) -> Clip:
        """Return one clip."""
        return self._clips.get(clip_id) or Clip(clip_id, split_id(clip_id)[0])

    def frame_count(self, clip_id: str) -> int:
        """Return how many pictures a clip has; only the header of its file is read."""
        return len(self._pictures(clip_id))

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Return picture ``frame`` with its instance map, boxes and words, as far as the folder has them.

        Raises:
            DataError: If the file is missing, damaged, or has no such picture.
        """
        pictures = self._pictures(clip_id)
        if not 0 <= frame < len(pictures):
            raise DataError(f"Clip {clip_id} of '{self.root}' has pictures 0..{len(pictures) - 1}, not {frame}.")
        image = Image.fromarray(np.array(pictures[frame]))
        path = self.root / MASKS / f"{self._file_name(clip_id)}-frame{frame}.npy"
        instances = np.array(read_npy(path)) if path.is_file() else None
        if instances is not None and (instances.shape != image.size[::-1] or instances.dtype.kind not in "biu"):
            raise DataError(
                f"'{path}' holds {instances.dtype} of shape {instances.shape}: expected whole numbers of shape "
                f"{image.size[::-1]}; take the file again from its source."
            )
        boxes = self._boxes.get(clip_id, ())
        rectangles = tuple(_scaled(box, image.size) for box in boxes)
        return FramePixels(image, instances, rectangles, tuple(_cast_name(box.label) for box in boxes))

    def _file_name(self, clip_id: str) -> str:
        return self._written.get(clip_id, clip_id)

    def _pictures(self, clip_id: str) -> np.ndarray:
        """Map the pictures of a clip: (n, height, width, 3) uint8."""
        path = self.root / PICTURES / f"{self._file_name(clip_id)}.npy"
        pictures = read_npy(path, mmap=True)
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or not pictures.size:
            raise DataError(
                f"'{path}' holds {pictures.dtype} of shape {pictures.shape}: expected uint8 (pictures, height, width, "
                "3); take the file again from its source."
            )
        return pictures

    def _read_split(self, path: Path) -> dict[str, list[str]]:
        if not path.is_file():
            return {}
        content = read_json(path)
        if not isinstance(content, dict) or any(not isinstance(content.get(subset), list) for subset in SUBSETS):
            raise DataError(f"'{path}' is not a split file: expected lists of ids under train, val and test.")
        listed = {subset: [_id(path, written) for written in content[subset]] for subset in SUBSETS}
        unknown = [clip for clips in listed.values() for clip in clips if clip not in self._clips]
        if unknown:
            raise DataError(
                f"'{path}' lists {len(unknown)} clips that {ANNOTATIONS} does not know, first {unknown[0]}: take split "
                "and annotation from one release."
            )
        return listed


def _id(path: Path, written: Any) -> str:
    clip = clip_id(written) if isinstance(written, str) else None
    if clip is None:
        raise DataError(f"'{path}' names {written!r}, which is no frame: expected ids like Pororo_ENGLISH1_1_ep1/1.")
    return clip


def _labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Return clip -> the characters shown; empty without the file."""
    if not path.is_file():
        return {}
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise DataError(f"'{path}' does not hold one dictionary by frame: take the file again.")
    return {clip: shown(path, clip, row) for clip, row in ((_id(path, key), row) for key, row in content.items())}


def _captions_and_boxes(path: Path, clip: str, entry: Any) -> tuple[tuple[str, ...], dict[int, Box]]:
    """Return the captions of a clip, none if the first is blank, and id -> box of its segments."""
    try:
        captions = tuple(entry["captions"])
        boxes = {int(segment["id"]): _box(segment) for segment in entry.get("segments") or ()}
        if not all(isinstance(caption, str) for caption in captions):
            raise TypeError("a caption is no text")
        if not all(1 <= k <= MAX_INSTANCES for k in boxes):
            raise ValueError(f"ids are {sorted(boxes)}")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"Clip {clip} of '{path}' cannot be read ({type(error).__name__}: {error}): expected captions, and "
            f"segments with id (1 to {MAX_INSTANCES}) and word; take the file again."
        ) from error
    return captions if captions and captions[0].strip() else (), boxes


def _box(segment: Any) -> Box:
    """Return a segment's box; an empty one where none was annotated, for how these were made is not published."""
    x0, y0, x1, y1 = (round(float(side)) for side in segment.get("bbox") or (0, 0, 0, 0))
    return Box(str(segment["word"]), x0, y0, x1, y1)


def _cast_name(word: str) -> str:
    return next((c.name for c in load_facts("pororo").cast if c.name.lower() == word.strip().lower()), word)


def _scaled(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    (width, height), (_, x0, y0, x1, y1) = size, box
    across = [min(max(x * width // CANVAS_PX, 0), width) for x in (x0, x1)]
    down = [min(max(y * height // CANVAS_PX, 0), height) for y in (y0, y1)]
    return across[0], down[0], across[1], down[1]
