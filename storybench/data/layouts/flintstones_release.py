"""What the picture layouts of FlintstonesSV share: clips in story order, and one ``.npy`` of pictures a clip.

Opening reads annotation and split. A picture is read when it is asked for, from a file that is only mapped, so that
memory stays flat whatever the size of the release. A release without maps of its own takes those in ``<root>/masks``,
which ``storybench data masks`` makes.
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
from storybench.data.layouts.flintstones_masks import MaskFolder, Rectangle
from storybench.data.safe import read_npy
from storybench.errors import DataError
from storybench.story import FramePixels


class Regions(NamedTuple):
    """Who is where in one picture: for instance k of its map, box (in pixels) and name at index k - 1."""

    boxes: tuple[Rectangle, ...]
    labels: tuple[str, ...]


class FlintstonesRelease:
    """A release with annotation and a folder of pictures.

    Attributes:
        layout: Name of the layout.
        has_pictures: Whether pictures are read; False if their folder is not there.
        has_maps: Whether the release came with instance maps of its own.
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
        self.has_maps = False
        self._beside = MaskFolder.beside(root)
        self._named: MaskFolder | None = None
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

    def picture_size(self, clip_id: str) -> tuple[int, int]:
        """Return width and height of a clip's pictures; only the file's header is read."""
        height, width = self._pictures(clip_id).shape[1:3]
        return width, height

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Decode picture ``frame`` of a clip, RGB, with boxes scaled to its size.

        Raises:
            DataError: If the file is missing, damaged, or has no such picture.
        """
        image = self.picture(clip_id, frame)
        boxes, labels = self.regions(clip_id, frame, image.size)
        return FramePixels(image, self._instances(clip_id, frame, image.size, boxes), boxes, labels)

    def picture(self, clip_id: str, frame: int) -> Image.Image:
        """Decode picture ``frame`` of a clip alone, RGB.

        Raises:
            DataError: As :meth:`pixels`.
        """
        pictures = self._pictures(clip_id)
        if not 0 <= frame < len(pictures):
            raise DataError(f"Clip {clip_id} of '{self.root}' has pictures 0..{len(pictures) - 1}, not {frame}.")
        return Image.fromarray(np.array(pictures[frame]))

    def use_masks(self, folder: Path | str) -> None:
        """Take instance maps from ``folder`` and from nowhere else, even if the release has its own.

        Raises:
            DataError: If ``storybench data masks`` did not make that folder.
        """
        self._named = MaskFolder.at(folder)

    def regions(self, clip_id: str, frame: int, size: tuple[int, int]) -> Regions:
        """Return boxes and names of a picture of ``size`` (width, height)."""
        boxes = self.clip(clip_id).boxes
        return Regions(scaled((box[1:] for box in boxes), size), tuple(name_of(b.label) for b in boxes))

    def own_map(self, clip_id: str, frame: int, size: tuple[int, int]) -> np.ndarray | None:
        """Return the map (height, width) that the release came with; a layout without maps has None."""
        return None

    def _instances(
        self, clip_id: str, frame: int, size: tuple[int, int], boxes: tuple[Rectangle, ...]
    ) -> np.ndarray | None:
        """Return the map of a picture: of the folder named, else the release's own, else of ``<root>/masks``."""
        made = self._named or (None if self.has_maps else self._beside)
        if made is None:
            return self.own_map(clip_id, frame, size)
        found = made.read(clip_id, frame, size, boxes)
        return None if found is None else found[0]

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
