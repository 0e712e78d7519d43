"""FlintstonesSV as AI2 released it: all 75 pictures of a clip, with a mask and a box of every entity in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storybench.data.layouts.flintstones_annotation import name_of
from storybench.data.layouts.flintstones_release import FlintstonesRelease, Regions, scaled
from storybench.data.safe import read_npy, read_npz
from storybench.errors import DataError


class FlintstonesAI2(FlintstonesRelease):
    """``video_frames/<clip id>.npy`` (75, 128, 128, 3), ``entity_segmentation``, ``entity_tracking``.

    Instance k is the k-th annotated character that has a rectangle. Its box is the tracked one of the picture, or the
    rectangle of the middle keyframe where there is no track. Where two masks overlap the later character is on top.
    """

    layout = "ai2"
    pictures_folder = "video_frames"

    def __init__(self, root: Path) -> None:
        """Open the release at ``root``."""
        super().__init__(root)
        self.has_maps = (root / "entity_segmentation").is_dir()

    def regions(self, clip_id: str, frame: int, size: tuple[int, int]) -> Regions:
        """Return boxes and names of the characters of a picture.

        Raises:
            DataError: If a track is damaged or of another shape than its clip.
        """
        clip, entities = self.annotation(clip_id)
        boxes = [self._tracked(entity, frame) or box[1:] for box, entity in zip(clip.boxes, entities, strict=True)]
        return Regions(scaled(boxes, size), tuple(name_of(box.label) for box in clip.boxes))

    def own_map(self, clip_id: str, frame: int, size: tuple[int, int]) -> np.ndarray | None:
        """Return the map of a picture; None if the release here has no masks.

        Raises:
            DataError: If a mask is damaged or of another shape than its clip.
        """
        if not self.has_maps:
            return None
        instances = np.zeros((size[1], size[0]), np.uint8)
        for k, entity in enumerate(self.annotation(clip_id).entities, start=1):
            mask = self._mask(entity, frame, instances.shape)
            if mask is not None:
                instances[mask] = k
        return instances

    def _mask(self, entity: str, frame: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the mask (height, width) of an entity, or None if the release has none for it."""
        path = self.root / "entity_segmentation" / f"{entity}_segm.npy.npz"
        if not _named(entity) or not path.is_file():
            return None
        arrays = list(read_npz(path).values())
        if len(arrays) != 1 or arrays[0].ndim != 3 or arrays[0].shape[1:] != shape or frame >= len(arrays[0]):
            found = " and ".join(str(array.shape) for array in arrays) or "nothing"
            raise DataError(
                f"'{path}' holds {found}: expected one mask a picture, (pictures, {shape[0]}, {shape[1]}) with picture "
                f"{frame}; take the file again from its source."
            )
        return np.asarray(arrays[0][frame] != 0)

    def _tracked(self, entity: str, frame: int) -> tuple[float, ...] | None:
        """Return (x0, y0, x1, y1) of an entity in a picture, or None without a track there."""
        path = self.root / "entity_tracking" / f"{entity}.npy"
        if not _named(entity) or not path.is_file():
            return None
        track = read_npy(path)
        if track.ndim != 2 or track.shape[1] != 4 or frame >= len(track) or track.dtype.kind not in "iuf":
            raise DataError(
                f"'{path}' holds {track.dtype} of shape {track.shape}: expected one box a picture, (pictures, 4) with "
                f"picture {frame}; take the file again from its source."
            )
        x0, y0, x1, y1 = (float(side) for side in track[frame])
        sound = np.isfinite((x0, y0, x1, y1)).all() and x0 < x1 and y0 < y1
        return (x0, y0, x1, y1) if sound else None


def _named(entity: str) -> bool:
    """Say whether an annotated entity id can name a file of this release, and of no other folder."""
    return bool(entity) and entity == Path(entity).name
