"""A folder of frames becomes one archive: always the same bytes, whole or not at all, and never with a known error."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile

import pytest
from submission_archives import as_jpeg, card, mirrored, png

from storybench.errors import ConfigError, DataError
from storybench.frames import FrameStore
from storybench.records.record import RunRecord
from storybench.submission.card import TEMPLATE, read_card
from storybench.submission.checking import check_archive
from storybench.submission.packing import benchmark_of, pack


@pytest.fixture
def folder(tmp_path):
    """A folder of frames, as a model leaves them."""
    for name, image in mirrored().items():
        path = tmp_path / "mine" / name.removeprefix("frames/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return tmp_path / "mine"


def test_a_packed_folder_passes_the_check_that_others_make(folder, expected, tmp_path):
    packed = pack(folder, card(), expected, tmp_path / "a.zip")
    assert packed.path == tmp_path / "a.zip"
    report = check_archive(packed.path, expected=expected)
    assert report.ok
    assert report.summary["sha256"] == hashlib.sha256(packed.path.read_bytes()).hexdigest()
    assert report.manifest.card == card()
    with zipfile.ZipFile(packed.path) as archive:
        names = archive.namelist()
    assert names == ["manifest.json", *mirrored()]


def test_the_same_frames_give_the_same_bytes_wherever_they_lie(folder, expected, tmp_path):
    other = tmp_path / "elsewhere" / "frames"
    shutil.copytree(folder, other)
    one = pack(folder, card(), expected, tmp_path / "a.zip").path
    two = pack(other.parent, card(), expected, tmp_path / "sub" / "b.zip").path
    assert one.read_bytes() == two.read_bytes()


def test_a_run_s_record_gives_time_and_speed(folder, expected, own_record, tmp_path):
    record = RunRecord.model_validate(own_record(expected))
    packed = pack(folder, card(), expected, tmp_path / "a.zip", record=record)
    manifest = packed.report.manifest
    assert manifest.record == record
    assert manifest.seconds_per_frame == 0.25
    assert manifest.created == record.ended
    assert (
        pack(folder, card(), expected, tmp_path / "b.zip", seconds_per_frame=2.0).report.manifest.seconds_per_frame == 2
    )


def test_all_that_is_wrong_is_said_and_nothing_is_written(folder, expected, tmp_path):
    stories = sorted(p for p in folder.iterdir())
    (stories[0] / "2.png").unlink()
    (stories[0] / "note.txt").write_text("x")
    (folder / "readme.md").write_text("x")
    (folder / "other-story").mkdir()
    shutil.rmtree(stories[1])
    report = pack(folder, card(), expected, tmp_path / "a.zip").report
    assert {"missing-frame", "unknown-file", "extra-story", "missing-story"} <= {p.kind for p in report.errors}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def test_an_archive_that_was_there_stays_when_the_new_one_fails(folder, expected, tmp_path):
    out = tmp_path / "a.zip"
    pack(folder, card(), expected, out)
    before = out.read_bytes()
    for name, image in mirrored().items():
        (folder / name.removeprefix("frames/")).write_bytes(png(as_jpeg(image, 75)))
    packed = pack(folder, card(), expected, out)
    assert packed.path is None
    assert {p.kind for p in packed.report.errors} == {"jpeg-past"}
    assert out.read_bytes() == before


def test_a_link_to_a_file_outside_is_not_followed(folder, expected, tmp_path):
    (tmp_path / "secret").write_text("secret")
    first = next(folder.rglob("0.png"))
    first.unlink()
    first.symlink_to(tmp_path / "secret")
    packed = pack(folder, card(), expected, tmp_path / "a.zip")
    assert packed.path is None
    assert "unknown-file" in {p.kind for p in packed.report.errors}


def test_hidden_files_are_left_alone(folder, expected, tmp_path):
    (folder / ".DS_Store").write_text("x")
    next(folder.iterdir()).joinpath("._0.png").write_text("x")
    assert pack(folder, card(), expected, tmp_path / "a.zip").path is not None


def test_a_folder_without_frames_is_a_sentence(expected, tmp_path):
    with pytest.raises(DataError, match="No folder of frames"):
        pack(tmp_path / "none", card(), expected, tmp_path / "a.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No frames in"):
        pack(tmp_path / "empty", card(), expected, tmp_path / "a.zip")


def test_a_store_of_a_run_packs_as_it_is(expected, tmp_path):
    store = FrameStore.of_run(tmp_path / "run")
    images = mirrored()
    stories = {s: [images[f"frames/{s}/{k}.png"] for k in range(n)] for s, n in expected.counts.items()}
    store.commit(stories, dict.fromkeys(stories, 1.0))
    assert pack(tmp_path / "run", card(), expected, tmp_path / "a.zip").path is not None


def test_the_card_to_fill_in_is_a_card(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text(TEMPLATE)
    read = read_card(path)
    assert read.name == "my-model"
    assert read.parameters == 170_000_000
    assert read.version == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "No readable card"),
        ("- a\n- b", "expected keys and values"),
        ("name: A B\nauthors: []", "licence"),
        ("name: !!python/object/apply:os.system [echo]", "No readable card"),
        ("a: &a [x]\nb: [*a, *a]", "authors"),
    ],
)
def test_a_card_that_is_none_says_every_key_to_mend(text, said, tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"submit card > card\.yaml") as error:
        read_card(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_card_leaves_out_comes_from_the_run(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_text("\n".join(line for line in TEMPLATE.splitlines() if not line.startswith(("seed", "command"))))
    assert read_card(path, {"seed": 7, "command": "draw"}).seed == 7
    path.write_text(TEMPLATE)
    assert read_card(path, {"seed": 7}).seed == 0


def test_a_version_that_looks_like_a_number_or_a_date_stays_what_was_written(tmp_path):
    path = tmp_path / "card.yaml"
    for written in ("2", "1.10", "2026-01-01"):
        path.write_text(TEMPLATE.replace('version: "1"', f"version: {written}"))
        assert read_card(path).version == written


def test_a_run_is_matched_to_the_version_that_it_is_about(own_record, expected):
    from storybench.benchmark import load_benchmark

    record = RunRecord.model_validate(own_record(expected))
    with pytest.raises(ConfigError, match="not of a benchmark version"):
        benchmark_of(record)
    hashed = load_benchmark("toonsv-v1").texts["referential"]
    about = record.model_copy(update={"dataset": record.dataset.model_copy(update={"hash": hashed})})
    assert benchmark_of(about) == "toonsv-v1"
