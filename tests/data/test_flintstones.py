"""FlintstonesSV from every layout: written and read back, published counts, and mistakes said in one sentence."""

import json
import os
import shutil

import numpy as np
import pytest

from storybench.data.clips import Box, Clip
from storybench.data.flintstones import LAYOUTS, RELEASE, flintstones
from storybench.data.release import complete
from storybench.errors import ConfigError, DataError
from storybench.records.fingerprint import data_hash

PICTURED = ("ai2", "storydalle", "storygptv")
ANNOTATION, SPLIT = "flintstones_annotations_v1-0.json", "train-val-test_split.json"
FOLDER = {"ai2": "video_frames", "storydalle": "video_frames_sampled", "storygptv": "video_frames_sampled_4x"}


@pytest.fixture(scope="module")
def written(write_flintstones):
    return write_flintstones.clips()


@pytest.fixture(scope="module")
def releases(write_flintstones, written, tmp_path_factory):
    base = tmp_path_factory.mktemp("flintstones")
    for name, write in write_flintstones.WRITERS.items():
        write(base / name, written)
    yield base
    shutil.rmtree(base)  # 150 MB of pictures


@pytest.fixture
def small(write_flintstones, written, tmp_path):
    """A release without pictures that a test may damage."""
    write_flintstones.write_text(tmp_path / "release", written)
    return tmp_path / "release"


def one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    for word in words:
        assert word in text
    return text


def expected_clip(clip):
    cast = ("Wilma", "Fred", "Betty", "Barney", "Dino", "Pebbles", "Mr Slate")
    return Clip(
        clip.id,
        clip.episode,
        captions=(clip.caption,),
        characters=tuple(name for name in cast if name.lower() in [p.label.strip() for p in clip.people]),
        annotated=tuple(p.label for p in clip.people),
        setting=clip.setting,
        boxes=tuple(Box(p.label, *p.box) for p in clip.people if p.box),
    )


@pytest.mark.parametrize("layout", PICTURED)
def test_every_clip_comes_back_as_written(releases, written, layout):
    source = RELEASE.open(releases / layout)
    assert source.layout == layout
    assert source.has_pictures
    for clip in written:
        assert source.clip(clip.id) == expected_clip(clip)
    assert list(source.episodes()) == ["s_01_e_01", "s_02_e_27", "s_06_e_25"]
    assert [clip_id for clips in source.episodes().values() for clip_id in clips] == [clip.id for clip in written]
    assert {s: set(ids) for s, ids in source.subsets().items()} == {
        s: {c.id for c in written if c.subset == s} for s in ("train", "val", "test")
    }


@pytest.mark.parametrize(("layout", "scale", "frames"), [("ai2", 1, 75), ("storydalle", 1, 5), ("storygptv", 4, 5)])
def test_pictures_boxes_and_masks_come_back_as_written(releases, written, layout, scale, frames):
    names = {"fred": "Fred", "barney": "Barney", "wilma": "Wilma", "mr slate ": "Mr Slate"}
    by_id = {clip.id: clip for clip in written}
    stories = flintstones("test", root=releases / layout)
    assert len(stories) == 3
    for story in stories:
        for frame in story.frames:
            clip, pixels = by_id[frame.id], frame.pixels()
            video = clip.video()[37].repeat(scale, 0).repeat(scale, 1)
            assert (np.asarray(pixels.image) == video).all()
            assert pixels.boxes == tuple(tuple(side * scale for side in box) for box in clip.boxes())
            assert pixels.labels == tuple(names.get(p.label, p.label) for p in clip.people if p.box)
            if layout == "storydalle":
                assert pixels.instances is None
            else:
                assert (pixels.instances == clip.instances().repeat(scale, 0).repeat(scale, 1)).all()
    assert stories.source.frame_count(written[0].id) == frames


STORIES = {("train", 5): 2, ("val", 5): 1, ("test", 5): 3, ("all", 5): 6, ("train", 4): 3, ("all", 4): 9}


@pytest.mark.parametrize(("subset", "frames"), STORIES)
def test_every_layout_tells_the_same_stories(releases, subset, frames):
    told = {layout: flintstones(subset, root=releases / layout, frames=frames) for layout in PICTURED}
    for stories in told.values():
        assert len(stories) == STORIES[subset, frames]
        assert list(stories.windows) == list(told["ai2"].windows)
        for text in ("original", "referential"):
            assert data_hash(list(stories), text) == data_hash(list(told["ai2"]), text)


def test_a_story_says_what_its_clips_say(releases, written):
    story = flintstones("train", root=releases / "storydalle")[1]
    clips = written[1:6]
    assert (story.id, story.cluster, story.split, story.dataset) == (clips[0].id, "s_01_e_01", "train", "flintstones")
    assert [f.captions["original"].text for f in story.frames] == [clip.caption for clip in clips]
    assert [f.characters for f in story.frames] == [expected_clip(clip).characters for clip in clips]
    assert [f.setting for f in story.frames] == [clip.setting for clip in clips]
    assert [f.id for f in story.frames] == [clip.id for clip in clips]
    assert len({f.captions["referential"].text for f in story.frames}) > 1


def test_the_frame_of_a_clip_is_fixed_and_a_training_draw_is_seeded(releases):
    def reds(**options):
        stories = flintstones("train", root=releases / "storydalle", **options)
        return [np.asarray(f.image)[0, 0, 0] for story in stories for f in story.frames]

    assert set(reds()) == {37}
    assert set(reds(frame=4)) == {74}
    drawn = reds(frame="random", seed=1, epoch=2)
    assert drawn == reds(frame="random", seed=1, epoch=2)
    assert drawn != reds(frame="random", seed=1, epoch=3)
    with pytest.raises(ConfigError) as error:
        reds(frame=5)
    one_sentence(error, "0..4")


def test_opening_reads_no_picture(releases, written, write_flintstones, tmp_path):
    write_flintstones.write_text(tmp_path, written)
    (tmp_path / "video_frames_sampled").mkdir()
    stories = flintstones("test", root=tmp_path)  # not one picture is there
    assert stories[0].frames[0].captions["original"].text == written[11].caption
    with pytest.raises(DataError) as error:
        stories[0].frames[0].pixels()
    one_sentence(error, "missing", f"{written[11].id}.npy")


def test_pictures_can_be_left_out(releases, small):
    for root, options in ((releases / "ai2", {"pictures": False}), (small, {})):
        stories = flintstones("test", root=root, **options)
        assert len(stories) == 3
        assert stories[0].frames[0].load is None
    assert flintstones("test", root=small).source.layout == "captions"
    with pytest.raises(DataError) as error:
        flintstones("test", root=small, layout="ai2")
    one_sentence(error, "video_frames/", "dataset.pictures=false")
    assert len(flintstones("test", root=small, layout="storydalle", pictures=False)) == 3


def test_captions_alone_make_the_stories_that_have_them_all(releases, written):
    stories = flintstones("test", root=releases / "captions", frames=2)
    assert [s.id for s in stories] == [written[11].id, written[12].id]  # 7 clips, 3 captions, 2 full pairs
    assert stories[0].frames[1].captions["original"].text == written[12].caption
    assert stories[0].frames[0].characters == ("Fred", "Barney")  # named in the caption
    assert len(flintstones("train", root=releases / "captions")) == 0
    counted = RELEASE.census(stories.source)["subsets"]
    assert counted["test"]["overlapping"] == {"4": 4, "5": 3}
    assert counted["test"]["complete"] == {"4": 0, "5": 0}
    assert counted["test"]["unfiltered"] == {"4": 7, "5": 7}
    assert counted["val"]["unfiltered"] == {"4": 2, "5": 1}  # only the very last episode has the defect
    with pytest.raises(DataError) as error:
        stories.source.pixels(written[11].id, 0)
    one_sentence(error, "captions only")


def test_segments_without_a_number_in_between_keep_their_own(releases, written, tmp_path):
    root = tmp_path / "release"
    shutil.copytree(releases / "storygptv", root, copy_function=os.link)
    path = root / "cleaned_annotations.json"
    cleaned = json.loads(path.read_text())
    clip = written[12]
    cleaned[clip.id]["segments"] = [{"id": 3, "word": "Barney", "start": 0, "end": 1, "bbox": [0, 0, 128, 64]}]
    path.unlink()
    path.write_text(json.dumps(cleaned))
    pixels = RELEASE.open(root).pixels(clip.id, 2)
    assert pixels.labels == ("", "", "Barney")
    assert pixels.boxes == ((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 512, 256))
    assert RELEASE.open(root).pixels(clip.id, 1).instances is None  # no mask file of this picture
    cleaned[clip.id]["segments"][0]["id"] = 10**9
    path.write_text(json.dumps(cleaned))
    with pytest.raises(DataError) as error:
        RELEASE.open(root)
    one_sentence(error, clip.id, "id from 1 to 255")


def test_the_layout_is_told_by_the_files(releases, tmp_path):
    assert {name: RELEASE.open(releases / name).layout for name in (*PICTURED, "captions")} == {
        name: name for name in (*PICTURED, "captions")
    }
    with pytest.raises(DataError) as error:
        RELEASE.open(tmp_path)
    one_sentence(error, *LAYOUTS, "video_frames_sampled_4x/", "split.json", ANNOTATION)
    for folder in FOLDER.values():
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError) as error:
        RELEASE.open(tmp_path)
    one_sentence(error, "several", "ai2, storydalle, storygptv", "dataset.layout=")


def test_wrong_options_are_one_sentence(releases):
    root = releases / "captions"
    for options, words in (
        ({"root": None}, ["dataset.root=DIR"]),
        ({"layout": "storydall"}, ["storydalle"]),
        ({"rule": "overlap"}, ["overlapping"]),
        ({"frames": 0}, ["dataset.frames"]),
        ({"frame": "last"}, ["dataset.frame"]),
        ({"subset": "dev"}, ["train, val"]),
    ):
        with pytest.raises(ConfigError) as error:
            flintstones(**{"subset": "test", "root": root, **options})
        one_sentence(error, *words)


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_split_file_that_does_not_fit_is_one_sentence(small, written):
    split = small / SPLIT
    original = split.read_text()
    strange = "s_09_e_09_shot_000000_000074"
    for edit, words in (
        (lambda c: c["val"].extend([strange, strange[:-1] + "5"]), ["2 of 20 clips", strange]),
        (lambda c: c["val"].append(c["test"][0]), ["under val and test"]),
        (lambda c: c["val"].append(c["val"][0]), ["twice under val"]),
        (lambda c: c["val"].append("../etc/passwd"), ["../etc/passwd", "under val"]),
        (lambda c: c["val"].append(7), ["7 under val"]),
        (lambda c: c.pop("val"), ["train, val and test"]),
    ):
        split.write_text(original)
        change(split, edit)
        with pytest.raises(DataError) as error:
            RELEASE.open(small)
        one_sentence(error, str(split), *words)
    split.unlink()
    with pytest.raises(DataError) as error:
        RELEASE.open(small)
    one_sentence(error, str(split), "missing")


def test_captions_of_unknown_clips_are_one_sentence(releases, tmp_path):
    for name in (SPLIT, "test_captions.json"):
        shutil.copy(releases / "captions" / name, tmp_path)
    path = tmp_path / "test_captions.json"
    original = path.read_text()
    for edit, words in (
        (lambda c: c[1].update(image="s_09_e_09_shot_000000_000074.png"), ["Row 1", "s_09_e_09", "split"]),
        (lambda c: c.append(c[0]), ["two captions"]),
        (lambda c: c[0].pop("text"), ["Row 0"]),
    ):
        path.write_text(original)
        change(path, edit)
        with pytest.raises(DataError) as error:
            RELEASE.open(tmp_path)
        one_sentence(error, str(path), *words)
    path.write_bytes(original.replace("Fred", "Fr\xe9d", 1).encode("latin-1"))
    with pytest.raises(DataError) as error:
        RELEASE.open(tmp_path)
    one_sentence(error, str(path), "not UTF-8", "0xe9")


def test_a_damaged_annotation_names_the_clip(small):
    path = small / ANNOTATION
    original = path.read_text()
    for edit, words in (
        (lambda c: c[3].pop("description"), ["Clip 3", "description"]),
        (lambda c: c[3].update(globalID="../x"), ["Clip 3", "globalID"]),
        (lambda c: c[3].update(setting=None), ["Clip 3"]),
        (lambda c: c[3].update(characters=[{"rectangles": []}]), ["Clip 3", "entityLabel"]),
        (lambda c: c[3].update(characters=[{"entityLabel": "fred", "rectangles": [[1, 2, 3]]}]), ["Clip 3"]),
        (lambda c: c.append(c[0]), ["twice"]),
    ):
        path.write_text(original)
        change(path, edit)
        with pytest.raises(DataError) as error:
            RELEASE.open(small)
        one_sentence(error, str(path), *words)
    path.write_text(original[: len(original) // 2])
    with pytest.raises(DataError) as error:
        RELEASE.open(small)
    one_sentence(error, str(path), "cut short")


def damage(releases, tmp_path, layout, name, content):
    """Copy a release by links and put ``content`` (bytes, an array, or None for nothing) in place of one file."""
    root = tmp_path / layout
    if not root.exists():
        shutil.copytree(releases / layout, root, copy_function=os.link)
    (root / name).unlink()
    if isinstance(content, bytes):
        (root / name).write_bytes(content)
    elif content is not None:
        np.save((root / name).open("wb"), content)
    return root


@pytest.mark.parametrize("layout", PICTURED)
def test_damaged_pictures_are_one_sentence(releases, written, tmp_path, layout):
    clip = written[11].id
    name = f"{FOLDER[layout]}/{clip}.npy"
    whole = (releases / layout / name).read_bytes()
    for content, word in (
        (whole[: len(whole) // 2], "cut short"),
        (b"", "cut short"),
        (np.zeros((128, 128, 3), np.uint8), "of shape (128, 128, 3)"),
        (np.zeros((5, 128, 128, 3), np.float32), "float32"),
        (np.array([None]), "Python objects"),
        (None, "missing"),
    ):
        root = damage(releases, tmp_path, layout, name, content)
        with pytest.raises(DataError) as error:
            flintstones("test", root=root)[0].frames[0].pixels()
        one_sentence(error, name, word)
        (root / name).touch()


def test_damaged_masks_and_tracks_are_one_sentence(releases, written, tmp_path):
    clip = written[11]
    person = clip.people[0].id
    cases = (
        ("ai2", f"entity_segmentation/{person}_segm.npy.npz", b"PK", "cut short"),
        ("ai2", f"entity_tracking/{person}.npy", np.zeros((3, 4)), "picture 37"),
        ("storygptv", f"seg_mask_4x_comb/{clip.id}-frame2.npy", np.zeros((128, 128), int), "(512, 512)"),
    )
    for layout, name, content, word in cases:
        root = damage(releases, tmp_path / name.split("/")[0], layout, name, content)
        with pytest.raises(DataError) as error:
            flintstones("test", root=root)[0].frames[0].pixels()
        one_sentence(error, name, word)


def test_a_masks_file_of_the_right_name_and_wrong_shape_is_refused(releases, written, tmp_path):
    name = f"entity_segmentation/{written[11].people[0].id}_segm.npy.npz"
    root = damage(releases, tmp_path, "ai2", name, None)
    np.savez(root / name.removesuffix(".npz"), np.zeros((75, 64, 64), np.uint8))
    with pytest.raises(DataError) as error:
        RELEASE.open(root).pixels(written[11].id, 37)
    one_sentence(error, name, "(75, 64, 64)")


def test_the_published_counts_hold_on_the_real_split(shared_flintstones):
    counted = RELEASE.census(RELEASE.open(shared_flintstones))
    assert (counted["clips"], counted["episodes"], counted["captioned"]) == (25_168, 164, 2_309)
    expected = {"train": (20_656, 131, 20_263, 20_132), "val": (2_135, 16, 2_087, 2_071)}
    expected["test"] = (2_377, 17, 2_326, 2_309)
    for subset, (clips, episodes, four, five) in expected.items():
        found = counted["subsets"][subset]
        assert (found["clips"], found["episodes"]) == (clips, episodes)
        assert found["overlapping"] == {"4": four, "5": five}
    test = counted["subsets"]["test"]
    assert test["complete"] == {"4": 2_258, "5": 2_241}
    assert test["unfiltered"] == {"4": 2_329, "5": 2_313}
    lengths = ("4", "5", "8", "10", "16", "20", "40", "50")
    assert test["storygptv_cut"] == dict(zip(lengths, (579, 464, 281, 223, 132, 103, 43, 33), strict=True))
    assert test["aligned"] == dict(zip(lengths, (588, 467, 291, 229, 142, 109, 50, 37), strict=True))


def test_real_stories_never_cross_episodes_or_subsets(shared_flintstones):
    source = RELEASE.open(shared_flintstones)
    subset_of = {clip_id: subset for subset, ids in source.subsets().items() for clip_id in ids}
    for subset in ("train", "val", "test"):
        for window in RELEASE.windows(source, subset, 5):
            assert {subset_of[clip_id] for clip_id in window} == {subset}
            assert len({clip_id[:9] for clip_id in window}) == 1


def test_real_captions_make_whole_stories(shared_flintstones):
    rows = json.loads((shared_flintstones / "test_captions.json").read_text(encoding="utf-8"))
    caption = {row["image"].removesuffix(".png"): row["text"] for row in rows}
    stories = flintstones("test", root=shared_flintstones)
    assert len(stories) == 2_241
    assert {s[0] for s in RELEASE.windows(stories.source, "test", 5)} == set(caption)
    story = stories[100]
    assert [f.captions["original"].text for f in story.frames] == [caption[f.id] for f in story.frames]
    assert story.frames[0].load is None
    assert complete(stories.source, stories.windows) == list(stories.windows)
