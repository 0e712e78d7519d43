"""One picture of an archive: looked at as bytes first, decoded only when its header promises nothing unusual.

What a model drew must arrive as it was drawn: RGB of 8 bits, lossless, of the size that the benchmark states. Only the
pixels are used further: text, colour profiles and other extras of the file are dropped.
"""

from __future__ import annotations

import io
from typing import Literal, NamedTuple

from PIL import Image, UnidentifiedImageError

from storybench.submission.png import pixels_only
from storybench.submission.webp import check_webp

SIGNATURES = (  # first bytes -> what the file is
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
)
SAVE = "save the model's own pictures as 8-bit RGB PNG of the stated size, without any other step between"
Size = tuple[int, int]


class Issue(NamedTuple):
    """What is wrong with a picture."""

    severity: Literal["error", "warning"]
    kind: str
    what: str
    mend: str = SAVE


class Looked(NamedTuple):
    """The pixels of a file, or None, and what is wrong with it."""

    image: Image.Image | None
    issues: list[Issue]


def format_of(data: bytes) -> str:
    """Return what a file is by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in SIGNATURES if data.startswith(start)), "unknown")


def look(data: bytes, suffix: str, size: Size | None) -> Looked:
    """Return the pixels of a picture after checking its form.

    Args:
        data: The file.
        suffix: ``png`` or ``webp``, as it is called.
        size: Width and height that it must have; None accepts what is not huge.
    """
    found = format_of(data)
    if found.lower() != suffix:
        return Looked(None, [Issue("error", "format", f"is {found} by another name, expected {suffix.upper()}")])
    checked = pixels_only(data, size) if suffix == "png" else check_webp(data, size)
    issues = [Issue(*issue) for issue in checked.issues]
    if checked.data is None:
        return Looked(None, issues)
    try:
        with Image.open(io.BytesIO(checked.data), formats=(suffix.upper(),)) as image:
            image.load()
            whole = image.copy()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return Looked(None, [*issues, Issue("error", "undecodable", "cannot be decoded: truncated or damaged")])
    if whole.mode != "RGB" or (size is not None and whole.size != size):
        wrong = f"decodes to {whole.mode} of {whole.width} x {whole.height} pixels"
        return Looked(None, [*issues, Issue("error", "colour", f"{wrong}, expected 8-bit RGB")])
    return Looked(whole, issues)
