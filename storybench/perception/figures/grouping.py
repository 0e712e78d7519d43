"""From the maps of a frame to the masks of its figures.

Each cell of a figure votes for the nearest of the middles, seen from where its offset points (Cheng et al. 2020,
Panoptic-DeepLab, section 3.2). A connected piece that holds no middle is a figure of its own: what looks like no known
drawing must be judged, not lost.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from storybench.perception.figures.network import CELL_PX, OFFSET_PX, Maps

Array = np.ndarray

PEAK = 0.35  # smallest probability of a middle
APART_CELLS = 7  # two middles are at least half as far apart
SMALLEST_PX = 80  # the smallest figure drawn alone has about 600 pixels; a piece behind others has fewer
MOST_FIGURES = 8


def group(maps: Maps) -> Array:
    """Return the masks of the figures of one frame, left to right, (N, 128, 128) bool; none is empty.

    Args:
        maps: Of a batch of one frame.
    """
    mask = F.interpolate(maps.mask[:1, None], scale_factor=float(CELL_PX), mode="bilinear")[0, 0] > 0  # (128, 128)
    inside = mask.cpu().numpy()
    centres = _peaks(maps.centre[:1])  # (C, 2) cells, x and y
    owner = _owners(maps.offset[0].cpu().numpy(), centres)  # (64, 64), 0 where there is no centre at all
    owner = np.where(inside, owner.repeat(CELL_PX, 0).repeat(CELL_PX, 1), 0)  # (128, 128)
    owner = _own_pieces(inside, owner, centres)
    numbers, sizes = np.unique(owner[owner > 0], return_counts=True)
    largest = numbers[np.argsort(-sizes, kind="stable")][:MOST_FIGURES]
    kept = [owner == n for n in largest if (owner == n).sum() >= SMALLEST_PX]
    kept.sort(key=lambda m: float(np.flatnonzero(m.any(0)).mean()))
    return np.stack(kept) if kept else np.zeros((0, *inside.shape), dtype=bool)


def _peaks(centre: torch.Tensor) -> Array:
    """Return the cells (C, 2), x and y, where a map (1, 64, 64) of logits is a maximum and sure enough."""
    probability = centre.sigmoid()
    highest = F.max_pool2d(probability[:, None], APART_CELLS, 1, APART_CELLS // 2)[:, 0]
    peaks = (probability == highest) & (probability > PEAK)
    return np.argwhere(peaks[0].cpu().numpy())[:, ::-1]


def _owners(offset: Array, centres: Array) -> Array:
    """Return for each cell the number, from 1, of the centre nearest to where its offset (2, 64, 64) points."""
    height, width = offset.shape[1:]
    if not len(centres):
        return np.zeros((height, width), dtype=np.int64)
    rows, columns = np.mgrid[:height, :width]
    there = np.stack([columns, rows]) + offset * (OFFSET_PX / CELL_PX)  # (2, 64, 64) cells
    far = ((there[:, None] - centres.T[:, :, None, None]) ** 2).sum(0)  # (C, 64, 64)
    return far.argmin(0) + 1


def _own_pieces(inside: Array, owner: Array, centres: Array) -> Array:
    """Give a number of its own to each connected piece of ``inside`` whose owner's centre lies in another piece."""
    pieces, count = ndimage.label(inside, structure=np.ones((3, 3)))
    holds = np.zeros(count + 1, dtype=bool)
    for x, y in centres * CELL_PX:
        holds[np.unique(pieces[max(0, y - 4) : y + 6, max(0, x - 4) : x + 6])] = True
    result = owner.copy()
    for piece in np.flatnonzero(~holds):
        if piece and (pieces == piece).sum() >= 4 * SMALLEST_PX:  # smaller ones are arms and feet cut off by a prop
            result[pieces == piece] = len(centres) + piece
    return result
