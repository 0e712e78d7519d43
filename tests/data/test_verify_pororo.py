"""verify on PororoSV: a whole release has only the known defects, and each broken one has its own named."""

from __future__ import annotations

import csv
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

from storybench.data.verify import Report, verify

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
LENGTHS = {
    "Pororo_ENGLISH1_1_ep1": 12,
    "Pororo_ENGLISH1_1_ep10": 6,
    "Pororo_ENGLISH1_1_ep2": 11,
    "Pororo_Rescue_ep1": 7,
    "Pororo_The_Racing_Adventure_ep2": 8,
    "Pororo_The_Racing_Adventure_ep8": 7,
}
# by hand: ImageFolder's order of the strings, frames 1..n-4
STARTS = [
    *(f"Pororo_ENGLISH1_1_ep1/{k}" for k in range(1, 9)),
    *(f"Pororo_ENGLISH1_1_ep10/{k}" for k in (1, 2)),
    *(f"Pororo_ENGLISH1_1_ep2/{k}" for k in range(1, 8)),
    *(f"Pororo_Rescue_ep1/{k}" for k in range(1, 4)),
    *(f"Pororo_The_Racing_Adventure_ep2/{k}" for k in range(1, 5)),
    *(f"Pororo_The_Racing_Adventure_ep8/{k}" for k in range(1, 4)),
]
SUBSETS = {
    "train": [0, 1, 2, 4, 5, 6, 7, 8, 9, 24, 25, 26, 20],
    "val": [3],
    "test": [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
}


def frames() -> list[str]:
    return [f"{episode}/{k}" for episode, count in LENGTHS.items() for k in range(1, count + 1)]


def published(frame: str, ending: str = "") -> str:
    """Return a frame as the arrays of the release name it."""
    return f"{frame.partition('_ep')[0]}/{frame}{ending}"


def write_csv(root: Path, rows: list[tuple[str, str, str]]) -> None:
    with (root / "descriptions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def csv_rows() -> list[tuple[str, str, str]]:
    return [(*frame.split("/"), f"Caption of {frame}.") for frame in frames()]


def write_object(root: Path, name: str, content: Any) -> None:
    np.save(root / name, np.array(content, dtype=object), allow_pickle=True)


def write_ids(root: Path, subsets: dict[str, list[int]]) -> None:
    rows = np.empty(3, dtype=object)
    for k, name in enumerate(("train", "val", "test")):
        rows[k] = np.array(subsets[name])
    np.save(root / "train_seen_unseen_ids.npy", rows, allow_pickle=True)


def write_lists(root: Path, starts: list[str]) -> None:
    np.save(root / "img_cache4.npy", np.array([published(s, ".png").encode() for s in starts]))
    rows = []
    for start in starts:
        episode, _, first = start.rpartition("/")
        rows.append([published(f"{episode}/{int(first) + k}", ".png").encode() for k in range(1, 5)])
    np.save(root / "following_cache4.npy", np.array(rows))


def write_strips(root: Path) -> Path:
    write_csv(root, csv_rows())
    write_object(root, "descriptions.npy", {published(f): [f"Caption of {f}."] for f in frames()})
    write_object(root, "labels.npy", {published(f): [1] + [0] * 8 for f in frames()})
    write_object(root, "frames_counter.npy", {f"/{published(e)}/": n for e, n in LENGTHS.items()})
    write_lists(root, STARTS)
    write_ids(root, SUBSETS)
    for k, frame in enumerate(frames()):
        path = root / published(frame, ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 128 * (k % 3 + 1))).save(path)
    return root


def names(report: Report, known: bool = False) -> set[str]:
    return {defect.name for defect in report.defects if defect.known == known}


def defect(report: Report, name: str) -> str:
    return " ".join(d.text for d in report.defects if d.name == name)


def counted(report: Report) -> dict[str, int]:
    return {count.name: count.found for count in report.counts}


@pytest.mark.parametrize("folder", ["", "pororo_png"])
def test_a_whole_folder_of_strips_has_only_the_known_defects(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    root.mkdir(exist_ok=True)
    write_strips(root)
    report = verify("pororo", tmp_path)
    assert (report.layout, names(report), report.unusable) == ("strips", set(), ())
    assert names(report, known=True) == {"missing_racing_adventure", "val_not_held_out"}
    assert "Pororo_The_Racing_Adventure_ep2 (3 of 4)" in defect(report, "missing_racing_adventure")
    assert "5 of the 5 frames" in defect(report, "val_not_held_out")
    counts = counted(report)
    assert (counts["frames"], counts["series"], counts["5-frame stories"]) == (51, 3, len(STARTS))
    assert counts["4-frame stories"] == len(STARTS) + len(LENGTHS)
    assert counts["stories in no subset"] == 3
    assert counts["strips of the frames"] == 51
    assert all(f.present for f in report.files)
    assert report.status == 1


def with_ids(**changed: list[int]) -> Callable[[Path], None]:
    return lambda root: write_ids(root, {**SUBSETS, **changed})


FRAME = "Pororo_Rescue_ep1/3"
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "gaps": (lambda root: write_csv(root, [r for r in csv_rows() if r[:2] != ("Pororo_Rescue_ep1", "3")]), "(no 3)"),
    "npy_only": (lambda root: write_csv(root, [r for r in csv_rows() if r[:2] != ("Pororo_Rescue_ep1", "3")]), FRAME),
    "csv_only": (
        lambda root: write_object(root, "descriptions.npy", {published(f): ["A."] for f in frames() if f != FRAME}),
        FRAME,
    ),
    "captions_differ": (
        lambda root: write_object(root, "descriptions.npy", {published(f): [f"Caption of {f}!"] for f in frames()}),
        "51 frames",
    ),
    "empty_captions": (lambda root: write_csv(root, [*csv_rows()[:-1], (*csv_rows()[-1][:2], " ")]), frames()[-1]),
    "img_cache_missing": (lambda root: write_lists(root, STARTS[1:]), STARTS[0]),
    "img_cache_unknown": (lambda root: write_lists(root, [*STARTS, "Pororo_Rescue_ep1/4"]), "Pororo_Rescue_ep1/4"),
    "img_cache_order": (lambda root: write_lists(root, [STARTS[1], STARTS[0], *STARTS[2:]]), f"entry 0 is {STARTS[1]}"),
    "following": (
        lambda root: np.save(root / "following_cache4.npy", np.load(root / "following_cache4.npy")[::-1]),
        STARTS[0],
    ),
    "ids_out_of_range": (with_ids(test=[*SUBSETS["test"], 27, -1]), "test 27, test -1"),
    "ids_repeated": (with_ids(val=[3, 0]), "0."),
    "test_not_held_out": (
        with_ids(train=SUBSETS["train"][:-1], test=[*SUBSETS["test"], 20, 21, 26], val=[3, 24]),
        "ep8",
    ),
    "missing_stories": (with_ids(train=SUBSETS["train"][1:]), "Pororo_ENGLISH1_1_ep1 (1 of 8)"),
    "labels_missing": (
        lambda root: write_object(root, "labels.npy", {published(f): [0] * 9 for f in frames() if f != FRAME}),
        FRAME,
    ),
    "label_width": (
        lambda root: write_object(root, "labels.npy", {published(f): [0] * 7 for f in frames()}),
        "51 frames",
    ),
    "frames_counter": (
        lambda root: write_object(root, "frames_counter.npy", {f"/{published(e)}/": 9 for e in LENGTHS}),
        "Pororo_ENGLISH1_1_ep1 (9, expected 12)",
    ),
    "missing_strips": (lambda root: (root / published(FRAME, ".png")).unlink(), FRAME),
    "strips_unknown": (
        lambda root: Image.new("RGB", (128, 128)).save(root / "Pororo_Rescue/Pororo_Rescue_ep1/99.png"),
        "Pororo_Rescue_ep1/99",
    ),
    "damaged_strips": (lambda root: (root / published(FRAME, ".png")).write_bytes(b"no picture"), FRAME),
    "uneven_strips": (lambda root: Image.new("RGB", (128, 300)).save(root / published(FRAME, ".png")), "128x300"),
    "unreadable": (lambda root: os.truncate(root / "img_cache4.npy", 200), "img_cache4.npy"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_each_defect_is_named(tmp_path: Path, name: str) -> None:
    damage, told = BROKEN[name]
    write_strips(tmp_path)
    damage(tmp_path)
    report = verify("pororo", tmp_path)
    assert name in names(report)
    assert told in defect(report, name)
    assert report.status == 1
    assert all(d.text.endswith(".") and "\n" not in d.text for d in report.defects)


def test_the_order_of_the_list_is_of_strings(tmp_path: Path) -> None:
    rows = [("Pororo_Rescue_ep1", str(k), f"Caption {k}.") for k in range(1, 17)]
    write_csv(tmp_path, rows)
    order = (1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9)
    write_lists(tmp_path, [f"Pororo_Rescue_ep1/{k}" for k in order])
    assert names(verify("pororo", tmp_path, "strips")) == set()


def test_captions_in_another_encoding_are_unusable(tmp_path: Path) -> None:
    (tmp_path / "descriptions.csv").write_bytes(b"Pororo_Rescue_ep1,1,Caf\xe9.\r\n")
    report = verify("pororo", tmp_path)
    assert (report.status, report.layout) == (2, "captions")
    assert "byte 23" in report.unusable[0]
    assert str(tmp_path) not in report.unusable[0]


@pytest.mark.parametrize("text", ["a,b\r\n", "Rescue,one,text\r\n", "Pororo_Rescue_ep1,x,text\r\n"])
def test_rows_of_another_form_are_unusable(tmp_path: Path, text: str) -> None:
    (tmp_path / "descriptions.csv").write_text(text, encoding="utf-8")
    report = verify("pororo", tmp_path)
    assert report.status == 2
    assert "not of the published form" in report.unusable[0]


OTHER_ARRAYS: tuple[Any, ...] = (
    7,
    None,
    "text",
    [1, 2],
    {},
    {"a": 1},
    {1: [1]},
    {published(FRAME): None},
    {"a/b_ep1/2": ["x"]},
)


def test_no_content_of_a_file_crashes_it(tmp_path: Path) -> None:
    write_strips(tmp_path)
    whole = verify("pororo", tmp_path)
    for path in sorted(tmp_path.glob("*.npy")):
        good = path.read_bytes()
        for content in OTHER_ARRAYS:
            write_object(tmp_path, path.name, content)
            report = verify("pororo", tmp_path)
            assert report.status >= 1
            assert report.defects != whole.defects or report.unusable
        np.save(path, np.zeros((3, 2)))
        assert verify("pororo", tmp_path).defects != whole.defects
        for share in (0, 0.3, 0.9):
            path.write_bytes(good[: int(len(good) * share)])
            assert verify("pororo", tmp_path).defects != whole.defects
        path.write_bytes(good)
    assert verify("pororo", tmp_path) == whole


def test_the_table_of_captions_is_required_and_the_array_beside_it_is_not(tmp_path: Path) -> None:
    write_strips(tmp_path)
    os.truncate(tmp_path / "descriptions.npy", 100)
    report = verify("pororo", tmp_path)
    assert report.status == 1
    assert "descriptions.npy" in defect(report, "unreadable")
    assert counted(report)["frames"] == 51
    (tmp_path / "descriptions.csv").write_bytes(b"\xff")
    assert verify("pororo", tmp_path).status == 2


def test_the_storygptv_folder(tmp_path: Path) -> None:
    cleaned = {published(f): {"captions": [f"Caption of {f}."], "segments": []} for f in frames()}
    (tmp_path / "cleaned_annotations.json").write_text(json.dumps(cleaned), encoding="utf-8")
    split = {subset: [published(STARTS[k]) for k in ids] for subset, ids in SUBSETS.items()}
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps({name: [0] * 9 for name in cleaned}))
    report = verify("pororo", tmp_path)
    assert (report.layout, names(report)) == ("storygptv", set())
    assert counted(report)["test stories"] == len(SUBSETS["test"])
    del cleaned[published(FRAME)]["segments"]
    (tmp_path / "cleaned_annotations.json").write_text(json.dumps(cleaned), encoding="utf-8")
    split["test"].append(split["train"][0])
    split["val"].append("Pororo_Rescue/Pororo_Rescue_ep1/99")
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps({name: [0] * 7 for name in list(cleaned)[1:]}))
    report = verify("pororo", tmp_path)
    assert names(report) == {"cleaned_keys", "ids_repeated", "split_unknown", "labels_missing", "label_width"}


def test_hdf5_rows_are_held_against_the_ids_beside_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    write_lists(tmp_path, STARTS)
    write_ids(tmp_path, SUBSETS)
    buffer = io.BytesIO()
    Image.new("RGB", (128, 384)).save(buffer, "PNG")
    png = np.frombuffer(buffer.getvalue(), np.uint8)
    with h5py.File(tmp_path / "pororo.h5", "w") as file:
        for subset, ids in SUBSETS.items():
            count = len(ids) - (subset == "test")
            for k in range(5):
                images = file.create_dataset(f"{subset}/image{k}", (count,), dtype=h5py.vlen_dtype(np.dtype("uint8")))
                for row in range(count):
                    images[row] = png
            texts = file.create_dataset(f"{subset}/text", (count,), dtype=h5py.string_dtype())
            texts[:] = "A|B|C|D|E"
    report = verify("pororo", tmp_path)
    assert (report.layout, report.unusable, names(report)) == ("hdf5", (), {"hdf5_ids"})
    assert "Group 'test' has 9 rows and the id files give 10" in defect(report, "hdf5_ids")


def test_the_real_captions() -> None:
    root = REAL / "pororo"
    if not root.is_dir():
        pytest.skip("the real files are not here")
    report = verify("pororo", root)
    assert (report.status, report.layout) == (0, "captions"), report.lines()
    counts = counted(report)
    assert (counts["caption rows"], counts["frames"], counts["episodes"], counts["series"]) == (16971, 16066, 183, 17)
    assert (counts["5-frame stories"], counts["4-frame stories"]) == (15334, 15517)


def test_a_split_of_the_published_sizes_on_the_real_captions(tmp_path: Path) -> None:
    """The published ids are in no public repository: these are drawn here, with the published sizes and ranges."""
    root = REAL / "pororo"
    if not root.is_dir():
        pytest.skip("the real files are not here")
    (tmp_path / "descriptions.csv").write_bytes((root / "descriptions.csv").read_bytes())
    ids = np.random.default_rng(0).permutation(15334).tolist()
    write_ids(tmp_path, {"train": ids[:10191], "val": ids[10191:12525], "test": ids[12525:14733]})
    report = verify("pororo", tmp_path)
    assert all(count.ok for count in report.counts), report.lines()
    assert names(report) == {"test_not_held_out", "missing_stories"}, "a draw over all stories mixes episodes"
    assert "val_not_held_out" in names(report, known=True)
