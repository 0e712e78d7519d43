"""From an archive to a row: scored by the real evaluator in a process that knows nothing of its caller."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import ImageOps
from submission_archives import Part, card, manifest, png, zipped

from storybench.benchmark import load_benchmark
from storybench.board.row import Board
from storybench.errors import ConfigError, DataError
from storybench.records.store import RECORD
from storybench.submission.expecting import benchmark_stories, expectation
from storybench.submission.placing import remarks, score_archive, trust_record
from storybench.submission.process import clean_environment
from storybench.submission.scoring import Refused, Setting

FEW = load_benchmark("toonsv-mini-v1").model_copy(
    update={
        "name": "toonsv-few-v1",
        "select": "distance_4",  # nine stories
        "stories": None,
        "ids_sha256": None,
        "texts": {"referential": None, "explicit": None},
    }
)
QUICK = Setting(by="A. Keeper", metrics=("characters",))


def archive_of(path: Path, text: str = "referential", record: dict | None = None, **about) -> Path:
    """Write an archive of the few stories, drawn mirrored."""
    due = expectation(FEW, text)
    frames = {
        f"frames/{s.id}/{k}.png": png(ImageOps.mirror(f.image))
        for s in benchmark_stories(FEW)
        for k, f in enumerate(s.frames)
    }
    content = manifest(due, frames, card=card(**about).model_dump(mode="json"), record=record, seconds_per_frame=1.5)
    parts = [Part(b"manifest.json", json.dumps(content).encode()), *(Part(n.encode(), d) for n, d in frames.items())]
    path.write_bytes(zipped(parts))
    return path


@pytest.fixture(scope="module")
def scored(tmp_path_factory, own_record):
    """A row of nine stories; the record inside claims two wrong scores, and one that frames cannot show."""
    folder = tmp_path_factory.mktemp("scored")
    claimed = own_record(expectation(FEW, "referential"), char_acc=0.123, count_acc=2.0, flip_rate=0.5)
    archive = archive_of(folder / "mine.zip", record=claimed)
    url = "https://example.org/mine.zip"
    return score_archive(archive, folder / "board", QUICK, url=url, benchmark=FEW), archive


def test_a_scored_row_says_what_was_found_and_by_whom(scored):
    done, archive = scored
    row = Board(done.row.parents[1]).row("toonsv-few-v1/mirror")
    assert row.folder == done.row
    entry, record = row.entry, row.record
    assert entry.verification.level == "re-scored"
    assert (entry.verification.sampled_by, entry.verification.scored_by) == ("A. Tester", "A. Keeper")
    assert entry.archive.size == archive.stat().st_size
    assert entry.archive.url == "https://example.org/mine.zip"
    assert record.model.name == "mirror"
    assert record.command == "python mirror.py"
    assert record.seconds_per_frame == 1.5
    assert record.details["seconds_per_frame_by"] == "self-reported"
    assert record.dataset.hash == expectation(FEW, "referential").data_hash
    assert record.scores["char_acc"].value > 0.6  # mirrored characters are still themselves
    assert not record.model.oracle


def test_a_scored_row_has_all_its_tables_and_strips(scored):
    done, _ = scored
    row = Board(done.row.parents[1]).row("toonsv-few-v1/mirror")
    frames = row.frames()
    assert len(frames) == 45
    assert set(frames["sha256"].str.len()) == {64}
    assert row.left_out()["char_acc"].value == pytest.approx(row.record.scores["char_acc"].value)
    assert row.thumb(frames["story"][0]) is not None
    assert len(list((row.folder / "thumbs").iterdir())) == 9


def test_claims_that_do_not_hold_are_remarked_upon_in_the_row(scored):
    done, _ = scored
    told = {claim.metric: claim for claim in done.claims}
    assert not told["char_acc"].holds
    assert told["char_acc"].claimed == 0.123
    assert not told["flip_rate"].compared
    lines = remarks(done)
    assert any("claimed char_acc 0.1230" in line for line in lines)
    assert any("flip_rate" in line for line in lines)
    entry = Board(done.row.parents[1]).row("toonsv-few-v1/mirror").entry
    assert [line for line in entry.warnings if "claimed" in line] == lines
    assert entry.verification.evidence["claims"] == {"compared": 2, "held": 0}


def test_nothing_of_the_caller_reaches_the_child(monkeypatch, tmp_path):
    for name in ("PYTHONPATH", "PYTHONSTARTUP", "STORYBENCH_CACHE", "STORYBENCH_SECRET", "HF_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "/evil")
    found = clean_environment(tmp_path)
    assert "/evil" not in found.values()
    assert not {name for name in found if name.startswith("PYTHON")}
    assert found["HF_HUB_OFFLINE"] == found["TRANSFORMERS_OFFLINE"] == "1"
    assert found["HOME"] == str(tmp_path)
    assert set(found) <= {
        "PATH", "LANG", "HOME", "TMPDIR", "STORYBENCH_CACHE", "STORYBENCH_ASSETS", "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", *os.environ.keys() & {"OMP_NUM_THREADS", "SYSTEMROOT"},
    }  # fmt: skip


def test_a_module_beside_the_archive_is_not_imported(tmp_path, monkeypatch):
    """Python runs isolated: neither the folder one works in nor PYTHONPATH can put code under our names."""
    import subprocess

    evil = tmp_path / "storybench"
    evil.mkdir()
    (evil / "__init__.py").write_text("raise SystemExit('evil code ran')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = [sys.executable, "-I", "-m", "storybench.cli.main", "--version"]
    done = subprocess.run(
        words, cwd=tmp_path, env=clean_environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "evil" not in done.stdout + done.stderr


def test_an_archive_with_errors_leaves_no_row(tmp_path):
    path = archive_of(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Refused, match="cannot be scored") as error:
        score_archive(path, tmp_path / "board", QUICK, benchmark=FEW)
    assert {p.kind for p in error.value.report.errors} == {"truncated"}
    assert not (tmp_path / "board").exists()


def test_a_record_that_is_trusted_is_labelled_so(tmp_path, own_record):
    claimed = own_record(expectation(FEW, "referential"), char_acc=0.99)
    done = trust_record(archive_of(tmp_path / "a.zip", record=claimed), tmp_path / "board", Setting(), benchmark=FEW)
    row = Board(tmp_path / "board").row("toonsv-few-v1/mirror")
    assert row.entry.verification.level == "self-reported"
    assert row.entry.verification.scored_by == "A. Tester"
    assert row.record.scores["char_acc"].value == 0.99
    assert done.record.model.name == "mirror"
    assert sorted(p.name for p in row.folder.iterdir()) == ["entry.json", RECORD, "thumbs"]
    with pytest.raises(DataError, match="no record with scores"):
        trust_record(archive_of(tmp_path / "b.zip"), tmp_path / "board", Setting(), benchmark=FEW)


def test_an_address_that_is_not_https_is_refused_before_anything_runs(tmp_path):
    for url in ("http://example.org/a.zip", "https://a b", "javascript:alert(1)"):
        with pytest.raises(ConfigError, match="https://"):
            score_archive(tmp_path / "none.zip", tmp_path, QUICK, url=url)


def test_a_twin_of_another_model_or_seed_is_refused(tmp_path):
    mine = archive_of(tmp_path / "a.zip")
    for about in ({"seed": 7}, {"name": "other"}, {"version": "2"}):
        twin = archive_of(tmp_path / "b.zip", "explicit", **about)
        with pytest.raises(DataError, match="one model and seed"):
            score_archive(mine, tmp_path / "board", QUICK, explicit=twin, benchmark=FEW)
    with pytest.raises(Refused):
        score_archive(mine, tmp_path / "board", QUICK, explicit=archive_of(tmp_path / "c.zip"), benchmark=FEW)


@pytest.mark.slow
def test_a_twin_from_explicit_text_gives_conditional_resolution(tmp_path):
    mine, twin = archive_of(tmp_path / "a.zip"), archive_of(tmp_path / "b.zip", "explicit")
    setting = Setting(metrics=("reference",))
    done = score_archive(mine, tmp_path / "board", setting, explicit=twin, benchmark=FEW)
    assert done.record.scores["conditional_resolution"].value == 1.0  # the same frames twice
    evidence = Board(tmp_path / "board").row("toonsv-few-v1/mirror").entry.verification.evidence
    assert evidence["explicit_archive"]["size"] == twin.stat().st_size


@pytest.mark.slow
def test_two_processes_score_into_one_board_at_once(tmp_path):
    import subprocess

    archives = [archive_of(tmp_path / f"{k}.zip", name=f"mirror{k}") for k in range(2)]
    code = (
        "import sys; from pathlib import Path; from storybench.submission.placing import score_archive;"
        "from storybench.submission.scoring import Setting; from storybench.benchmark import Benchmark;"
        f"few = Benchmark.model_validate_json({FEW.model_dump_json()!r});"
        "score_archive(Path(sys.argv[1]), Path(sys.argv[2]), Setting(metrics=('characters',)), benchmark=few)"
    )
    board = tmp_path / "board"
    both = [subprocess.Popen([sys.executable, "-c", code, str(a), str(board)]) for a in archives]
    assert [process.wait() for process in both] == [0, 0]
    rows = Board(board).rows("toonsv-few-v1")
    assert [row.name for row in rows] == ["mirror0", "mirror1"]
    assert rows[0].record.scores == rows[1].record.scores
    assert rows[0].record.fingerprint != rows[1].record.fingerprint
