"""Pictures to what a network is given: the resize chain of a protocol, then its input range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.perception.protocols.protocol import InputRange, Protocol
from storybench.perception.protocols.resizing import resized

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def prepare(images: Sequence[Image.Image], protocol: Protocol) -> Tensor:
    """Return what the network of ``protocol`` is given for RGB pictures of one size, (B, 3, px, px) float32."""
    pixels = torch.from_numpy(np.stack([np.asarray(image.convert("RGB"), dtype=np.uint8) for image in images]))
    whole = pixels.permute(0, 3, 1, 2).float()  # (B, 3, H, W)
    return in_range(resized(whole, protocol.resize), protocol.input_range)


def in_range(pixels: Tensor, name: InputRange) -> Tensor:
    """Return ``pixels`` (B, 3, H, W), 0 .. 255, in the range called ``name``.

    ``tensorflow`` is (x - 128) / 128, ``symmetric`` 2 x / 255 - 1. ``imagenet_taken_as_symmetric`` repeats a published
    mistake to the letter: ImageNet-normalised values are believed to lie in -1 .. 1, brought to "0 .. 1" by (x + 1) / 2
    and back by 2 x - 1, so that Inception sees -2.12 .. 2.64 (StoryGPT-V eval/eval_all.py, eval/fid_score.py;
    metrics.md 5.5).
    """
    if name == "tensorflow":
        return (pixels - 128) / 128
    unit = pixels / 255
    if name == "symmetric":
        return 2 * unit - 1
    mean, std = (CLIP_MEAN, CLIP_STD) if name == "clip" else (IMAGENET_MEAN, IMAGENET_STD)
    normalised = (unit - _column(mean, pixels)) / _column(std, pixels)
    if name == "imagenet_taken_as_symmetric":
        return 2 * ((normalised + 1) / 2) - 1
    return normalised


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)
