"""What the picture layouts of FlintstonesSV share: clips in story order, and one ``.npy`` of pictures a clip.

Opening reads annotation and split. A picture is read when it is asked for, from a file that is only mapped, so that
memory stays flat whatever the size of the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from storybench.data.clips import Clip
from storybench.data.layouts.flintstones_annotation import (
    ANNOTATION_FILE,
    CANVAS_PX,
    SPLIT_FILE,
    Annotation,
    episode_of,
    name_of,
    read_annotations,
    read_split,
)
from storybench.data.safe import read_npy
from storybench.errors import DataError
from storybench.story import FramePixels

Rectangle = tuple[int, int, int, int]


class Instances(NamedTuple):
    """Who is where in one picture: the map or None, and for instance k box and name at index k - 1."""

    map: np.ndarray | None
    boxes: tuple[Rectangle, ...]
    labels: tuple[str, ...]


class FlintstonesRelease:
    """A release with annotation and a folder of pictures.

    Attributes:
        layout: Name of the layout.
        has_pictures: Whether pictures are read; False if their folder is not there.
        root: The release's folder.
    """

    layout = ""
    pictures_folder = ""
    split_file = SPLIT_FILE

    def __init__(self, root: Path) -> None:
        """Open the release at ``root``.

        Raises:
            DataError: If annotation or split are missing or wrong, in one sentence.
        """
        self.root = root
        self.has_pictures = (root / self.pictures_folder).is_dir()
        self.annotations: dict[str, Annotation] = read_annotations(root / ANNOTATION_FILE)
        self._subsets = read_split(root / self.split_file, self.annotations)
        self._episodes = in_story_order(self.annotations)

    def episodes(self) -> Mapping[str, Sequence[str]]:
        """Return episode -> its clip ids, both sorted as strings, as every published loader sorts them."""
        return self._episodes

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return train, val and test -> clip ids as the split file lists them."""
        return self._subsets

    def clip(self, clip_id: str) -> Clip:
        """Return one clip."""
        return self.annotation(clip_id).clip

    def annotation(self, clip_id: str) -> Annotation:
        """Return one clip with its entities.

        Raises:
            DataError: If the release has no such clip.
        """
        try:
            return self.annotations[clip_id]
        except KeyError:
            raise DataError(f"'{self.root}' has no clip {clip_id!r}: expected an id of its annotation.") from None

    def frame_count(self, clip_id: str) -> int:
        """Return how many pictures a clip has; only the file's header is read."""
        return int(self._pictures(clip_id).shape[0])

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Decode picture ``frame`` of a clip, RGB, with boxes scaled to its size.

        Raises:
            DataError: If the file is missing, damaged, or has no such picture.
        """
        pictures = self._pictures(clip_id)
        if not 0 <= frame < len(pictures):
            raise DataError(f"Clip {clip_id} of '{self.root}' has pictures 0..{len(pictures) - 1}, not {frame}.")
        image = Image.fromarray(np.array(pictures[frame]))
        instances = self.instances(clip_id, frame, image.size)
        return FramePixels(image, instances.map, instances.boxes, instances.labels)

    def instances(self, clip_id: str, frame: int, size: tuple[int, int]) -> Instances:
        """Return boxes and names of a picture of ``size`` (width, height); a layout with masks adds its map."""
        boxes = self.clip(clip_id).boxes
        return Instances(None, scaled((box[1:] for box in boxes), size), tuple(name_of(b.label) for b in boxes))

    def _pictures(self, clip_id: str) -> np.ndarray:
        """Map the pictures of a clip: (n, height, width, 3) uint8."""
        path = self.root / self.pictures_folder / f"{self.clip(clip_id).id}.npy"
        pictures = read_npy(path, mmap=True)
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or not pictures.size:
            raise DataError(
                f"'{path}' holds {pictures.dtype} of shape {pictures.shape}: expected uint8 (pictures, height, width, "
                "3); take the file again from its source."
            )
        return pictures


def in_story_order(clip_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return episode -> clip ids, both sorted as strings."""
    episodes: dict[str, list[str]] = {}
    for clip_id in sorted(clip_ids):
        episodes.setdefault(episode_of(clip_id), []).append(clip_id)
    return {episode: tuple(clips) for episode, clips in episodes.items()}


def scaled(boxes: Iterable[Sequence[float]], size: tuple[int, int]) -> tuple[Rectangle, ...]:
    """Return rectangles of the 128-px canvas in pixels of a picture of ``size`` (width, height), cut at its edges."""
    width, height = size

    def at(value: float, length: int) -> int:
        return min(max(round(value * length / CANVAS_PX), 0), length)

    return tuple((at(x0, width), at(y0, height), at(x1, width), at(y1, height)) for x0, y0, x1, y1 in boxes)
