"""ARLDM's HDF5 file: what was written comes back in true colours and under its published ids; mistakes are said."""

import importlib.util
import io
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from storybench.data.flintstones import RELEASE as FLINTSTONES
from storybench.data.flintstones import flintstones
from storybench.data.layouts.hdf5 import flintstones_rows, is_hdf5, pororo_rows
from storybench.data.pororo import RELEASE as PORORO
from storybench.data.pororo import pororo
from storybench.errors import DataError

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / ".." / "shared" / "data"
SPLIT = "train-val-test_split.json"
BESIDE = ("img_cache4.npy", "train_seen_unseen_ids.npy", "labels.npy")


def load_writer(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


write = load_writer("write_pororo")
write_hdf5 = load_writer("write_hdf5").write_hdf5


@pytest.fixture(scope="module")
def written():
    return write.clips()


@pytest.fixture(scope="module")
def releases(written, tmp_path_factory):
    """``strips``, and ``hdf5`` made from it as ARLDM's script does, with the files it took the ids from beside."""
    base = tmp_path_factory.mktemp("pororo")
    write.write_strips(base / "strips", written)
    write_hdf5(base / "hdf5" / "pororo.h5", pororo_stories(written, base / "strips"))
    for name in BESIDE:
        shutil.copy(base / "strips" / name, base / "hdf5")
    yield base
    shutil.rmtree(base)


def pororo_stories(written, root, caption=lambda clip: clip.captions[0]):
    by_key = {f"{clip.key}.png": clip for clip in written}
    images, followings = write.walk(root)

    def row(index):
        return [(by_key[path].strip(), caption(by_key[path])) for path in (images[index], *followings[index])]

    return {subset: [row(i) for i in sorted(ids)] for subset, ids in write.SUBSETS.items()}


@pytest.fixture
def release(releases, tmp_path):
    return shutil.copytree(releases / "hdf5", tmp_path / "hdf5")


@pytest.fixture(scope="module")
def flintstones_release(write_flintstones, tmp_path_factory):
    """A Flintstones file beside its split, whose order is not that of the ids, and the clips it was made from."""
    written = write_flintstones.clips()
    root = tmp_path_factory.mktemp("flintstones") / "hdf5"
    split = write_flintstones.split(written)
    root.mkdir()
    (root / SPLIT).write_text(json.dumps(split), "utf-8")
    write_hdf5(root / "flintstones.h5", flintstones_stories(write_flintstones, written, split))
    with (root / "labels.pkl").open("wb") as file:
        pickle.dump({clip.id: clip.labels() for clip in written}, file)
    return root, written


def strip_of(write_flintstones, clip):
    return np.concatenate(clip.video()[list(write_flintstones.SAMPLED)], axis=0)


def flintstones_stories(write_flintstones, written, split):
    by_id = {clip.id: clip for clip in written}
    following = {
        i: f
        for i, f in write_flintstones.following(written, 4).items()
        if len(f) == 4 and all(by_id[k].episode == by_id[i].episode for k in f)
    }
    return {
        subset: [
            [(strip_of(write_flintstones, by_id[k]), by_id[k].caption) for k in (i, *following[i])]
            for i in ids
            if i in following
        ]
        for subset, ids in split.items()
    }


def one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    for word in words:
        assert word in text


def test_the_fixture_swaps_red_and_blue_as_opencv_does(releases, written):
    """PIL must decode the file's own bytes swapped, else the tests of colours below prove nothing."""
    with h5py.File(releases / "hdf5" / "pororo.h5") as file:
        data = file["train/image0"][0]
        assert data.dtype == np.uint8
        raw = np.asarray(Image.open(io.BytesIO(data.tobytes())))
    assert np.array_equal(raw[..., ::-1], written[0].strip())
    assert not np.array_equal(raw, written[0].strip())


def test_pororo_pixels_are_in_true_colours(releases, written):
    source = PORORO.open(releases / "hdf5")
    assert source.layout == "hdf5"
    assert source.has_pictures
    seen = 0
    for clip in written:
        if source.clip(clip.id).captions:
            assert source.frame_count(clip.id) == len(clip.pictures)
            for k, picture in enumerate(clip.pictures):
                assert np.array_equal(np.asarray(source.pixels(clip.id, k).image), picture)
            seen += 1
    assert seen > 20


def test_pororo_stories_are_those_of_the_strips(releases):
    for subset in ("train", "val", "test"):
        strips, file = (pororo(subset, root=releases / name) for name in ("strips", "hdf5"))
        assert len(strips) == len(file) == len(write.SUBSETS[subset])
        for one, other in zip(strips, file, strict=True):
            assert (one.id, one.split, one.cluster) == (other.id, other.split, other.cluster)
            for a, b in zip(one.frames, other.frames, strict=True):
                assert (a.id, a.index, a.characters) == (b.id, b.index, b.characters)
                assert a.captions["original"] == b.captions["original"]
                assert a.captions["referential"] == b.captions["referential"]
                assert np.array_equal(np.asarray(a.image), np.asarray(b.image))


def test_clips_that_no_row_holds_have_no_caption_and_break_no_neighbourhood(releases, written):
    source = PORORO.open(releases / "hdf5")
    assert [c for clips in source.episodes().values() for c in clips] == [c.id for c in written]
    images, followings = write.walk(releases / "strips")
    held = {i for ids in write.SUBSETS.values() for s in ids for i in (images[s], *followings[s])}
    for clip in written:
        assert bool(source.clip(clip.id).captions) == (f"{clip.key}.png" in held)
    absent = next(clip for clip in written if f"{clip.key}.png" not in held)
    with pytest.raises(DataError) as error:
        source.pixels(absent.id, 0)
    one_sentence(error, "pororo.h5", absent.id)
    stories = pororo("all", root=releases / "hdf5")
    numbers = [[int(f.id.rpartition("/")[2]) for f in story.frames] for story in stories]
    assert all(n == list(range(n[0], n[0] + 5)) for n in numbers)


def test_line_breaks_are_deleted_as_published(releases, written, tmp_path):
    def broken(clip):
        return f" {clip.captions[0]}\n\tThe end. "

    write_hdf5(tmp_path / "pororo.h5", pororo_stories(written, releases / "strips", broken))
    for name in BESIDE:
        shutil.copy(releases / "strips" / name, tmp_path)
    text = pororo("train", root=tmp_path)[0].frames[0].captions["original"].text
    assert text == f"{written[0].captions[0]}The end."


def test_the_table_of_captions_stands_in_for_the_list_of_starts(release, releases):
    whole = PORORO.open(release)
    (release / "img_cache4.npy").unlink()
    shutil.copy(releases / "strips" / "descriptions.csv", release)
    again = PORORO.open(release)
    assert (again.subsets(), again.episodes()) == (whole.subsets(), whole.episodes())
    assert again.notes == ()


def test_without_ids_every_row_is_a_story_of_its_own_and_it_is_said(release, written):
    (release / "train_seen_unseen_ids.npy").unlink()
    stories = pororo("train", root=release)
    assert [s.cluster for s in stories] == [f"train/{k:06d}" for k in range(7)]
    assert stories[0].id == "train-000000-0"
    assert [f.captions["original"].text for f in stories[0].frames] == [c.captions[0] for c in written[:1]] + [
        next(c for c in written if c.id == f"Pororo_ENGLISH1_1_ep1/{k}").captions[0] for k in (2, 3, 4, 5)
    ]
    assert np.array_equal(np.asarray(stories[0].frames[0].image), written[0].pictures[len(written[0].pictures) // 2])
    assert len(pororo("train", root=release, frames=4)) == 7
    (note,) = stories.source.notes
    assert "train_seen_unseen_ids.npy" in note
    assert "no published ids" in note


def test_flintstones_from_file_and_split(flintstones_release, write_flintstones):
    root, written = flintstones_release
    source = FLINTSTONES.open(root)
    assert source.layout == "hdf5"
    for clip in written:
        read = source.clip(clip.id)
        stripped = clip.caption.replace("\n", "").replace("\t", "").strip()
        assert (read.id, read.episode, read.captions) == (clip.id, clip.episode, (stripped,))
        assert read.characters == tuple(n for n, on in zip(write_flintstones.NAMES, clip.labels(), strict=True) if on)
        assert source.frame_count(clip.id) == 5
        for k, index in enumerate(write_flintstones.SAMPLED):
            assert np.array_equal(np.asarray(source.pixels(clip.id, k).image), clip.video()[index])
    for subset, count in (("train", 2), ("val", 1), ("test", 3)):
        assert len(flintstones(subset, root=root)) == count


def test_flintstones_without_its_split(flintstones_release, tmp_path):
    root, written = flintstones_release
    shutil.copy(root / "flintstones.h5", tmp_path)
    last = next(c for c in written if c.subset == "test").caption.replace("\n", "").strip()  # the split is in reverse
    stories = flintstones("test", root=tmp_path)
    assert [s.cluster for s in stories] == ["test/000000", "test/000001", "test/000002"]
    assert SPLIT in stories.source.notes[0]
    assert stories[2].frames[0].captions["original"].text == last


def test_files_that_are_cut_short_or_no_hdf5(release):
    path = release / "pororo.h5"
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], data[:100], b"not HDF5 at all", b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError) as error:
            pororo("train", root=release)
        one_sentence(error, os.fspath(path), "cut short or not ARLDM's HDF5 file")


def test_a_damaged_strip_is_named(release):
    with h5py.File(release / "pororo.h5", "r+") as file:
        file["train/image2"][0] = file["train/image2"][0][:60]
        file["train/image3"][0] = np.zeros(9, np.uint8)
    stories = pororo("train", root=release)
    for frame in (2, 3):
        with pytest.raises(DataError) as error:
            stories[0].frames[frame].pixels()
        one_sentence(error, f"Row 0 of train/image{frame}", "pororo.h5", "damaged")


def four_captions(file):
    file["val/text"][1] = "a|b|c|d"


def no_images(file):
    del file["test/image4"]


def no_test(file):
    del file["test"]


def text_of_numbers(file):
    del file["train/text"]
    file["train/text"] = np.arange(7)


def group_of_numbers(file):
    del file["val"]
    file["val"] = np.arange(3)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (four_captions, "Row 1 of val/text"),
        (no_images, "no test/image4"),
        (no_test, "no test/image0"),
        (text_of_numbers, "cut short or not ARLDM's"),
        (group_of_numbers, "no val/image0"),
    ],
)
def test_groups_and_rows_of_another_form(release, damage, words):
    with h5py.File(release / "pororo.h5", "r+") as file:
        damage(file)
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "pororo.h5", words)


def test_rows_of_different_number(release):
    with h5py.File(release / "pororo.h5", "r+") as file:
        del file["test/image1"]
        file["test"].create_dataset("image1", (3,), dtype=h5py.vlen_dtype(np.dtype("uint8")))
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "pororo.h5", "differ in length")


def test_text_in_another_encoding(release):
    with h5py.File(release / "pororo.h5", "r+") as file:
        del file["train/text"]
        text = file["train"].create_dataset("text", (7,), dtype=h5py.string_dtype(encoding="utf-8"))
        text[...] = np.array(["|".join("abcde").encode()] * 6 + [b"caf\xe9|b|c|d|e"], dtype=object)
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "pororo.h5", "utf-8")


def test_ids_of_another_release_are_noticed(release):
    ids = {name: list(rows) for name, rows in write.SUBSETS.items()}
    write.write_ids(release, [[*ids["train"], 14], ids["val"], ids["test"]])
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "7 train stories", "gives 8")
    write.write_ids(release, [[1, 2, 3, 5, 9, 12, 14], ids["val"], ids["test"]])
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "another caption for clip", "train_seen_unseen_ids.npy")
    write.write_ids(release, [[0, 99], ids["val"], ids["test"]])
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "out of range", "99")


def test_several_files_in_a_folder(release):
    shutil.copy(release / "pororo.h5", release / "flintstones.h5")
    assert len(pororo("train", root=release)) == 7
    (release / "pororo.h5").rename(release / "other.hdf5")
    (release / "flintstones.h5").rename(release / "one.h5")
    with pytest.raises(DataError) as error:
        pororo("train", root=release)
    one_sentence(error, "several HDF5 files", "one.h5, other.hdf5")


def test_which_folders_hold_a_file(release, tmp_path):
    assert is_hdf5(release)
    assert is_hdf5(release / "pororo.h5")
    assert not is_hdf5(release / "labels.npy")
    assert not is_hdf5(tmp_path)
    with pytest.raises(DataError) as error:
        pororo("train", root=tmp_path, layout="hdf5")
    one_sentence(error, "no HDF5 file", "pororo.h5")
    assert len(pororo("train", root=release / "pororo.h5")) == 7


def test_rows_of_the_real_split_file():
    split = SHARED / "flintstones" / SPLIT
    if not split.is_file():
        pytest.skip("the real FlintstonesSV split is not here")
    episodes, rows = flintstones_rows(split)
    assert len(episodes) == 164
    assert {group: len(stories) for group, stories in rows.items()} == {"train": 20_132, "val": 2_071, "test": 2_309}
    listed = json.loads(split.read_text("utf-8"))
    for group, stories in rows.items():
        first = [story[0] for story in stories]
        known = set(first)
        assert first == [clip for clip in listed[group] if clip in known]


def test_rows_of_the_real_captions(tmp_path):
    table = SHARED / "pororo" / "descriptions.csv"
    if not table.is_file():
        pytest.skip("the real PororoSV captions are not here")
    shutil.copy(table, tmp_path)
    assert pororo_rows(tmp_path) is None
    write.write_ids(tmp_path, [[0, 15_333], [11], [1]])
    episodes, rows = pororo_rows(tmp_path)
    assert len(episodes) == 183
    assert rows["val"] == [tuple(f"Pororo_ENGLISH1_1_ep1/{k}" for k in (2, 3, 4, 5, 6))]
    assert rows["test"] == [tuple(f"Pororo_ENGLISH1_1_ep1/{k}" for k in (10, 11, 12, 13, 14))]
    assert rows["train"][1][0].startswith("Pororo_The_Racing_Adventure_ep7/")
