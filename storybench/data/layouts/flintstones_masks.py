"""Instance maps that ``storybench data masks`` made: a folder of small indexed PNGs beside a release, and its manifest.

``<folder>/<clip id>-frame<k>.png`` is one picture's map: palette index 0 is background, k the k-th box of that picture.
The file carries the boxes that it was made for and the model's own score of each mask, so that a map can never be read
with boxes of another annotation. ``manifest.json`` says which model made all of them, and how.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from storybench.data.safe import read_json
from storybench.errors import DataError
from storybench.frames import write_atomic

FOLDER = "masks"
MANIFEST = "manifest.json"
FORMAT = "storybench-masks/1"
MAX_INSTANCES = 255  # a map is uint8, and 0 is background
_NOTE = "storybench"  # key of the PNG's text chunk
_PNG_COMPRESS_LEVEL = 6
# What reading a broken or foreign picture and its note raises.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    Image.DecompressionBombError,
)
Rectangle = tuple[int, int, int, int]


class MaskNote(NamedTuple):
    """What a map says of itself: the boxes it was made for, in pixels, and the predicted IoU of each mask."""

    boxes: tuple[Rectangle, ...]
    scores: tuple[float, ...]


class MaskFolder:
    """The maps in one folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is read."""
        self.folder = folder

    @classmethod
    def beside(cls, root: Path) -> MaskFolder | None:
        """Return the maps in ``<root>/masks``, or None if there is no such folder or somebody else's."""
        found = cls(root / FOLDER)
        return found if found.manifest() is not None else None

    @classmethod
    def at(cls, folder: Path | str) -> MaskFolder:
        """Return the maps in a folder that a user named.

        Raises:
            DataError: If it is not one that ``storybench data masks`` made.
        """
        found = cls(Path(folder))
        if found.manifest() is None:
            raise DataError(
                f"'{folder}' holds no masks: expected a folder with {MANIFEST} that storybench data masks wrote."
            )
        return found

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest; None if there is none or it is of another format.

        Raises:
            DataError: If the file is damaged.
        """
        path = self.folder / MANIFEST
        content = read_json(path) if path.is_file() else None
        return content if isinstance(content, dict) and content.get("format") == FORMAT else None

    def write_manifest(self, content: Mapping[str, Any]) -> None:
        """Write the manifest, whole or not at all."""
        text = json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False)
        write_atomic(self.folder / MANIFEST, f"{text}\n".encode())

    def path(self, clip_id: str, frame: int) -> Path:
        """Return where the map of a picture lies."""
        return self.folder / f"{clip_id}-frame{frame}.png"

    def read(
        self, clip_id: str, frame: int, size: tuple[int, int], boxes: Sequence[Rectangle]
    ) -> tuple[np.ndarray, MaskNote] | None:
        """Return the map of a picture and its note, or None if it has none.

        Args:
            clip_id: The clip.
            frame: Which of its pictures.
            size: Width and height of the picture.
            boxes: Its boxes, as the release gives them now.

        Returns:
            The map, (height, width) uint8, 0 for background and k for the k-th box; and what it says of itself.

        Raises:
            DataError: If the file is damaged, of another size, or was made for other boxes.
        """
        path = self.path(clip_id, frame)
        if not path.is_file():
            return None
        try:
            with Image.open(path, formats=("PNG",)) as image:
                found = (image.mode, *image.size)
                if found != ("P", *size):
                    raise DataError(
                        f"'{path}' is {image.mode} of {image.width}x{image.height}: expected an indexed picture of "
                        f"{size[0]}x{size[1]} as its release has it; remove the file and make it again."
                    )
                instances = np.array(image, dtype=np.uint8)  # (H, W)
                note = _note(json.loads(image.text[_NOTE]))  # type: ignore[attr-defined]
        except _DAMAGE as error:
            why = " ".join(str(error).split()).rstrip(".:") or type(error).__name__
            raise DataError(
                f"'{path}' is no map of storybench data masks, or damaged ({why}): remove the file and make it again."
            ) from error
        if note.boxes != tuple(boxes) or instances.max(initial=0) > len(boxes):
            raise DataError(
                f"'{path}' was made for other boxes than the release has now: remove the file and make it again."
            )
        return instances, note

    def write(self, clip_id: str, frame: int, instances: np.ndarray, note: MaskNote) -> None:
        """Write the map of a picture, whole or not at all: (height, width) uint8.

        Raises:
            DataError: If there are more boxes than a map can number.
        """
        if len(note.boxes) > MAX_INSTANCES:
            raise DataError(
                f"Picture {frame} of clip {clip_id} has {len(note.boxes)} boxes: a map can number {MAX_INSTANCES}."
            )
        write_atomic(self.path(clip_id, frame), _png(instances, note))


def _png(instances: np.ndarray, note: MaskNote) -> bytes:
    """Return the map as PNG with as few bits a pixel as its boxes need: 1 for one box, 2 for three, 4 for fifteen."""
    image = Image.fromarray(np.ascontiguousarray(instances, dtype=np.uint8))
    image.putpalette(_palette(len(note.boxes) + 1))
    text = PngImagePlugin.PngInfo()
    text.add_text(_NOTE, json.dumps({"boxes": note.boxes, "scores": [round(score, 4) for score in note.scores]}))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=_PNG_COMPRESS_LEVEL, optimize=False, pnginfo=text)
    return buffer.getvalue()


def _palette(count: int) -> bytes:
    """Return ``count`` colours: black, then hues far apart, so that a person can look at a map."""
    colours: list[tuple[int, ...]] = [(0, 0, 0)]
    for k in range(1, count):
        turn = k * 0.61803398875 % 1  # the golden angle: neighbours in number differ in hue
        colours.append(tuple(round(255 * _ramp(turn + third)) for third in (0, 2 / 3, 1 / 3)))
    return bytes(value for colour in colours for value in colour)


def _ramp(turn: float) -> float:
    """Return one channel, 0.15 to 1, of the hue at ``turn``."""
    return min(max(abs(turn % 1 * 6 - 3) - 1, 0.15), 1.0)


def _note(content: Any) -> MaskNote:
    boxes = tuple((int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in content["boxes"])
    return MaskNote(boxes, tuple(float(score) for score in content["scores"]))
