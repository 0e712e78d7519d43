"""Every resize that a published distance was computed with, exactly; no two of them give the same picture.

All take and return values 0 .. 255 as float32; nothing is clipped or rounded unless its name says ``uint8``. The
filters named ``pil`` widen with the scale when they shrink (antialiasing); those named ``tf1`` and ``torch`` do not,
and alias.

Legend of shapes: B pictures, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from storybench.perception.protocols.protocol import Resize

Filter = Image.Resampling


def pil_bicubic(pixels: Tensor, px: int) -> Tensor:
    """Return Pillow's antialiased bicubic resize of each channel in float32, not re-quantised.

    Overshoots of the filter stay: values may leave 0 .. 255 (clean-fid's ``clean`` mode; Parmar et al. 2022).

    Args:
        pixels: (B, 3, H, W) float32 in 0 .. 255.
        px: Side of the result.
    """
    planes = pixels.cpu().numpy().reshape(-1, *pixels.shape[2:])  # (B * 3, H, W)
    resized = [np.asarray(Image.fromarray(plane).resize((px, px), Filter.BICUBIC)) for plane in planes]
    return torch.from_numpy(np.stack(resized).reshape(*pixels.shape[:2], px, px)).to(pixels.device)


def pil_bilinear_uint8(pixels: Tensor, px: int) -> Tensor:
    """Return Pillow's antialiased bilinear resize of 8-bit pictures, rounded to 8 bits again.

    What ``torchvision.transforms.Resize((px, px))`` does to a picture that is not yet a tensor.
    """
    return _pil_uint8(pixels, (px, px))


def pil_bilinear_uint8_short_side(pixels: Tensor, px: int) -> Tensor:
    """Return the same with the shorter side ``px`` and the shape kept, as ``torchvision.transforms.Resize(px)``."""
    height, width = pixels.shape[2:]
    size = (px, int(px * height / width)) if width <= height else (int(px * width / height), px)
    return _pil_uint8(pixels, size)


def centre_crop(pixels: Tensor, px: int) -> Tensor:
    """Return the middle ``px`` x ``px`` of pictures that are no smaller, as ``torchvision.transforms.CenterCrop``."""
    height, width = pixels.shape[2:]
    if min(height, width) < px:
        raise ValueError(f"cannot crop {px} from {height} x {width}")
    top, left = round((height - px) / 2), round((width - px) / 2)
    return pixels[:, :, top : top + px, left : left + px]


def tf1_bilinear(pixels: Tensor, px: int) -> Tensor:
    """Return TensorFlow 1's bilinear resize: pixel k of the result lies at k * H / px, without half-pixel centres.

    No antialiasing; the last rows repeat the border. Positions are float32, as there (``ResizeBilinear`` with
    ``align_corners=False``).
    """
    wide = _lerp(pixels, 3, px)  # (B, 3, H, px); columns first, while there are few rows
    return _lerp(wide, 2, px)


def torch_bilinear(pixels: Tensor, px: int) -> Tensor:
    """Return torch's bilinear resize with half-pixel centres, without antialiasing."""
    return F.interpolate(pixels, size=(px, px), mode="bilinear", align_corners=False, antialias=False)


def area(pixels: Tensor, px: int) -> Tensor:
    """Return the mean over the exact area that each pixel of the result covers, parts of pixels by their share."""
    rows = _shares(pixels.shape[2], px, pixels.device)  # (px, H)
    columns = _shares(pixels.shape[3], px, pixels.device)  # (px, W)
    return torch.einsum("yh,bchw,xw->bcyx", rows, pixels, columns)


def area_down(pixels: Tensor, px: int) -> Tensor:
    """Return :func:`area` of pictures larger than ``px``; smaller ones as they are."""
    return area(pixels, px) if max(pixels.shape[2:]) > px else pixels


STEPS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "pil_bicubic": pil_bicubic,
    "pil_bilinear_uint8": pil_bilinear_uint8,
    "pil_bilinear_uint8_short_side": pil_bilinear_uint8_short_side,
    "centre_crop": centre_crop,
    "tf1_bilinear": tf1_bilinear,
    "torch_bilinear": torch_bilinear,
    "area": area,
    "area_down": area_down,
}


def resized(pixels: Tensor, steps: tuple[Resize, ...]) -> Tensor:
    """Return ``pixels`` (B, 3, H, W), float32 in 0 .. 255, after all steps."""
    for step in steps:
        pixels = STEPS[step.method](pixels, step.px)
    return pixels


def _pil_uint8(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return Pillow's bilinear resize to ``size`` (width, height) of values that are whole numbers 0 .. 255."""
    array = pixels.permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3)
    whole = array.astype(np.uint8)
    if not np.array_equal(whole, array):
        raise ValueError("an 8-bit resize needs whole values 0 .. 255: it comes first in a chain")
    out = np.stack([np.asarray(Image.fromarray(picture).resize(size, Filter.BILINEAR)) for picture in whole])
    return torch.from_numpy(out).permute(0, 3, 1, 2).to(pixels.device, torch.float32).contiguous()


def _lerp(pixels: Tensor, axis: int, px: int) -> Tensor:
    """Interpolate along ``axis`` at k * size / px for k < px, positions in float32."""
    size = pixels.shape[axis]
    position = torch.arange(px, dtype=torch.float32) * torch.tensor(size / px, dtype=torch.float32)
    low = position.long()
    share = (position - low.float()).to(pixels.device)
    before = pixels.index_select(axis, low.to(pixels.device))
    after = pixels.index_select(axis, (low + 1).clamp_max(size - 1).to(pixels.device))
    return before + (after - before) * (share if axis == 3 else share[:, None])


def _shares(size: int, px: int, device: torch.device) -> Tensor:
    """Return (px, size) float32: the share of each old pixel in each new one; rows sum to 1."""
    edges = np.arange(px + 1) * size / px
    old = np.arange(size)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    return torch.from_numpy(np.clip(overlap, 0, None) * px / size).to(device, torch.float32)
