"""What generated pictures do to a clean drawing: soft edges, lost resolution, tint, noise, compression, small holes.

Strengths stay below what would change a label: the tint never turns one detail colour into another, a hole is smaller
than a head. Each picture of a batch gets its own draw.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

BLUR_PX = 1.6  # largest standard deviation
SMALLEST_SIDE_PX = 44
SHIFT, SCALE = 0.07, 0.08  # of half a frame; of 1
HOLE_PX = 14


def augment(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a degraded copy of ``pixels`` (B, 3, H, W) in [0, 1]."""
    return degrade(_move(pixels, rng), rng)


def degrade(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a degraded copy in which everything stays in its place."""
    pixels = _blur(pixels, rng)
    pixels = torch.stack([_one(p, rng) for p in pixels])
    return _tint(pixels, rng).clamp_(0, 1)


def _move(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift and scale each picture a little, mirror half of them, repeat the border."""
    batch = len(pixels)
    theta = np.zeros((batch, 2, 3), dtype=np.float32)
    scale = 1 + rng.uniform(-SCALE, SCALE, batch)
    theta[:, 0, 0], theta[:, 1, 1] = scale, scale
    theta[:, :, 2] = rng.uniform(-SHIFT, SHIFT, (batch, 2))
    keep = rng.random(batch) < 0.3  # untouched: resampling always softens
    theta[keep] = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    grid = F.affine_grid(torch.from_numpy(theta), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def _blur(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur about two thirds of the pictures, each with its own Gaussian."""
    chosen = torch.from_numpy(np.flatnonzero(rng.random(len(pixels)) >= 0.35))
    if not len(chosen):
        return pixels
    count, (height, width) = len(chosen), pixels.shape[2:]
    sigma = rng.uniform(0.2, BLUR_PX, count)
    taps = np.arange(-4, 5)
    kernel = np.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    kernel /= kernel.sum(1, keepdims=True)
    weight = torch.from_numpy(np.repeat(kernel, 3, axis=0)).float()  # (N * 3, 9)
    flat = F.pad(pixels[chosen].reshape(1, count * 3, height, width), (4, 4, 4, 4), mode="replicate")
    flat = F.conv2d(flat, weight[:, None, None, :], groups=count * 3)
    flat = F.conv2d(flat, weight[:, None, :, None], groups=count * 3)
    return pixels.index_copy(0, chosen, flat.reshape(count, 3, height, width))


def _one(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Resize down and up, compress, or punch holes; each now and then."""
    size = picture.shape[-1]
    if rng.random() < 0.3:
        side = int(rng.integers(SMALLEST_SIDE_PX, size))
        small = F.interpolate(picture[None], size=side, mode="bilinear", antialias=True)
        picture = F.interpolate(small, size=size, mode="bilinear")[0]
    if rng.random() < 0.2:
        picture = _jpeg(picture, int(rng.integers(25, 80)))
    if rng.random() < 0.25:
        picture = picture.clone()
        for _ in range(int(rng.integers(1, 3))):
            h, w = rng.integers(4, HOLE_PX + 1, 2)
            y, x = rng.integers(0, size - HOLE_PX, 2)
            picture[:, y : y + h, x : x + w] = torch.from_numpy(rng.random((3, 1, 1))).float()
    return picture


def _jpeg(picture: Tensor, quality: int) -> Tensor:
    array = (picture.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(buffer)).copy()).permute(2, 0, 1).float() / 255


def _tint(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Change contrast, brightness and channel balance slightly; add noise to half."""
    batch = len(pixels)
    gain = torch.from_numpy(1 + rng.uniform(-0.1, 0.1, (batch, 1, 1, 1)) + rng.uniform(-0.04, 0.04, (batch, 3, 1, 1)))
    offset = torch.from_numpy(rng.uniform(-0.06, 0.06, (batch, 1, 1, 1)))
    tinted = (pixels - 0.5) * gain.float() + 0.5 + offset.float()
    for i in np.flatnonzero(rng.random(batch) < 0.5):
        noise = rng.standard_normal(tuple(pixels.shape[1:]), dtype=np.float32)
        tinted[i] += float(rng.uniform(0, 0.05)) * torch.from_numpy(noise)
    return tinted
