"""Masks of single characters -> one instance map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rectangle = tuple[int, int, int, int]


def area(box: Rectangle) -> int:
    """Return the pixels in a box (x0, y0, x1, y1), half open; 0 if it is empty."""
    x0, y0, x1, y1 = box
    return max(x1 - x0, 0) * max(y1 - y0, 0)


def instance_map(masks: np.ndarray, boxes: Sequence[Rectangle]) -> np.ndarray:
    """Return the map in which pixel value k means the k-th box, and 0 background.

    Where masks overlap, the one with the smaller box is on top: a small box inside a large one is somebody in front, or
    somebody who would vanish otherwise. Of boxes of one size the later is on top, as where AI2's own masks overlap.

    Args:
        masks: One mask a box, (K, H, W) bool, in the order of ``boxes``.
        boxes: K rectangles (x0, y0, x1, y1) in pixels.

    Returns:
        The map, (H, W) uint8.
    """
    instances = np.zeros(masks.shape[1:], np.uint8)  # (H, W)
    for k in sorted(range(len(boxes)), key=lambda k: -area(boxes[k])):  # stable: equal boxes keep their order
        instances[masks[k]] = k + 1
    return instances
