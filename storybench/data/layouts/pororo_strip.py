"""A strip: the sub-frames of a clip, square and one below the other, in one picture."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from storybench.errors import DataError


def open_strip(source: Path | bytes, named: str) -> Image.Image:
    """Return a strip without decoding it yet.

    Args:
        source: File, or the bytes of one.
        named: What the error calls it.

    Raises:
        DataError: If it is missing or no picture.
    """
    try:
        strip = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except FileNotFoundError as error:
        raise DataError(f"{named} is missing: restore it from the release.") from error
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{named} is damaged or no picture: take it again from the release.") from error
    if not min(strip.size):
        raise DataError(f"{named} has no pixels: take it again from the release.")
    return strip


def strip_length(strip: Image.Image) -> int:
    """Return the number of sub-frames: the longer edge over the shorter, rounded down as the published readers do."""
    return max(strip.size) // min(strip.size)


def sub_frame(strip: Image.Image, index: int, named: str) -> Image.Image:
    """Return sub-frame ``index`` as an RGB picture, decoded.

    Raises:
        DataError: If the strip cannot be decoded, or has no such sub-frame.
    """
    if not 0 <= index < strip_length(strip):
        raise DataError(f"{named} has sub-frames 0..{strip_length(strip) - 1}, not {index}.")
    side = min(strip.size)
    left, top = (0, index * side) if strip.height >= strip.width else (index * side, 0)
    try:
        return strip.convert("RGB").crop((left, top, left + side, top + side))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{named} is damaged: take it again from the release.") from error
