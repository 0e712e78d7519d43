"""FlintstonesSV in StoryGPT-V's folder: pictures super-resolved to 512 px, with SAM's masks as instance maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from storybench.data.layouts.flintstones_annotation import name_of
from storybench.data.layouts.flintstones_release import FlintstonesRelease, Regions, scaled
from storybench.data.safe import read_json, read_npy
from storybench.errors import DataError

SEGMENTS_FILE = "cleaned_annotations.json"
MASKS_FOLDER = "seg_mask_4x_comb"
MAX_INSTANCES = 255  # a clip has a handful; a larger id is damage, not a crowd
_UNUSED = frozenset({"caption", "tokens"})


class Segment(NamedTuple):
    """One masked word of a caption: ``id`` is its value in the instance maps, ``bbox`` is on the 128-px canvas."""

    id: int
    word: str
    bbox: tuple[float, float, float, float]


class FlintstonesStoryGPTV(FlintstonesRelease):
    """``video_frames_sampled_4x/<clip id>.npy`` (n, 512, 512, 3), ``seg_mask_4x_comb``, ``cleaned_annotations.json``.

    A pixel of an instance map is the ``id`` of a segment, 0 is background; the maps are returned as they are, with the
    segments' words as names. An id without a segment has an empty name and an empty box. A clip without segments has
    the boxes of its annotation, and a picture without a mask file no map, as for the published reader.
    """

    layout = "storygptv"
    pictures_folder = "video_frames_sampled_4x"
    split_file = "split.json"

    def __init__(self, root: Path) -> None:
        """Open the release at ``root``."""
        super().__init__(root)
        self.has_maps = (root / MASKS_FOLDER).is_dir()
        path = root / SEGMENTS_FILE
        self.segments = read_segments(path) if path.is_file() else {}

    def regions(self, clip_id: str, frame: int, size: tuple[int, int]) -> Regions:
        """Return boxes and names of the segments of a clip, or of its annotation where it has none."""
        segments = self.segments.get(clip_id)
        if not segments:
            return super().regions(clip_id, frame, size)
        by_id = {segment.id: segment for segment in segments}
        named = [by_id.get(k, Segment(k, "", (0, 0, 0, 0))) for k in range(1, max(by_id) + 1)]
        return Regions(scaled((s.bbox for s in named), size), tuple(name_of(s.word) for s in named))

    def own_map(self, clip_id: str, frame: int, size: tuple[int, int]) -> np.ndarray | None:
        """Return the published map of a picture; None if it has none.

        Raises:
            DataError: If the map is damaged or of another size than its picture.
        """
        path = self.root / MASKS_FOLDER / f"{clip_id}-frame{frame}.npy"
        if not path.is_file():
            return None
        instances = np.array(read_npy(path))
        if instances.shape != size[::-1] or instances.dtype.kind not in "biu":
            raise DataError(
                f"'{path}' holds {instances.dtype} of shape {instances.shape}: expected whole numbers of shape "
                f"{size[::-1]}; take the file again from its source."
            )
        return instances


def read_segments(path: Path) -> dict[str, tuple[Segment, ...]]:
    """Return clip id -> its segments.

    Raises:
        DataError: If the file cannot be read or a segment is of another form.
    """
    content = read_json(path, drop=_UNUSED)
    if not isinstance(content, dict):
        raise DataError(f"'{path}' is not StoryGPT-V's annotation: expected an object of clips with segments.")
    found = {}
    for clip_id, entry in content.items():
        try:
            found[clip_id] = tuple(_segment(row) for row in entry["segments"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"Clip {clip_id} of '{path}' cannot be read ({type(error).__name__}: {error}): expected segments with "
                f"id from 1 to {MAX_INSTANCES}, word and bbox [x1, y1, x2, y2]; take the file again."
            ) from error
    return found


def _segment(row: Any) -> Segment:
    x0, y0, x1, y1 = (float(side) for side in row["bbox"])
    number = int(row["id"])
    if not 1 <= number <= MAX_INSTANCES or not np.isfinite((x0, y0, x1, y1)).all():
        raise ValueError(f"segment {row['id']!r}")
    return Segment(number, str(row["word"]), (x0, y0, x1, y1))
