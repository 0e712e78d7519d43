"""A character's picture for training: its pixels in the target frame, cut out and varied (storygptv.md section 2).

Everything outside the character's mask becomes noise, so that its token can carry nothing but the character; then the
crop is varied, so that it carries who the character is and not how it stands. Every draw comes from the generator that
is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

SIDE_PX = 224
ZOOM = (1.0, 2.0)
DEGREES = 30.0
JITTER = 0.5  # of brightness, contrast, saturation and hue
BLUR_SIDE, BLUR_SIGMA = 5, (0.1, 2.0)
ELASTIC_PX, ELASTIC_SIGMA = 50.0, 5.0  # torchvision's
Box = tuple[int, int, int, int]


def mask_box(mask: np.ndarray) -> Box | None:
    """Return the rectangle (x0, y0, x1, y1), half open, of a mask (H, W); None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def character_crop(pixels: Tensor, mask: np.ndarray | None, box: Box, generator: torch.Generator) -> Tensor:
    """Return the crop (3, h, w) uint8 of a frame, with uniform random noise wherever the mask is not.

    Args:
        pixels: The frame, (3, H, W) uint8.
        mask: The character's pixels, (H, W) bool; None keeps the whole box as it is.
        box: (x0, y0, x1, y1) of the crop, half open.
        generator: Of the noise.
    """
    x0, y0, x1, y1 = box
    crop = pixels[:, y0:y1, x0:x1]  # (3, h, w)
    if mask is None:
        return crop.clone()
    noise = torch.randint(256, crop.shape, dtype=torch.uint8, generator=generator)
    return torch.where(torch.from_numpy(mask[y0:y1, x0:x1].copy()), crop, noise)


def square(pixels: Tensor, side: int = SIDE_PX) -> Tensor:
    """Return a picture (C, h, w) padded with zeros to a square, centred, and resized to (C, side, side)."""
    height, width = pixels.shape[-2:]
    longest = max(height, width)
    top, left = (longest - height) // 2, (longest - width) // 2
    padded = F.pad(pixels, (left, longest - width - left, top, longest - height - top))
    return V.resize(padded, [side, side], antialias=True)


def portrait_picture(portrait: Image.Image, side: int = SIDE_PX) -> Tensor:
    """Return a reference portrait as the image encoder gets it, (3, side, side) in [0, 1]: padded, never varied."""
    pixels = torch.from_numpy(np.array(portrait.convert("RGB"))).permute(2, 0, 1)  # (3, h, w)
    return square(pixels, side).float() / 255


def varied(crop: Tensor, generator: torch.Generator, side: int = SIDE_PX) -> Tensor:
    """Return a crop (3, h, w) uint8 with the published augmentations in their order, (3, side, side) in [0, 1].

    Zoom in 1 to 2 times and keep the topmost square (p .5), pad to a square, resize, turn up to 30 degrees (p .75),
    jitter colours (p .5), blur (p .5), grey (p .1), flip (p .5), bend elastically (p .5).
    """

    def chance(probability: float) -> bool:
        return float(torch.rand((), generator=generator)) < probability

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    x = crop
    if chance(0.5):
        x = _zoomed(x, between(*ZOOM))
    x = square(x, side)
    if chance(0.75):
        angle = between(-DEGREES, DEGREES)
        x = V.affine(x, angle, [0, 0], 1.0, [0.0, 0.0], interpolation=V.InterpolationMode.BILINEAR)
    if chance(0.5):
        x = _jittered(x, generator, between)
    if chance(0.5):
        sigma = between(*BLUR_SIGMA)
        x = V.gaussian_blur(x, [BLUR_SIDE, BLUR_SIDE], [sigma, sigma])
    if chance(0.1):
        x = V.rgb_to_grayscale(x, num_output_channels=3)
    if chance(0.5):
        x = V.horizontal_flip(x)
    if chance(0.5):
        x = V.elastic(x, _displacement(side, generator))
    return x.float() / 255


def _zoomed(x: Tensor, factor: float) -> Tensor:
    """Return the topmost, centred square of a picture (3, h, w) enlarged by ``factor``, as wide as it was at most."""
    side = min(x.shape[-2:])
    height, width = (max(side, math.floor(length * factor)) for length in x.shape[-2:])
    enlarged = V.resize(x, [height, width], antialias=True)
    return V.crop(enlarged, 0, (width - side) // 2, side, side)


def _jittered(x: Tensor, generator: torch.Generator, between: Callable[[float, float], float]) -> Tensor:
    """Return a picture with brightness, contrast, saturation and hue changed, in a drawn order."""
    steps = (
        lambda y: V.adjust_brightness(y, between(1 - JITTER, 1 + JITTER)),
        lambda y: V.adjust_contrast(y, between(1 - JITTER, 1 + JITTER)),
        lambda y: V.adjust_saturation(y, between(1 - JITTER, 1 + JITTER)),
        lambda y: V.adjust_hue(y, between(-JITTER, JITTER)),
    )
    for k in torch.randperm(len(steps), generator=generator).tolist():
        x = steps[k](x)
    return x


def _displacement(side: int, generator: torch.Generator) -> Tensor:
    """Return a smooth random displacement field (1, side, side, 2) in units of half the picture."""
    field = torch.rand(1, 2, side, side, generator=generator) * 2 - 1
    reach = int(4 * ELASTIC_SIGMA)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / ELASTIC_SIGMA).square())
    kernel = (kernel / kernel.sum()).expand(2, 1, 1, -1)  # one a direction; rows, then columns: as fast as it can be
    smooth = F.conv2d(F.pad(field, (reach, reach, 0, 0), mode="reflect"), kernel, groups=2)
    smooth = F.conv2d(F.pad(smooth, (0, 0, reach, reach), mode="reflect"), kernel.transpose(-1, -2), groups=2)
    return (smooth * ELASTIC_PX / side).permute(0, 2, 3, 1)
