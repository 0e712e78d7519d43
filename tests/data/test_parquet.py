"""The canonical Parquet form: what is built comes back, and damage is said in one sentence."""

import json
import shutil

import numpy as np
import pytest

from storybench.data.flintstones import flintstones
from storybench.data.parquet import FRAMES, MANIFEST, STORIES, ParquetSource, is_parquet, load_table, read_manifest
from storybench.data.parquet_build import build_clips, build_toonsv, picture_row
from storybench.data.toonsv.dataset import ToonSV, content_hash
from storybench.errors import ConfigError, DataError
from storybench.records.fingerprint import data_hash
from storybench.story import FramePixels


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Keep the library's Arrow copies out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def release(write_flintstones, tmp_path_factory):
    root = tmp_path_factory.mktemp("release") / "storygptv"
    write_flintstones.write_storygptv(root, write_flintstones.clips())
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def built(release, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "form"
    build_clips(flintstones("all", root=release), out, {"frames": 5}, "all")
    return out


@pytest.fixture
def copy(built, tmp_path):
    """A built folder that a test may damage."""
    return shutil.copytree(built, tmp_path / "copy")


@pytest.mark.parametrize("subset", ["train", "val", "test", "all"])
@pytest.mark.parametrize("frames", [4, 5])
def test_stories_come_back_equal(release, built, subset, frames):
    first = flintstones(subset, root=release, frames=frames)
    second = flintstones(subset, root=built, frames=frames)
    assert second.source.layout == "parquet"
    assert list(second.windows) == list(first.windows)
    assert data_hash(second, "referential") == data_hash(first, "referential")
    assert data_hash(second, "original") == data_hash(first, "original")
    assert [s.cluster for s in second] == [s.cluster for s in first]


def test_clips_and_all_their_pictures_come_back_equal(release, built):
    first, second = flintstones("all", root=release).source, ParquetSource(built, "flintstones")
    assert {e: list(c) for e, c in second.episodes().items()} == {e: list(c) for e, c in first.episodes().items()}
    assert {s: sorted(c) for s, c in second.subsets().items()} == {s: sorted(c) for s, c in first.subsets().items()}
    with_map = 0
    for clips in first.episodes().values():
        for clip_id in clips:
            assert second.clip(clip_id) == first.clip(clip_id)
            assert second.frame_count(clip_id) == first.frame_count(clip_id)
        for k in range(first.frame_count(clips[0])):
            before, after = first.pixels(clips[0], k), second.pixels(clips[0], k)
            assert np.array_equal(np.asarray(after.image), np.asarray(before.image))
            assert (after.boxes, after.labels) == (before.boxes, before.labels)
            assert (after.instances is None) == (before.instances is None)
            if before.instances is not None:
                with_map += 1
                assert np.array_equal(after.instances, before.instances)
    assert with_map


def test_one_picture_is_the_one_that_evaluation_sees(release, tmp_path):
    stories = flintstones("test", root=release, frame=1)
    build_clips(stories, tmp_path / "one", {})
    back = flintstones("test", root=tmp_path / "one")
    assert back.source.frame_count(back.windows[0][0]) == 1
    for k in range(2):
        before, after = stories[0].frames[k].pixels(), back[0].frames[k].pixels()
        assert np.array_equal(np.asarray(after.image), np.asarray(before.image))
    assert set(back.source.subsets()) == {"test"}
    assert set(back.source.episodes()) == {window[0][:9] for window in stories.windows}


def test_without_pictures_texts_are_all_there(release, tmp_path):
    manifest = build_clips(flintstones("all", root=release), tmp_path / "texts", {}, "none")
    assert manifest["has_pictures"] is False
    back = flintstones("val", root=tmp_path / "texts")
    assert back[0].frames[0].load is None
    assert data_hash(back, "referential") == data_hash(flintstones("val", root=release), "referential")


@pytest.mark.parametrize("highest", [3, 300])
def test_instance_numbers_survive_as_eight_or_sixteen_bits(highest):
    import io

    from PIL import Image

    instances = np.zeros((8, 8), np.int64)
    instances[2:4, 3] = highest
    row = picture_row(FramePixels(Image.new("RGB", (8, 8)), instances, ()))
    assert np.array_equal(np.array(Image.open(io.BytesIO(row["instances"]["bytes"]))), instances)


@pytest.mark.parametrize("wrong", [-1, 70_000])
def test_instance_numbers_that_no_png_holds_are_refused(wrong):
    from PIL import Image

    with pytest.raises(DataError, match="0 to 65535"):
        picture_row(FramePixels(Image.new("RGB", (1, 1)), np.array([[wrong]]), ()))


def test_the_library_alone_can_read_it(release, built):
    table = load_table(built, STORIES)
    stories = {story.id: story for story in flintstones("all", root=release)}
    assert table["id"][:] == list(stories)
    row = table[0]
    story = stories[row["id"]]
    assert row["subset"] == "train"
    assert row["frame_ids"] == [frame.id for frame in story.frames]
    assert row["captions"]["referential"] == [f.captions["referential"].text for f in story.frames]
    told = [[m["surface"] for m in frame] for frame in row["mentions"]["referential"]]
    assert told == [[m.surface for m in f.captions["referential"].mentions] for f in story.frames]
    picture = load_table(built, FRAMES)[0]["pictures"][2]["image"]
    assert np.array_equal(np.asarray(picture), np.asarray(story.frames[0].image))


def test_same_stories_same_files(release, built, tmp_path):
    again = build_clips(flintstones("all", root=release), tmp_path / "again", {"frames": 5}, "all")
    assert again["files"] == read_manifest(built)["files"]
    assert again["content_sha256"] == read_manifest(built)["content_sha256"]


def test_a_folder_built_anew_is_not_read_from_an_old_cache(write_flintstones, tmp_path):
    clips = write_flintstones.clips()
    for caption in ("Fred waves.", "Wilma waves."):
        root, out = tmp_path / caption[:4], tmp_path / "form"
        write_flintstones.write_captions(root, clips)
        path = root / "test_captions.json"
        rows = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps([{**row, "text": caption} for row in rows]), "utf-8")
        shutil.rmtree(out, ignore_errors=True)
        build_clips(flintstones("test", root=root, frames=2), out, {})
        back = flintstones("test", root=out, frames=2)
        assert {f.captions["original"].text for story in back for f in story.frames} == {caption}


def test_toonsv_comes_back_equal(tmp_path):
    manifest = build_toonsv("mini", 5, 4, 0, tmp_path / "toon")
    stories = list(ToonSV("mini", size=4))
    assert manifest["content_sha256"] == content_hash(stories)
    table = load_table(tmp_path / "toon", STORIES)
    assert table["id"][:] == [s.id for s in stories]
    for row, story in zip(table, stories, strict=True):
        assert row["captions"]["explicit"] == [f.captions["explicit"].text for f in story.frames]
        assert row["settings"] == [f.setting for f in story.frames]
        for picture, frame in zip(row["images"], story.frames, strict=True):
            assert np.array_equal(np.asarray(picture), np.asarray(frame.image))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}, indent=2))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: flip(root / FRAMES / "00000.parquet"), "frames/00000.parquet"),
        (lambda root: flip(root / STORIES / "00000.parquet"), "SHA-256 differs"),
        (lambda root: (root / STORIES / "00000.parquet").unlink(), "lacks the file 'stories/00000.parquet'"),
        (lambda root: edit(root / MANIFEST, version=99), "install a newer storybench"),
        (lambda root: edit(root / MANIFEST, files=3), "manifest.json' is damaged"),
        (lambda root: edit(root / MANIFEST, files={"../../x": {"sha256": "0"}}), "lacks the file '../../x'"),
        (lambda root: edit(root / MANIFEST, files={}), "holds no table 'frames'"),
        (lambda root: (root / MANIFEST).write_bytes((root / MANIFEST).read_bytes()[:90]), MANIFEST),
    ],
)
def test_damage_is_said_in_one_sentence(copy, damage, said):
    damage(copy)
    assert is_parquet(copy)
    with pytest.raises(DataError) as error:
        flintstones("test", root=copy)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_damage_that_no_hash_is_asked_about_is_still_no_traceback(copy):
    path = copy / FRAMES / "00000.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read"):
        ParquetSource(copy, check=False)


def test_another_data_set_and_an_unknown_clip_are_named(built):
    with pytest.raises(DataError, match="built of dataset flintstones, expected pororo"):
        ParquetSource(built, "pororo")
    with pytest.raises(DataError, match="no clip 's_09'"):
        ParquetSource(built).clip("s_09")


def test_a_folder_in_the_way_is_kept(release, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(DataError, match="already there"):
        build_clips(flintstones("test", root=release), tmp_path / "mine", {})
    assert (tmp_path / "mine" / "file").read_text() == "x"


def test_a_failed_build_leaves_nothing(write_flintstones, tmp_path):
    root = tmp_path / "release"
    write_flintstones.write_storydalle(root, write_flintstones.clips())
    pictures = sorted((root / "video_frames_sampled").iterdir())
    pictures[-1].write_bytes(pictures[-1].read_bytes()[:200])
    with pytest.raises(DataError):
        build_clips(flintstones("all", root=root), tmp_path / "out" / "form", {})
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_build_left_is_removed(release, tmp_path):
    left = tmp_path / ".form.building" / FRAMES
    left.mkdir(parents=True)
    (left / "00000.parquet").write_bytes(b"half")
    build_clips(flintstones("test", root=release), tmp_path / "form", {}, "none")
    assert [p.name for p in tmp_path.iterdir()] == ["form"]
    assert len(flintstones("test", root=tmp_path / "form"))


def test_large_tables_are_cut_into_groups_and_files(release, tmp_path, monkeypatch):
    monkeypatch.setattr("storybench.data.parquet_build.GROUP_BYTES", 5_000)
    monkeypatch.setattr("storybench.data.parquet_build.FILE_BYTES", 20_000)
    manifest = build_clips(flintstones("all", root=release), tmp_path / "form", {}, "all")
    files = [name for name in manifest["files"] if name.startswith(FRAMES)]
    assert len(files) > 1
    assert sum(manifest["files"][name]["rows"] for name in files) == manifest["clips"]
    assert data_hash(flintstones("all", root=tmp_path / "form"), "referential") == data_hash(
        flintstones("all", root=release), "referential"
    )


def test_unknown_choice_of_pictures_is_named(release, tmp_path):
    with pytest.raises(ConfigError, match="Unknown choice of pictures 'some'"):
        build_clips(flintstones("test", root=release), tmp_path / "x", {}, "some")


def test_a_folder_of_another_program_is_not_taken(tmp_path):
    assert not is_parquet(tmp_path)
    (tmp_path / MANIFEST).write_text('{"form": "other"}')
    assert not is_parquet(tmp_path)
