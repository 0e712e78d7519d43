"""Where a named character is in a true frame: mask and box, whatever the data set annotates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from storybench.story import Frame, FramePixels
from storygptv.char_ldm.crops import Box, mask_box


class Shown(NamedTuple):
    """A character in a frame. ``mask`` (H, W) bool and ``box`` are None where the release has none."""

    present: bool
    mask: np.ndarray | None = None
    box: Box | None = None


def shown_character(picture: FramePixels, frame: Frame, name: str) -> Shown:
    """Return where ``name`` is in a frame; several instances of the same name are one.

    The annotated box is taken where it holds part of the mask: boxes may belong to another picture of the clip, and
    then the mask's own bounds are the truth.
    """
    labels = picture.labels or frame.characters
    numbers = [k for k, label in enumerate(labels) if label == name]  # instance k + 1
    if not numbers:
        return Shown(name in frame.characters)
    mask = None
    if picture.instances is not None:
        found = np.isin(picture.instances, [k + 1 for k in numbers])
        mask = found if found.any() else None
    box = _union([picture.boxes[k] for k in numbers if k < len(picture.boxes)], picture.image.size)
    if mask is not None and (box is None or not mask[box[1] : box[3], box[0] : box[2]].any()):
        box = mask_box(mask)
    return Shown(True, mask, box)


def _union(boxes: list[Box], size: tuple[int, int]) -> Box | None:
    """Return the rectangle around ``boxes`` inside a picture of ``size`` (width, height); None if it is empty."""
    boxes = [box for box in boxes if box[2] > box[0] and box[3] > box[1]]
    if not boxes:
        return None
    x0, y0 = max(0, min(b[0] for b in boxes)), max(0, min(b[1] for b in boxes))
    x1, y1 = min(size[0], max(b[2] for b in boxes)), min(size[1], max(b[3] for b in boxes))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
