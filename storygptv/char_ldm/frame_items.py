"""One training frame of stage 1: picture, caption, and for each named character its mask and its crop.

Follows storygptv.md section 2 (crops, main image, character tokens); what the paper and the published code disagree on
is an option of :class:`FrameOptions`. Every draw comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from storybench.errors import ConfigError, DataError, unknown
from storybench.story import Character, Frame
from storygptv.char_ldm.character_tokens import NameSpan, find_name_spans
from storygptv.char_ldm.crops import SIDE_PX, character_crop, square, varied
from storygptv.char_ldm.dropout import MODES, conditioning_dropout
from storygptv.char_ldm.instances import Shown, shown_character

CHARACTER_IMAGES = ("crop", "portrait")
MISSING_MASK = ("skip", "error", "zeros")


@dataclass(frozen=True)
class FrameOptions:
    """How frames become training items (storygptv.md sections 2 and 6).

    Attributes:
        size_px: Side of the picture.
        character_images: ``crop``: the character's own pixels in this frame; ``portrait``: its reference picture.
        missing_mask: What a character without a mask means. ``skip``: its token is not supervised, and its crop is its
            box as it is; ``error``: stop; ``zeros``: an empty mask and a crop of noise, as published.
        cond_dropout: See :mod:`storygptv.char_ldm.dropout`.
        max_characters: Names of a caption that carry pictures at most; of more, a random subset.
        named_only: Leave out frames whose caption names nobody who is shown, as published.
        augment: Whether crops are varied.
        flip: Probability that the picture and its masks are mirrored.
    """

    size_px: int = 512
    character_images: str = "crop"
    missing_mask: str = "skip"
    cond_dropout: str = "paper"
    max_characters: int = 4
    named_only: bool = True
    augment: bool = True
    flip: float = 0.5

    def __post_init__(self) -> None:
        for what, value, known in (
            ("character_images", self.character_images, CHARACTER_IMAGES),
            ("missing_mask", self.missing_mask, MISSING_MASK),
            ("cond_dropout", self.cond_dropout, MODES),
        ):
            if value not in known:
                raise unknown(what, value, known)
        if self.max_characters < 1 or self.size_px < 8 or not 0 <= self.flip <= 1:
            raise ConfigError(
                f"max_characters={self.max_characters}, size_px={self.size_px}, flip={self.flip}: expected 1 or more "
                "characters, 8 pixels or more and a probability from 0 to 1."
            )


@dataclass(frozen=True)
class TrainingItem:
    """One frame as stage 1 sees it; K names of its caption carry pictures."""

    caption: str
    spans: tuple[NameSpan, ...]  # of these names, in the order of the caption
    pixels: Tensor  # (3, S, S) in [-1, 1]
    masks: Tensor  # (K, S, S) bool
    supervised: Tensor  # (K,) bool, whether the mask counts in L_reg
    crops: Tensor | None  # (K, 3, 224, 224) in [0, 1]; None: portraits


def make_item(
    frame: Frame, caption: str, cast: Sequence[Character], options: FrameOptions, generator: torch.Generator
) -> TrainingItem:
    """Return the training item of a frame.

    Args:
        frame: With its picture.
        caption: What it is told with.
        cast: Whose names are looked for.
        options: What items look like.
        generator: Of this frame in this pass.

    Raises:
        DataError: If its picture cannot be read, or a mask is missing and ``missing_mask`` is ``error``.
    """
    picture = frame.pixels()
    named = [(s, shown_character(picture, frame, cast[s.character].name)) for s in find_name_spans(caption, cast)]
    if options.character_images == "crop":
        named = [(span, shown) for span, shown in named if shown.box is not None]
    if len(named) > options.max_characters:
        chosen = torch.randperm(len(named), generator=generator)[: options.max_characters].sort().values
        named = [named[k] for k in chosen.tolist()]
    kept = conditioning_dropout(options.cond_dropout, len(named), generator)
    mirrored = float(torch.rand((), generator=generator)) < options.flip
    if not (kept.caption and kept.pictures):
        named = []
    if options.missing_mask == "error":
        _check_masks(frame, [cast[s.character].name for s, shown in named if shown.present and shown.mask is None])
    pixels = torch.from_numpy(np.array(picture.image.convert("RGB"))).permute(2, 0, 1)  # (3, H, W) uint8
    masks = torch.zeros(len(named), *pixels.shape[-2:], dtype=torch.uint8)  # (K, H, W)
    for k, (_, shown) in enumerate(named):
        if shown.mask is not None:
            masks[k] = torch.from_numpy(shown.mask.astype(np.uint8))
    counted = [s.mask is not None or (s.present and options.missing_mask == "zeros") for _, s in named]
    crops = None
    if options.character_images == "crop":
        cut = [_crop(pixels, shown, options, generator) for _, shown in named]
        crops = torch.stack(cut) if cut else torch.zeros(0, 3, SIDE_PX, SIDE_PX)
    return TrainingItem(
        caption if kept.caption else "",
        tuple(span for span, _ in named),
        fitted(pixels, options.size_px, mirrored, V.InterpolationMode.BILINEAR).float() / 127.5 - 1,
        fitted(masks, options.size_px, mirrored, V.InterpolationMode.NEAREST).bool(),
        torch.tensor(counted, dtype=torch.bool),
        crops,
    )


def fitted(x: Tensor, size: int, mirrored: bool, mode: V.InterpolationMode) -> Tensor:
    """Return pictures (C, H, W) with the shorter side resized to ``size`` and the longer one cut, (C, size, size)."""
    scale = size / min(x.shape[-2:])
    height, width = (max(size, round(length * scale)) for length in x.shape[-2:])
    if (height, width) != tuple(x.shape[-2:]) and len(x):
        x = V.resize(x, [height, width], interpolation=mode, antialias=True)
    top, left = (height - size) // 2, (width - size) // 2
    x = x[:, top : top + size, left : left + size] if len(x) else x.new_zeros(0, size, size)
    return x.flip(-1) if mirrored else x


def _check_masks(frame: Frame, without: Sequence[str]) -> None:
    if without:
        raise DataError(
            f"Frame {frame.id or frame.index} has no mask of {', '.join(without)}: make masks with "
            "'storybench data masks', or pass missing_mask=skip."
        )


def _crop(pixels: Tensor, shown: Shown, options: FrameOptions, generator: torch.Generator) -> Tensor:
    """Return a character's picture (3, 224, 224) in [0, 1], cut from the frame (3, H, W) as it is on disk."""
    assert shown.box is not None
    mask = shown.mask
    if mask is None and options.missing_mask == "zeros":
        mask = np.zeros(tuple(pixels.shape[-2:]), bool)
    crop = character_crop(pixels, mask, shown.box, generator)
    return varied(crop, generator) if options.augment else square(crop).float() / 255
