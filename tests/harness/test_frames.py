"""FrameStore: whole stories or nothing, and every fault of a folder named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from storybench.errors import DataError
from storybench.frames import FrameStore, png_bytes

SIZE = (16, 16)


def picture(seed: int, size=SIZE, mode="RGB") -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


@pytest.fixture
def store(tmp_path) -> FrameStore:
    store = FrameStore.of_run(tmp_path / "run")
    for name in ("a", "b"):
        store.commit({name: [picture(k) for k in range(3)]}, {name: 1.5})
    return store


COUNTS = {"a": 3, "b": 3}


def test_committed_frames_read_back_exactly(store):
    assert np.array_equal(np.asarray(store.read("b", 2)), np.asarray(picture(2)))
    assert store.committed()["a"].seconds == 1.5
    store.verify(COUNTS, SIZE)


def test_metadata_of_a_picture_does_not_reach_its_bytes():
    plain, adorned = picture(1), picture(1)
    adorned.info.update({"icc_profile": b"x" * 64, "dpi": (300, 300), "comment": "hello"})
    assert png_bytes(plain) == png_bytes(adorned)


def test_a_group_is_committed_as_one(tmp_path):
    store = FrameStore.of_run(tmp_path)
    store.commit({"a": [picture(0)], "b": [picture(1)]}, {"a": 1.0, "b": 1.0})
    assert len(store.manifest.read_text().splitlines()) == 1
    assert store.finished({"a": 1, "b": 1}) == {"a", "b"}


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_torn_manifest_line_does_not_count_and_is_cut_off(store, kept):
    lines = store.manifest.read_bytes().splitlines(keepends=True)
    store.manifest.write_bytes(lines[0] + lines[1][: int(len(lines[1]) * kept)].rstrip(b"\n"))
    assert store.finished(COUNTS) == {"a"}
    store.commit({"b": [picture(k) for k in range(3)]}, {"b": 2.0})
    assert store.manifest.read_bytes().splitlines()[0] == lines[0].rstrip(b"\n")
    assert store.finished(COUNTS) == {"a", "b"}
    store.verify(COUNTS, SIZE)


def test_leftovers_of_a_crash_vanish_when_the_story_is_drawn(store):
    folder = store.frames_dir / "c"
    folder.mkdir()
    (folder / ".0.png.x.tmp").write_bytes(b"half")
    (folder / "7.png").write_bytes(png_bytes(picture(7)))
    assert "c" not in store.finished({"c": 1})
    store.commit({"c": [picture(0)]}, {"c": 1.0})
    assert [p.name for p in folder.iterdir()] == ["0.png"]


def test_finished_asks_for_every_file(store):
    store.path("a", 1).unlink()
    assert store.finished(COUNTS) == {"b"}


def test_verify_names_every_kind_of_fault_at_once(store):
    store.path("a", 0).unlink()
    store.path("a", 1).write_bytes(store.path("a", 1).read_bytes()[:40])
    store.path("a", 2).write_bytes(png_bytes(picture(1, (8, 16))))
    picture(1, mode="L").save(store.path("b", 0))
    store.path("b", 1).write_bytes(png_bytes(picture(99)))
    (store.frames_dir / "b" / "3.png").write_bytes(b"")
    (store.frames_dir / "stranger").mkdir()
    with pytest.raises(DataError) as caught:
        store.verify(COUNTS, SIZE)
    message = str(caught.value)
    for words in (
        "7 problems",
        "6 frames in 2 stories due",
        "a/0.png is missing",
        "a/1.png cannot be decoded",
        "a/2.png is 8 x 16 pixels, expected 16 x 16",
        "b/0.png is L, expected RGB",
        "b/1.png is not the file that the manifest records",
        "and 2 more",
    ):
        assert words in message
    assert "\n" not in message


def test_a_lossy_picture_under_the_name_of_a_png_is_refused(store, tmp_path):
    picture(1).save(tmp_path / "lossy", format="JPEG")
    foreign = FrameStore(store.frames_dir)  # no manifest says what the file should be
    store.path("b", 1).write_bytes((tmp_path / "lossy").read_bytes())
    with pytest.raises(DataError, match=r"b/1\.png is JPEG by another name"):
        foreign.verify(COUNTS, SIZE)


@pytest.mark.parametrize(
    ("name", "words"), [("3.png", "b/3.png is not expected"), ("notes.txt", "b/notes.txt is not expected")]
)
def test_verify_names_what_should_not_be_there(store, name, words):
    (store.frames_dir / "b" / name).write_bytes(b"")
    with pytest.raises(DataError, match=words):
        store.verify(COUNTS, SIZE)


def test_digest_depends_on_bytes_alone(store, tmp_path):
    other = FrameStore.of_run(tmp_path / "other")
    for name in ("b", "a"):
        other.commit({name: [picture(k) for k in range(3)]}, {name: 9.0})
    assert other.digest(COUNTS) == store.digest({"b": 3, "a": 3})
    other.commit({"a": [picture(k + 1) for k in range(3)]}, {"a": 9.0})
    assert other.digest(COUNTS) != store.digest(COUNTS)


def test_foreign_folder_is_read_only(store, tmp_path):
    foreign = FrameStore.of_folder(store.frames_dir)
    foreign.manifest.unlink()
    foreign = FrameStore.of_folder(store.frames_dir)
    foreign.verify(COUNTS, SIZE)
    with pytest.raises(DataError, match="only read"):
        foreign.commit({"a": [picture(0)]}, {"a": 1.0})


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "-x"])
def test_story_id_cannot_leave_the_folder(store, name):
    with pytest.raises(DataError, match="cannot name a folder"):
        store.path(name, 0)


def test_thumbs_are_strips(store, tmp_path):
    (first, _) = store.thumbs(COUNTS, tmp_path / "thumbs", height_px=8)
    assert Image.open(first).size == (24, 8)
