"""verify on FlintstonesSV and ARLDM's HDF5: a whole release has no defect, and each broken one has its own named."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storybench.data.facts import read_facts
from storybench.data.verify import Report, verify
from storybench.data.verifying.flintstones_split import neighbours, read_split
from storybench.errors import ConfigError, DataError

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
PAPER = ("s_03_e_25_shot_021230_021304", "s_04_e_22_shot_005401_005475")
CLASSES = ("wilma", "fred", "betty", "barney", "dino", "pebbles", "mr slate")
PICTURES = {"storydalle": ("video_frames_sampled", (5, 128, 128, 3)), "ai2": ("video_frames", (75, 128, 128, 3))}
PICTURES["storygptv"] = ("video_frames_sampled_4x", (2, 512, 512, 3))


def clips_of(episode: str, count: int = 7) -> list[str]:
    return [f"{episode}_shot_{100 * k:06d}_{100 * k + 74:06d}" for k in range(count)]


def split_of() -> dict[str, list[str]]:
    return {
        "train": clips_of("s_01_e_01") + clips_of("s_01_e_02"),
        "val": [*clips_of("s_03_e_25"), PAPER[0], *clips_of("s_04_e_22"), PAPER[1]],
        "test": clips_of("s_01_e_26") + clips_of("s_06_e_25"),
    }


def annotation_of(clip: str, k: int) -> dict[str, Any]:
    names = (CLASSES[k % 7], "policeman")
    people = [{"globalID": f"{clip}_char_{i}", "entityLabel": name} for i, name in enumerate(names)]
    return {"globalID": clip, "description": f"Clip {k} is here.\n", "setting": f"room {k % 3}", "characters": people}


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def write_pickle(path: Path, content: Any) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def sparse_npy(path: Path, shape: tuple[int, ...]) -> None:
    """Write an array of zeros without spending its bytes on disk."""
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + int(np.prod(shape)))


def write_release(root: Path, layout: str) -> Path:
    split = split_of()
    name = "split.json" if layout == "storygptv" else "train-val-test_split.json"
    write_json(root / name, split)
    ids = [clip for clips in split.values() for clip in clips]
    write_json(root / "flintstones_annotations_v1-0.json", [annotation_of(clip, k) for k, clip in enumerate(ids)])
    following = 3 if layout == "storygptv" else 4
    write_pickle(root / f"following_cache{following}.pkl", neighbours(read_split(root / name), following))
    write_pickle(root / "labels.pkl", {c: [int(k % 7 == j) for j in range(7)] for k, c in enumerate(ids)})
    folder, shape = PICTURES[layout]
    for clip in ids:
        sparse_npy(root / folder / f"{clip}.npy", shape)
    if layout == "storygptv":
        cleaned = {c: {"caption": "A clip", "tokens": ["A", "clip"], "segments": []} for c in ids}
        write_json(root / "cleaned_annotations.json", cleaned)
        write_pickle(root / "labels_bg.pkl", {"label": {c: [1] + [0] * 322 for c in ids}})
        for clip in ids:
            for k in range(shape[0]):
                sparse_npy(root / "seg_mask_4x_comb" / f"{clip}-frame{k}.npy", (512, 512))
    if layout == "ai2":
        for clip in ids:
            for k in range(2):
                (root / "entity_segmentation").mkdir(exist_ok=True)
                (root / "entity_segmentation" / f"{clip}_char_{k}_segm.npy.npz").touch()
    return root


def names(report: Report, known: bool = False) -> set[str]:
    return {defect.name for defect in report.defects if defect.known == known}


def defect(report: Report, name: str) -> str:
    return " ".join(d.text for d in report.defects if d.name == name)


@pytest.mark.parametrize("layout", sorted(PICTURES))
def test_a_whole_release_has_only_the_known_defects(tmp_path: Path, layout: str) -> None:
    report = verify("flintstones", write_release(tmp_path, layout))
    assert (report.layout, report.root) == (layout, tmp_path.name)
    assert names(report) == set()
    assert names(report, known=True) == {"short_tail", "short_following"}
    assert report.unusable == ()
    assert report.status == 1, "a small release does not have the published counts"
    assert all(f.present for f in report.files if f.need == "required")
    tail = clips_of("s_06_e_25")[-4:]
    assert all(clip in defect(report, "short_tail") for clip in tail)
    assert any(PAPER[0] in note for note in report.notes)
    lines = "\n".join(report.lines())
    clips = sum(map(len, split_of().values()))
    assert f"OTHER     clips: found {clips}, expected 25,168" in lines
    assert str(tmp_path) not in lines
    assert json.loads(json.dumps(report.to_json()))["status"] == 1


def edit_json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda root: write_json(root / name, change(json.loads((root / name).read_text("utf-8"))))


def edit_pickle(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda root: write_pickle(root / name, change(pickle.loads((root / name).read_bytes())))


SPLIT, ANNOTATION = "train-val-test_split.json", "flintstones_annotations_v1-0.json"
FIRST = clips_of("s_01_e_01")[0]
BROKEN: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "clip_ids": (
        "storydalle",
        edit_json(SPLIT, lambda s: {**s, "train": [*s["train"], "s_1_e_1_shot_1_2"]}),
        "s_1_e_1",
    ),
    "clip_spans": (
        "storydalle",
        edit_json(SPLIT, lambda s: {**s, "train": [*s["train"], "s_01_e_02_shot_009000_009073"]}),
        "s_01_e_02_shot_009000_009073",
    ),
    "repeated_clips": ("storydalle", edit_json(SPLIT, lambda s: {**s, "train": [*s["train"], FIRST]}), FIRST),
    "shared_episodes": (
        "storydalle",
        edit_json(SPLIT, lambda s: {**s, "train": s["train"][1:], "test": [*s["test"], FIRST]}),
        "s_01_e_01",
    ),
    "other_split": (
        "storydalle",
        edit_json(SPLIT, lambda s: {**s, "val": [], "train": s["train"] + s["val"]}),
        "s_03_e_25",
    ),
    "paper_clips": (
        "storygptv",
        edit_json("split.json", lambda s: {**s, "val": s["test"], "test": s["val"]}),
        PAPER[0],
    ),
    "annotation_missing": ("storydalle", edit_json(ANNOTATION, lambda rows: rows[1:]), FIRST),
    "annotation_unknown": (
        "storydalle",
        edit_json(ANNOTATION, lambda rows: [*rows, annotation_of("s_01_e_09_shot_000000_000074", 3)]),
        "s_01_e_09_shot_000000_000074",
    ),
    "repeated_annotation": ("storydalle", edit_json(ANNOTATION, lambda rows: [*rows, rows[0]]), "1 clips"),
    "empty_captions": (
        "storydalle",
        edit_json(ANNOTATION, lambda rows: [{**rows[0], "description": " "}, *rows[1:]]),
        FIRST,
    ),
    "joiners": (
        "storydalle",
        edit_json(ANNOTATION, lambda rows: [{**rows[0], "description": "One|two"}, *rows[1:]]),
        FIRST,
    ),
    "labels": ("storydalle", edit_pickle("labels.pkl", lambda x: {**x, FIRST: [0] * 7}), FIRST),
    "label_width": ("storydalle", edit_pickle("labels.pkl", lambda x: {**x, FIRST: [0] * 9}), FIRST),
    "labels_missing": (
        "storydalle",
        edit_pickle("labels.pkl", lambda x: {k: v for k, v in x.items() if k != FIRST}),
        FIRST,
    ),
    "following": ("storydalle", edit_pickle("following_cache4.pkl", lambda x: {**x, FIRST: x[FIRST][::-1]}), FIRST),
    "missing_pictures": (
        "storydalle",
        lambda root: (root / "video_frames_sampled" / f"{FIRST}.npy").unlink(),
        FIRST,
    ),
    "other_pictures": (
        "storydalle",
        lambda root: sparse_npy(root / "video_frames_sampled" / f"{FIRST}.npy", (5, 64, 64, 3)),
        "uint8 5x64x64x3",
    ),
    "damaged_pictures": (
        "storydalle",
        lambda root: os.truncate(root / "video_frames_sampled" / f"{FIRST}.npy", 1000),
        FIRST,
    ),
    "missing_masks": (
        "storygptv",
        lambda root: (root / "seg_mask_4x_comb" / f"{FIRST}-frame1.npy").unlink(),
        f"{FIRST}-frame1.npy",
    ),
    "other_masks": (
        "storygptv",
        lambda root: sparse_npy(root / "seg_mask_4x_comb" / f"{FIRST}-frame1.npy", (128, 128)),
        f"{FIRST}-frame1.npy",
    ),
    "cleaned_keys": (
        "storygptv",
        edit_json("cleaned_annotations.json", lambda x: {**x, FIRST: {"caption": "A clip"}}),
        FIRST,
    ),
    "setting_label_width": (
        "storygptv",
        edit_pickle("labels_bg.pkl", lambda x: {"label": {**x["label"], FIRST: [1, 0]}}),
        FIRST,
    ),
    "missing_entity_segmentation": (
        "ai2",
        lambda root: (root / "entity_segmentation" / f"{FIRST}_char_1_segm.npy.npz").unlink(),
        f"{FIRST}_char_1",
    ),
    "unreadable": ("storydalle", lambda root: os.truncate(root / "labels.pkl", 40), "labels.pkl"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_each_defect_is_named(tmp_path: Path, name: str) -> None:
    layout, damage, told = BROKEN[name]
    write_release(tmp_path, layout)
    damage(tmp_path)
    report = verify("flintstones", tmp_path)
    assert name in names(report)
    assert told in defect(report, name)
    assert report.status == 1
    assert all(d.text.endswith(".") and "\n" not in d.text for d in report.defects)


def test_a_label_file_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    write_release(tmp_path, "storydalle")
    write_pickle(tmp_path / "labels.pkl", Evil())
    report = verify("flintstones", tmp_path)
    assert not (tmp_path / "ran").exists()
    assert "labels.pkl" in defect(report, "unreadable")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "cut short"),
        (b'{"train": []}', "'val'"),
        (b'{"train": [1], "val": [], "test": []}', "lists of clip ids"),
        (b"[]", "train, val and test"),
        (b'{"train": ["\xff"]}', "UTF-8"),
    ],
)
def test_a_damaged_required_file_makes_a_release_unusable(tmp_path: Path, content: bytes, told: str) -> None:
    write_release(tmp_path, "storydalle")
    (tmp_path / SPLIT).write_bytes(content)
    report = verify("flintstones", tmp_path)
    assert report.status == 2
    assert any(told in sentence and SPLIT in sentence for sentence in report.unusable)
    assert not any(str(tmp_path) in line for line in report.lines())


@pytest.mark.parametrize("change", [lambda r: 7, lambda r: {}, lambda r: {**r, "characters": 3}, lambda r: "text"])
def test_an_annotation_of_another_form_makes_a_release_unusable(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    write_release(tmp_path, "storydalle")
    edit_json(ANNOTATION, lambda rows: [change(rows[0]), *rows[1:]])(tmp_path)
    report = verify("flintstones", tmp_path)
    assert report.status == 2
    assert "not of the published form" in report.unusable[0]


OTHER_CONTENTS: tuple[Any, ...] = (
    7,
    None,
    "text",
    [],
    [1],
    [[1]],
    {},
    {"a": 1},
    {FIRST: None},
    {"label": 3},
    {FIRST: ["x"]},
)


@pytest.mark.parametrize("layout", ["storydalle", "storygptv"])
def test_no_content_of_a_file_crashes_it(tmp_path: Path, layout: str) -> None:
    write_release(tmp_path, layout)
    whole = verify("flintstones", tmp_path)
    for path in sorted((*tmp_path.glob("*.json"), *tmp_path.glob("*.pkl"))):
        good = path.read_bytes()
        write = write_json if path.suffix == ".json" else write_pickle
        for content in OTHER_CONTENTS:
            write(path, content)
            report = verify("flintstones", tmp_path, layout)
            assert report.status >= 1
            assert report.defects != whole.defects or report.unusable
        for share in (0, 0.3, 0.9):
            path.write_bytes(good[: int(len(good) * share)])
            assert verify("flintstones", tmp_path, layout).status >= 1
        path.write_bytes(good)
    assert verify("flintstones", tmp_path) == whole


def test_missing_files_say_where_they_are_published(tmp_path: Path) -> None:
    write_release(tmp_path, "storydalle")
    (tmp_path / SPLIT).unlink()
    report = verify("flintstones", tmp_path)
    assert report.status == 2
    assert any(SPLIT in sentence for sentence in report.unusable)
    line = next(line for line in report.lines() if line.startswith("  MISSING") and SPLIT in line)
    assert "1kG4esNwabJQPWqadSDaugrlF4dRaV33_" in line


def test_missing_pictures_are_a_defect_of_a_usable_release(tmp_path: Path) -> None:
    write_json(tmp_path / SPLIT, split_of())
    write_json(tmp_path / ANNOTATION, [annotation_of(c, 0) for clips in split_of().values() for c in clips])
    forced = verify("flintstones", tmp_path, "storydalle")
    assert forced.status == 1
    assert "stories have no pictures" in "\n".join(forced.lines())
    assert verify("flintstones", tmp_path).layout == "captions"


def test_an_empty_folder_lists_the_files_of_all_layouts(tmp_path: Path) -> None:
    report = verify("flintstones", tmp_path)
    assert (report.status, report.layout) == (2, "")
    paths = {f.path for f in report.files}
    assert {"split.json", "video_frames/*.npy", "*.h5 or *.hdf5"} <= paths
    assert all(f.published for f in report.files)


def test_wrong_names_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown published data set 'flinstones'.*flintstones"):
        verify("flinstones", tmp_path)
    with pytest.raises(ConfigError, match=r"Unknown layout 'storydall'.*storydalle"):
        verify("flintstones", tmp_path, "storydall")
    with pytest.raises(DataError, match=r"No folder at .*dataset\.root=DIR"):
        verify("flintstones", tmp_path / "absent")


def test_two_layouts_in_one_folder_are_said(tmp_path: Path) -> None:
    write_release(tmp_path, "storydalle")
    write_release(tmp_path, "storygptv")
    report = verify("flintstones", tmp_path)
    assert report.layout == "storygptv"
    assert any("storydalle" in note for note in report.notes)


def test_captions_alone(tmp_path: Path) -> None:
    write_json(tmp_path / SPLIT, split_of())
    starts = clips_of("s_01_e_26")[:3] + clips_of("s_06_e_25")[:3]
    rows = [{"id": k, "image": f"{clip}.png", "text": f"Clip {k}."} for k, clip in enumerate(starts, 1)]
    write_json(tmp_path / "test_captions.json", rows)
    report = verify("flintstones", tmp_path)
    assert (report.layout, names(report)) == ("captions", set())
    assert next(c.found for c in report.counts if c.name == "captions") == 6
    assert next(c.found for c in report.counts if c.name == "test 5-frame stories with all captions") == 0
    write_json(tmp_path / "test_captions.json", [*rows[1:], {"id": 9, "image": f"{FIRST}.png", "text": " "}])
    report = verify("flintstones", tmp_path)
    assert {"captions_missing", "captions_unknown", "empty_captions"} <= names(report)
    assert starts[0] in defect(report, "captions_missing")


def test_every_file_of_the_facts_is_explained() -> None:
    for dataset in read_facts("releases").values():
        for layout in dataset["layouts"].values():
            assert layout["published"]
            assert any(f["need"] == "required" for f in layout["files"])
            for file in layout["files"]:
                assert file["what"]
                assert file["need"] in ("required", "expected", "optional")
                assert bool(file.get("without")) == (file["need"] == "expected")


def test_a_build_is_checked_by_its_hashes(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    table = tmp_path / "frames" / "0.parquet"
    table.write_bytes(b"a table")
    files = {"frames/0.parquet": {"sha256": hashlib.sha256(b"a table").hexdigest()}}
    manifest = {"form": "storybench", "version": 1, "dataset": "flintstones", "files": files}
    write_json(tmp_path / "manifest.json", manifest)
    report = verify("flintstones", tmp_path)
    assert (report.layout, report.status) == ("parquet", 0)
    assert "built from data set flintstones" in verify("pororo", tmp_path).unusable[0]
    table.write_bytes(b"another")
    report = verify("flintstones", tmp_path)
    assert report.status == 2
    assert "frames/0.parquet" in report.unusable[0]
    assert str(tmp_path) not in report.unusable[0]


def write_hdf5(path: Path, rows: dict[str, int], height: int = 640, joiner: str = "|") -> None:
    h5py = pytest.importorskip("h5py")
    buffer = io.BytesIO()
    Image.new("RGB", (128, height)).save(buffer, "PNG")
    png = np.frombuffer(buffer.getvalue(), np.uint8)
    with h5py.File(path, "w") as file:
        for name, count in rows.items():
            group = file.create_group(name)
            for k in range(5):
                images = group.create_dataset(f"image{k}", (count,), dtype=h5py.vlen_dtype(np.dtype("uint8")))
                for row in range(count):
                    images[row] = png
            text = group.create_dataset("text", (count,), dtype=h5py.string_dtype(encoding="utf-8"))
            for row in range(count):
                text[row] = joiner.join(f"Caption {k}." for k in range(5))


def test_hdf5_whole_and_broken(tmp_path: Path) -> None:
    write_json(tmp_path / SPLIT, split_of())
    stories = {subset: len(read_split(tmp_path / SPLIT).stories(5, subset)) for subset in split_of()}
    file = tmp_path / "flintstones.h5"
    write_hdf5(file, stories)
    report = verify("flintstones", tmp_path)
    assert (report.layout, names(report), report.unusable) == ("hdf5", set(), ())
    assert any("red and blue" in note for note in report.notes)
    write_hdf5(file, {**stories, "val": 1}, height=600, joiner=";")
    report = verify("flintstones", tmp_path)
    assert names(report) == {"hdf5_ids", "hdf5_text", "hdf5_strips"}
    assert "'val' has 1 rows" in defect(report, "hdf5_ids")
    assert "600x128" in defect(report, "hdf5_strips")
    write_hdf5(file, {"train": 1, "val": 1})
    report = verify("flintstones", tmp_path)
    assert report.status == 2
    assert "no group 'test'" in report.unusable[0]
    os.truncate(file, 900)
    report = verify("flintstones", tmp_path)
    assert report.status == 2
    assert "flintstones.h5" in report.unusable[0]
    assert "no HDF5 file" in report.unusable[0]


def test_the_real_split_and_captions() -> None:
    root = REAL / "flintstones"
    if not root.is_dir():
        pytest.skip("the real files are not here")
    report = verify("flintstones", root)
    assert (report.status, report.layout) == (0, "captions"), report.lines()
    found = {count.name: count.found for count in report.counts}
    assert [found[f"{s} 5-frame stories"] for s in ("train", "val", "test")] == [20132, 2071, 2309]
    assert [found[f"{s} 4-frame stories"] for s in ("train", "val", "test")] == [20263, 2087, 2326]
    assert found["test 5-frame stories without a filter on length"] == 2313
    assert found["test 4-frame stories without a filter on length"] == 2329
    assert found["test 5-frame stories with all captions"] == 2241
    assert found["test 4-frame stories with all captions"] == 2258
    assert "s_06_e_25" in defect(report, "short_tail")
