"""A picture arrives as the model drew it, or is refused before anything unusual in it is decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from submission_archives import as_jpeg, chunk, mirrored, png, png_of_header, saved

from storybench.submission.pictures import look

SIZE = (128, 128)
IMAGE = next(iter(mirrored().values()))
PNG = png(IMAGE)


def kinds(data: bytes, suffix: str = "png", size=SIZE) -> set[str]:
    looked = look(data, suffix, size)
    errors = {issue.kind for issue in looked.issues if issue.severity == "error"}
    assert bool(errors) == (looked.image is None)
    return errors


def test_pixels_come_back_as_they_were_drawn():
    for data, suffix in ((PNG, "png"), (saved(IMAGE, "WEBP", lossless=True), "webp")):
        looked = look(data, suffix, SIZE)
        assert not looked.issues
        assert looked.image.tobytes() == IMAGE.tobytes()


def test_an_interlaced_picture_is_read_like_any_other():
    """Pillow writes none, so the seven passes are laid out here."""
    pixels, raw = np.asarray(IMAGE), b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        raw += b"".join(b"\0" + line.tobytes() for line in pixels[y::dy, x::dx])
    header = chunk(b"IHDR", struct.pack(">2L5B", *SIZE, 8, 2, 0, 0, 1))
    data = PNG[:8] + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert look(data, "png", SIZE).image.tobytes() == IMAGE.tobytes()


OTHERS = {
    "JPEG": saved(IMAGE, "JPEG"),
    "GIF": saved(IMAGE, "GIF"),
    "BMP": saved(IMAGE, "BMP"),
    "TIFF": saved(IMAGE, "TIFF"),
    "WebP": saved(IMAGE, "WEBP"),
    "a program": b"\x7fELF" + b"\0" * 99,
    "a script": b"#!/bin/sh\nrm -rf /\n",
    "a pickle": b"\x80\x04\x95" + b"\0" * 50,
    "unknown": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("form", OTHERS)
def test_another_format_by_the_name_of_png_is_called_what_it_is(form):
    looked = look(OTHERS[form], "png", SIZE)
    assert looked.image is None
    assert looked.issues[0].kind == "format"
    assert form in looked.issues[0].what


def _animated(form: str) -> bytes:
    return saved(
        IMAGE, form, save_all=True, append_images=[IMAGE.rotate(90)], **({"lossless": True} if form == "WEBP" else {})
    )


BAD_PNG = {
    "alpha": png(IMAGE.convert("RGBA")),
    "colour": png(IMAGE.convert("L")),
    "animated": _animated("PNG"),
    "dimensions": png(IMAGE.resize((256, 256))),
    "trailing": PNG + b"PK\x03\x04",
    "undecodable": PNG[:-500],
    "damaged": PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:],
}


@pytest.mark.parametrize("kind", BAD_PNG)
def test_a_png_that_is_not_as_drawn_is_refused(kind):
    assert kind in kinds(BAD_PNG[kind])


def test_a_palette_and_sixteen_bits_are_refused():
    assert kinds(png(IMAGE.convert("P"))) == {"colour"}
    assert kinds(png_of_header(128, 128, depth=16, data=b"\0" * 128 * (1 + 6 * 128))) == {"colour"}


def test_a_transparent_colour_is_alpha():
    assert kinds(png(IMAGE, transparency=(0, 0, 0))) == {"alpha"}


def test_lossy_webp_is_refused():
    assert kinds(saved(IMAGE, "WEBP", quality=95), "webp") == {"lossy"}


def test_a_webp_with_alpha_or_motion_or_another_size_is_refused():
    clear = IMAGE.copy()
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    assert kinds(saved(clear, "WEBP", lossless=True), "webp") == {"alpha"}
    assert "animated" in kinds(_animated("WEBP"), "webp")
    assert kinds(saved(IMAGE.resize((64, 64)), "WEBP", lossless=True), "webp") == {"dimensions"}
    whole = saved(IMAGE, "WEBP", lossless=True)
    assert kinds(whole[:-10], "webp") == {"undecodable"}
    assert kinds(whole + b"tail", "webp") == {"undecodable"}


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (65_535, 65_535), (100_000, 1), (0, 5)])
@pytest.mark.parametrize("size", [SIZE, None])
def test_huge_dimensions_are_refused_without_decoding(width, height, size):
    assert kinds(png_of_header(width, height, data=b"\0" * 64), size=size) == {"dimensions"}


@pytest.mark.parametrize(("more", "kind"), [(-1, "undecodable"), (1, "trailing"), (1 << 24, "trailing")])
def test_pixels_expand_to_the_picture_and_no_further(more, kind):
    data = png_of_header(128, 128, data=b"\0" * (128 * (1 + 3 * 128) + more))
    assert kinds(data) == {kind}


def test_text_and_profiles_are_dropped_and_said():
    about = PngImagePlugin.PngInfo()
    about.add_text("prompt", "<script>alert(1)</script>")
    for data in (png(IMAGE, pnginfo=about), png(IMAGE, icc_profile=b"\0" * 300), png(IMAGE, exif=b"Exif\0\0MM")):
        looked = look(data, "png", SIZE)
        assert [(i.severity, i.kind) for i in looked.issues] == [("warning", "extras")]
        assert looked.image.info == {}
        assert looked.image.tobytes() == IMAGE.tobytes()


def test_a_text_chunk_that_is_a_bomb_is_never_expanded():
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (1 << 26), 9))
    looked = look(PNG[:33] + bomb + PNG[33:], "png", SIZE)
    assert looked.image.tobytes() == IMAGE.tobytes()


def test_a_critical_chunk_that_nobody_knows_is_refused():
    assert kinds(PNG[:33] + chunk(b"EVIL", b"x") + PNG[33:]) == {"damaged"}


def test_a_jpeg_saved_as_png_is_a_png_here():
    """Its past is looked for in the pixels (test_traces); its form is right."""
    assert kinds(png(as_jpeg(IMAGE, 75))) == set()


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(PNG) - 1), bit=st.integers(0, 7), cut=st.integers(0, 400))
def test_a_damaged_png_is_refused_or_means_the_same_pixels(at, bit, cut):
    data = bytearray(PNG[: len(PNG) - cut])
    if at < len(data):
        data[at] ^= 1 << bit
    looked = look(bytes(data), "png", SIZE)
    if looked.image is not None:
        assert looked.image.size == SIZE
        assert looked.image.mode == "RGB"
    assert looked.image is not None or looked.issues


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), start=st.sampled_from([b"", PNG[:8], PNG[:33], b"RIFF\x10\0\0\0WEBPVP8L"]))
def test_any_bytes_are_a_picture_or_a_reason(data, start):
    for suffix in ("png", "webp"):
        looked = look(start + data, suffix, SIZE)
        assert looked.image is None
        assert looked.issues
        io.BytesIO(data)
