"""Strips: right size, marks where the references are, never a lost word."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor

from storybench.data.toonsv.dataset import ToonSV
from storybench.strips import MARK_LINE, SCALE, Span, _font, _words, _wrap, reference_marks, stack, story_strip

RED = Image.new("RGB", (64, 48), "red")


def pixels_of(strip: Image.Image, colour: str) -> int:
    return int((np.asarray(strip) == ImageColor.getrgb(colour)).all(axis=-1).sum())


def test_frames_stand_at_twice_their_size():
    strip = story_strip([("", [RED, RED])], ["One.", "Two."])
    assert pixels_of(strip, "red") > 2 * 0.95 * (64 * SCALE) * (48 * SCALE)


def test_more_rows_and_labels_make_room_for_themselves():
    one = story_strip([("", [RED])], ["One."])
    two = story_strip([("true", [RED]), ("StoryGPT-V", [RED])], ["One."])
    assert two.height > one.height + 48 * SCALE
    assert two.width > one.width


def test_a_mark_is_underlined_as_long_as_its_words():
    caption = "Both of them sleep."
    plain = story_strip([("", [RED])], [caption])
    short = story_strip([("", [RED])], [caption], [[Span(0, 4)]])
    long = story_strip([("", [RED])], [caption], [[Span(0, 12)]])
    assert pixels_of(plain, MARK_LINE) == 0
    assert 0 < 2 * pixels_of(short, MARK_LINE) < pixels_of(long, MARK_LINE)


def test_marks_are_the_referential_mentions():
    story = ToonSV("mini")[0]
    for frame, spans in zip(story.frames, reference_marks(story, "referential"), strict=True):
        caption = frame.captions["referential"]
        expected = [m.surface for m in caption.mentions if m.kind == "referential"]
        assert [caption.text[s.start : s.end] for s in spans] == expected
        marked = " ".join(w.text[w.start : w.end] for w in _words(caption.text, spans) if w.start < w.end)
        assert marked == " ".join(expected)


@pytest.mark.parametrize("width", [1, 60, 128, 400])
def test_wrapping_loses_no_word(width):
    caption = "In the meadow, Mr Plum and Nora wave hello to Bolt, extraordinarilylongword and all."
    lines = _wrap(_words(caption, []), _font(19), width)
    assert " ".join(w.text for line in lines for w in line) == caption
    for line in lines:
        assert len(line) == 1 or _font(19).getlength(" ".join(w.text for w in line)) <= width


def test_a_row_needs_a_frame_for_every_caption():
    with pytest.raises(ValueError, match="1 frames, expected 2"):
        story_strip([("x", [RED])], ["One.", "Two."])


def test_stack_holds_every_strip_whole():
    strips = [story_strip([("", [RED] * n)], ["Hello."] * n) for n in (1, 3)]
    page = stack(strips)
    assert page.size == (strips[1].width, strips[0].height + strips[1].height)
