"""Rows under fire: several writers, writers that die at any instant, and a reader who looks all the time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from storybench.board.entry import Entry, ModelCard, Verification
from storybench.board.filling import write_row
from storybench.board.row import ENTRY, Board
from storybench.board.writing import LOCK, new_row, remove_row
from storybench.errors import DataError
from storybench.records.record import Coverage, DatasetInfo, Environment, ModelInfo, RunRecord
from storybench.records.store import RECORD

BENCHMARK = "toonsv-mini-v1"
FILES = 40  # a row that takes a while to write
WRITER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from storybench.board.writing import new_row

    root, row, mark, files, pause = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
    print("ready", flush=True)
    with new_row(Path(root), "toonsv-mini-v1", row) as folder:
        print("inside", flush=True)
        for k in range(files):
            (folder / f"{k}.txt").write_text(mark)
            time.sleep(pause)
        print("written", flush=True)
    print("placed", flush=True)
    """
)


def start(root, row: str, mark: str, files: int = FILES, pause: float = 0.0) -> subprocess.Popen[str]:
    """Start a writer as a process of its own."""
    words = [sys.executable, "-c", WRITER, str(root), row, mark, str(files), str(pause)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    """Wait until a writer says how far it is."""
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"the writer ended before it was {word}")


def marks(root, row: str, files: int = FILES) -> set[str]:
    """Return what stands in the files of a row; all of them are there."""
    folder = root / BENCHMARK / row
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{k}.txt" for k in range(files))
    return {p.read_text() for p in folder.iterdir()}


def leftovers(root) -> list[str]:
    """Return the hidden folders of writers."""
    return [p.name for p in (root / BENCHMARK).iterdir() if p.name.startswith(".") and p.name != LOCK]


def write(root, row: str, mark: str, files: int = FILES) -> None:
    """Write a row here."""
    with new_row(root, BENCHMARK, row) as folder:
        for k in range(files):
            (folder / f"{k}.txt").write_text(mark)


def test_a_row_that_fails_while_it_is_written_was_never_there(tmp_path):
    with pytest.raises(ZeroDivisionError), new_row(tmp_path, BENCHMARK, "row") as folder:
        (folder / "0.txt").write_text(str(1 / 0))
    assert Board(tmp_path).rows(BENCHMARK) == []
    assert leftovers(tmp_path) == []
    write(tmp_path, "row", "old")
    with pytest.raises(ZeroDivisionError), new_row(tmp_path, BENCHMARK, "row") as folder:
        (folder / "0.txt").write_text(str(1 / 0))
    assert marks(tmp_path, "row") == {"old"}


def test_two_writers_of_different_rows_lose_neither(tmp_path):
    writers = [start(tmp_path, f"row{k}", str(k), pause=0.005) for k in range(3)]
    assert [w.wait() for w in writers] == [0, 0, 0]
    assert [marks(tmp_path, f"row{k}") for k in range(3)] == [{"0"}, {"1"}, {"2"}]
    assert leftovers(tmp_path) == []


def test_of_two_writers_of_one_row_one_wins_whole(tmp_path):
    for _ in range(3):
        writers = [start(tmp_path, "row", mark, pause=0.002) for mark in "ab"]
        assert [w.wait() for w in writers] == [0, 0]
        assert marks(tmp_path, "row") in ({"a"}, {"b"})
        assert leftovers(tmp_path) == []


@pytest.mark.parametrize("word", ["inside", "written"])
@pytest.mark.parametrize("there_before", [False, True])
def test_a_writer_that_is_killed_leaves_the_row_as_it_was(word, there_before, tmp_path):
    if there_before:
        write(tmp_path, "row", "old")
    writer = start(tmp_path, "row", "new", pause=0.02 if word == "inside" else 0)
    wait_for(writer, word)
    writer.kill()
    assert writer.wait() == -signal.SIGKILL
    rows = [row.name for row in Board(tmp_path).rows(BENCHMARK)]
    if there_before:
        assert rows == ["row"]
        assert marks(tmp_path, "row") in ({"old"}, {"new"})  # whole, whichever; "written" may just have been placed
    else:
        assert rows in ([], ["row"])
    write(tmp_path, "other", "x")
    assert leftovers(tmp_path) == []  # the next writer cleaned up


def test_kills_at_any_instant_lose_nothing(tmp_path):
    """Build, between and after: the kill falls wherever it falls, every time the row is whole and of one writer."""
    write(tmp_path, "row", "0", files=5)
    for attempt in range(1, 25):
        writer = start(tmp_path, "row", str(attempt), files=5)
        wait_for(writer, "ready")
        time.sleep(attempt % 12 * 0.0008)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        found = marks(tmp_path, "row", files=5)
        assert len(found) == 1
        assert int(next(iter(found))) <= attempt
        assert len(leftovers(tmp_path)) <= 1
    write(tmp_path, "row", "last", files=5)
    assert marks(tmp_path, "row", files=5) == {"last"}
    assert leftovers(tmp_path) == []


def test_a_living_writer_keeps_its_folder_while_others_clean_up(tmp_path):
    slow = start(tmp_path, "slow", "x", files=20, pause=0.03)
    wait_for(slow, "inside")
    for k in range(5):
        write(tmp_path, "quick", str(k))
    assert slow.wait() == 0
    assert marks(tmp_path, "slow", files=20) == {"x"}


def test_a_reader_never_misses_a_row_that_is_replaced(tmp_path):
    """Where the system can exchange two folders in one step, as Linux can."""
    write(tmp_path, "row", "0", files=2)
    missed, looks, stop = [], [0], threading.Event()

    def look() -> None:
        while not stop.is_set():
            looks[0] += 1
            if not (tmp_path / BENCHMARK / "row").is_dir() or [r.name for r in Board(tmp_path).rows(BENCHMARK)] != [
                "row"
            ]:
                missed.append(looks[0])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for k in range(30):
            write(tmp_path, "row", str(k), files=2)
    finally:
        stop.set()
        reader.join()
    assert missed == []
    assert looks[0] > 30


def test_the_way_without_an_exchange_ends_at_the_same_row(tmp_path, monkeypatch):
    """Another system: two renames, and what a killed writer left between them is finished by the next."""
    monkeypatch.setattr("storybench.board.writing._exchange", lambda one, other: False)
    write(tmp_path, "row", "old", files=2)
    write(tmp_path, "row", "new", files=2)
    assert marks(tmp_path, "row", files=2) == {"new"}
    home = tmp_path / BENCHMARK
    (home / "row").rename(home / ".row.old")  # killed between the two renames
    assert Board(tmp_path).rows(BENCHMARK) == []
    write(tmp_path, "other", "x", files=2)
    assert marks(tmp_path, "row", files=2) == {"new"}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["../up", "", "A", ".hidden", "a/b", "a" * 65, "-a"])
def test_a_name_that_is_no_folder_of_a_board_is_refused(name, tmp_path):
    with pytest.raises(DataError, match="cannot name"), new_row(tmp_path, BENCHMARK, name):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_row_is_removed_in_one_step_and_only_if_it_is_there(tmp_path):
    write(tmp_path, "row", "x")
    remove_row(tmp_path, BENCHMARK, "row")
    assert Board(tmp_path).rows(BENCHMARK) == []
    assert leftovers(tmp_path) == []
    with pytest.raises(DataError, match="No row"):
        remove_row(tmp_path, BENCHMARK, "row")


def record_of(text: str = "referential") -> RunRecord:
    """Return a record without scores."""
    return RunRecord(
        fingerprint="0" * 16,
        fingerprint_version=1,
        benchmark_version="0",
        status="success",
        model=ModelInfo(name="a"),
        dataset=DatasetInfo(name="toonsv", hash="0" * 64, stories=1, frames=5),
        split="mini",
        text=text,
        seed=0,
        coverage=Coverage(expected=5, ok=5, fraction=1.0),
        batch_size=1,
        environment=Environment(python="3", platform="x", device="cpu", packages={}),
        command="x",
        started="2026-01-01T00:00:00+00:00",
    )


def test_what_is_written_is_what_is_read(tmp_path):
    card = ModelCard(name="a", authors=["<b>A</b>"], licence="MIT", training_data="x", saw_test_stories=False)
    verified = Verification(level="self-reported", sampled_by="a", scored_by="a", date="2026-01-01")
    entry = Entry(benchmark=BENCHMARK, card=card, verification=verified)
    with new_row(tmp_path, BENCHMARK, "a") as folder:
        write_row(folder, entry, record_of())
    row = Board(tmp_path).row(f"{BENCHMARK}/a")
    assert row.entry == entry
    assert row.record == record_of()
    assert sorted(p.name for p in row.folder.iterdir()) == [ENTRY, RECORD]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 99}', "[" * 100_000])
def test_an_entry_that_is_none_is_a_sentence(content, tmp_path):
    folder = tmp_path / BENCHMARK / "a"
    folder.mkdir(parents=True)
    (folder / ENTRY).write_text(content)
    with pytest.raises(DataError):
        _ = Board(tmp_path).row(f"{BENCHMARK}/a").entry
