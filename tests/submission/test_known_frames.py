"""The shipped hashes are those of the frames that this code draws, and they find copies."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from storybench.data.toonsv.dataset import SIZES, ToonSV
from storybench.errors import DataError
from storybench.submission.known_frames import TABLE, build, drawing, hashes_of, known, pixel_hash, toonsv_frames


def test_the_table_holds_every_split_and_stays_below_a_megabyte():
    table = toonsv_frames()
    assert set(table) == set(SIZES)
    assert TABLE.stat().st_size < 1_000_000
    for hashes in table.values():
        assert hashes.dtype == np.uint64
        assert bool((np.diff(hashes.astype(object)) > 0).all())
    assert 0.99 * 5 * SIZES["train"] < len(table["train"]) <= 5 * SIZES["train"]  # some scenes are drawn twice


@pytest.mark.parametrize("split", sorted(SIZES))
def test_frames_drawn_now_are_in_the_table(split):
    """Were the drawing changed without making the table anew, this fails."""
    data, table = ToonSV(split), toonsv_frames()[split]
    chosen = random.Random(split).sample(range(SIZES[split]), 6)
    hashes = [pixel_hash(f.image) for k in chosen for f in data[k].frames]
    assert known(hashes, table).all()


def test_pictures_that_nobody_drew_are_not_in_the_table():
    table = toonsv_frames()
    others = [ImageOps.mirror(f.image) for k in range(10) for f in ToonSV("test")[k].frames]
    hashes = [pixel_hash(image) for image in others]
    for split in SIZES:
        assert not known(hashes, table[split]).any()


def test_one_changed_pixel_is_another_picture():
    image = ToonSV("test")[0].frames[0].image
    changed = image.copy()
    changed.putpixel((64, 64), tuple(255 - c for c in changed.getpixel((64, 64))))
    assert pixel_hash(image) != pixel_hash(changed)
    assert pixel_hash(Image.new("RGB", (2, 8))) != pixel_hash(Image.new("RGB", (8, 2)))


@given(table=st.lists(st.integers(0, 2**64 - 1)), asked=st.lists(st.integers(0, 2**64 - 1)))
def test_looking_up_is_membership(table, asked):
    asked = [*asked, *table[:3]]
    found = known(asked, np.unique(np.array(table, np.uint64)))
    assert found.tolist() == [each in set(table) for each in asked]


def test_a_table_of_another_drawing_is_refused(tmp_path, monkeypatch):
    few = tmp_path / "few.safetensors"
    build(few, {"train": 2, "mini": 1})
    assert np.array_equal(toonsv_frames(few)["train"], hashes_of(ToonSV("train")[k] for k in range(2)))
    assert drawing() in few.read_bytes().decode("latin1")
    other = tmp_path / "other.safetensors"
    other.write_bytes(few.read_bytes().replace(drawing().encode(), b"0" * 16))
    with pytest.raises(DataError, match="make it anew"):
        toonsv_frames(other)
    with pytest.raises(DataError, match="known_frames"):
        toonsv_frames(tmp_path / "none.safetensors")
