"""Figures cut out on grey, and frames with their figures grey: what the two embedding networks look at."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = 0.5
CROP_PX = 56
PLACE_PX = 64
MARGIN = 1.08  # side of a crop in the longer side of the figure's box
RIM_PX = 2  # grey around a figure in its frame: soft edges tell who stood there


def cut_figures(pixels: Tensor, masks: Tensor, side: int = CROP_PX) -> Tensor:
    """Return figures on grey in squares about them, (N, 3, side, side).

    Args:
        pixels: The frame of each figure, (N, 3, H, W) in [0, 1].
        masks: Pixels of each figure, (N, H, W) bool, none empty.
        side: Of the squares, in pixels.
    """
    height, width = masks.shape[1:]
    alone = (pixels - GREY) * masks[:, None]  # grey is 0, which is also what lies outside the frame
    boxes = boxes_of(masks)  # (N, 4)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = MARGIN * (boxes[:, 2:] - boxes[:, :2]).amax(1) / 2  # (N,)
    theta = torch.zeros(len(masks), 2, 3, dtype=pixels.dtype, device=pixels.device)
    theta[:, 0, 0], theta[:, 1, 1] = 2 * half / width, 2 * half / height
    theta[:, 0, 2], theta[:, 1, 2] = 2 * middle[:, 0] / width - 1, 2 * middle[:, 1] / height - 1
    grid = F.affine_grid(theta, [len(masks), 3, side, side], align_corners=False)
    return F.grid_sample(alone, grid, align_corners=False) + GREY


def without_figures(pixels: Tensor, masks: Tensor, side: int = PLACE_PX) -> Tensor:
    """Return frames with figures and a rim about them grey, (B, 3, side, side).

    Args:
        pixels: Frames, (B, 3, H, W) in [0, 1].
        masks: Pixels of any figure, (B, H, W) bool.
        side: Of the result, in pixels.
    """
    size = 2 * RIM_PX + 1
    tall = F.max_pool2d(masks[:, None].to(pixels.dtype), (size, 1), 1, (RIM_PX, 0))  # one axis at a time is cheaper
    rim = F.max_pool2d(tall, (1, size), 1, (0, RIM_PX))  # (B, 1, H, W)
    return F.interpolate(pixels * (1 - rim) + GREY * rim, size=(side, side), mode="area")


def boxes_of(masks: Tensor) -> Tensor:
    """Return the tight half-open boxes x0 y0 x1 y1 of masks (N, H, W), none empty: (N, 4) float32 in pixels."""
    columns, rows = masks.any(1), masks.any(2)  # (N, W), (N, H)

    def ends(line: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.arange(line.shape[1], device=line.device)
        last = torch.where(line, place + 1, 0).amax(1)
        return torch.where(line, place, line.shape[1]).amin(1), last

    (x0, x1), (y0, y1) = ends(columns), ends(rows)
    return torch.stack([x0, y0, x1, y1], dim=1).float()
