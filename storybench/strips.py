"""Story strips: frames under their captions, rows to compare, references marked.

Marks carry two signs, colour and underline, so that they survive a grey print and colour-blind eyes. The font is the
one that Pillow bundles (FreeType, Aileron), so a strip looks alike on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from storybench.story import Story

SCALE = 2  # frames are drawn at twice their size
PAPER, INK, LABEL, RULE = "#ffffff", "#1f2430", "#5b6472", "#e4e7ec"
MARK, MARK_PAPER, MARK_LINE = "#9a3412", "#ffedd5", "#ea580c"
CAPTION_PX, LABEL_PX = 19, 18
MARGIN, GUTTER, ROW_GAP = 28, 16, 14
LINE_SPACING = 1.42
CORNER_PX = 8


class Span(NamedTuple):
    """Characters [start, end) of a caption that are a reference."""

    start: int
    end: int


class _Word(NamedTuple):
    """A word of a caption and the part of it that is marked, [start, end), empty if none."""

    text: str
    start: int
    end: int
    joined: bool  # the mark goes on to the next word


class Row(NamedTuple):
    """One line of frames and what it is called."""

    label: str
    images: Sequence[Image.Image]


def reference_marks(story: Story, text: str) -> list[list[Span]]:
    """Return the referential mentions of each caption of a story in text mode ``text``."""
    return [
        [Span(m.start, m.end) for m in frame.captions[text].mentions if m.kind == "referential"]
        for frame in story.frames
    ]


def story_strip(
    rows: Sequence[tuple[str, Sequence[Image.Image]]],
    captions: Sequence[str],
    marks: Sequence[Sequence[Span]] | None = None,
) -> Image.Image:
    """Return a picture of one story: wrapped captions, below them a row of frames for each system.

    Args:
        rows: Label and frames of each system, top to bottom; an empty label leaves no room for labels if all are empty.
        captions: One a frame.
        marks: For each caption the spans to mark, in order.

    Returns:
        RGB picture, frames at twice their size.

    Raises:
        ValueError: If a row has not one frame a caption.
    """
    for label, images in rows:
        if len(images) != len(captions):
            raise ValueError(f"row {label!r} has {len(images)} frames, expected {len(captions)}: one a caption")
    width, height = (side * SCALE for side in rows[0][1][0].size)
    marks = marks or [()] * len(captions)
    font, label_font = _font(CAPTION_PX), _font(LABEL_PX)
    label_width = max((round(label_font.getlength(label)) for label, _ in rows), default=0)
    left = MARGIN + (label_width + GUTTER + 6 if label_width else 0)
    wrapped = [_wrap(_words(c, m), font, width) for c, m in zip(captions, marks, strict=True)]
    line_px = round(CAPTION_PX * LINE_SPACING)
    text_height = max(len(lines) for lines in wrapped) * line_px
    top = MARGIN + text_height + 10
    size = (
        left + len(captions) * width + (len(captions) - 1) * GUTTER + MARGIN,
        top + len(rows) * height + (len(rows) - 1) * ROW_GAP + MARGIN,
    )
    page = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(page)
    for k, lines in enumerate(wrapped):
        x = left + k * (width + GUTTER)
        first = MARGIN + text_height - len(lines) * line_px  # captions stand on the frames
        for n, line in enumerate(lines):
            _write(pen, x, first + n * line_px, line, font)
    mask = _rounded(width, height)
    for r, (label, images) in enumerate(rows):
        y = top + r * (height + ROW_GAP)
        if label:
            pen.text((left - GUTTER - 6, y + height / 2), label, font=label_font, fill=LABEL, anchor="rm")
        for k, image in enumerate(images):
            x = left + k * (width + GUTTER)
            frame = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
            page.paste(frame, (x, y), mask)
            pen.rounded_rectangle((x, y, x + width - 1, y + height - 1), CORNER_PX, outline="#d5d9e0")
    return page


def stack(strips: Sequence[Image.Image]) -> Image.Image:
    """Return strips below each other on one page, a thin rule between them."""
    page = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), PAPER)
    pen, y = ImageDraw.Draw(page), 0
    for strip in strips:
        page.paste(strip, (0, y))
        if y:
            pen.line((MARGIN, y, page.width - MARGIN, y), fill=RULE, width=2)
        y += strip.height
    return page


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the bundled font at ``size`` pixels."""
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@lru_cache(maxsize=4)
def _rounded(width: int, height: int) -> Image.Image:
    """Return a mask with smooth round corners."""
    fine = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(fine).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), CORNER_PX * 4, fill=255)
    return fine.resize((width, height), Image.Resampling.LANCZOS)


def _words(caption: str, spans: Sequence[Span]) -> list[_Word]:
    """Return the words of a caption, each with its marked part."""
    words, position = [], 0
    for text in caption.split(" "):
        start, end = position, position + len(text)
        word = _Word(text, 0, 0, joined=False)
        for span in spans:
            low, high = max(span.start, start), min(span.end, end)
            if low < high:
                word = _Word(text, low - start, high - start, joined=span.end > end)
        words.append(word)
        position = end + 1
    return words


def _wrap(words: Sequence[_Word], font: ImageFont.FreeTypeFont, width: int) -> list[list[_Word]]:
    """Return lines of words no wider than ``width`` pixels (a word wider than that stands alone)."""
    lines: list[list[_Word]] = [[]]
    for word in words:
        line = " ".join([*(w.text for w in lines[-1]), word.text])
        if lines[-1] and font.getlength(line) > width:
            lines.append([])
        lines[-1].append(word)
    return lines


def _write(pen: ImageDraw.ImageDraw, x: float, y: float, line: Sequence[_Word], font: ImageFont.FreeTypeFont) -> None:
    """Write one line, its marked parts on a tinted ground, coloured and underlined."""
    baseline = y + round(CAPTION_PX * 1.12)
    space = font.getlength(" ")
    for i, word in enumerate(line):
        before, marked, after = word.text[: word.start], word.text[word.start : word.end], word.text[word.end :]
        if not marked:
            before, after = word.text, ""
        pen.text((x, baseline), before, font=font, fill=INK, anchor="ls")
        x += font.getlength(before)
        if marked:
            span = font.getlength(marked)
            ground = span + (space if word.joined and i + 1 < len(line) else 0)
            pen.rectangle((x - 2, y + 2, x + ground + 1, baseline + 6), fill=MARK_PAPER)
            pen.text((x, baseline), marked, font=font, fill=MARK, anchor="ls")
            pen.line((x, baseline + 4, x + ground - 1, baseline + 4), fill=MARK_LINE, width=2)
            x += span
        pen.text((x, baseline), after, font=font, fill=INK, anchor="ls")
        x += font.getlength(after) + space
