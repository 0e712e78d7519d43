"""Conditioning dropout: which captions are dropped, and which lose their characters' pictures (storygptv.md section 2).

The paper drops to unconditional in 10 % of the samples, to the plain text in 10 %, and keeps the fused embedding in
80 %. The published code overwrites its empty caption, so that nothing is ever unconditional: 10 % keep the whole
caption without pictures, and a further 10 % where the caption has at most one character.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from storybench.errors import unknown

MODES = ("paper", "published", "text_only", "none")
SHARE = 0.10


class Kept(NamedTuple):
    """Whether a sample keeps its caption and its characters' pictures."""

    caption: bool
    pictures: bool


def conditioning_dropout(mode: str, characters: int, generator: torch.Generator) -> Kept:
    """Draw what one sample keeps; one number is drawn whatever the mode.

    Args:
        mode: ``paper``, ``published``, ``text_only`` (unconditional 10 %, never a picture: Table 3, w/o augmented text)
            or ``none`` (everything is kept).
        characters: Characters in the caption that have a picture.
        generator: Of the sample.

    Raises:
        ConfigError: If the mode is unknown.
    """
    if mode not in MODES:
        raise unknown("cond_dropout", mode, MODES)
    drawn = float(torch.rand((), generator=generator))
    if mode == "none":
        return Kept(True, True)
    if mode == "published":
        return Kept(True, not (drawn < SHARE or (drawn < 2 * SHARE and characters <= 1)))
    return Kept(drawn >= SHARE, mode == "paper" and drawn >= 2 * SHARE)
