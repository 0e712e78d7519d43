"""A board's folder as data: every file has its row, every row its files, and they agree with each other.

No file of a row is run, and none is read before its size is known. What is found is the same kind of problem that the
check of an archive finds: where, what, and how to mend it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from storybench.benchmark import Benchmark, benchmark_names, load_benchmark
from storybench.board.entry import SLUG
from storybench.board.row import ENTRY, FRAMES, THUMBS, Row, row_name
from storybench.board.writing import LOCK
from storybench.data.splits import ids_sha256
from storybench.errors import StorybenchError
from storybench.records.left_out import LEFT_OUT
from storybench.records.store import RECORD
from storybench.submission.report import Findings, Problem, shown

MAX_SIZES = {ENTRY: 256 << 10, RECORD: 2 << 20, FRAMES: 16 << 20, LEFT_OUT: 64 << 20}  # bytes
MAX_THUMB = 256 << 10
MAX_NAMED_ROWS = 10_000
SAME = 1e-9  # of a value in two files of one row
AGAIN = "write the row with storybench submit score"
PARQUET, RIFF, WEBP = b"PAR1", b"RIFF", b"WEBP"


def check_board(root: Path) -> tuple[Problem, ...]:
    """Return everything that is wrong with a board's folder."""
    findings = Findings()
    if not root.is_dir():
        findings.error("no-board", shown(root.name), "is not a folder", "give the folder of a board")
        return findings.problems()
    for home in sorted(root.iterdir()):
        if home.is_symlink() or not home.is_dir() or home.name not in benchmark_names():
            mend = f"a board holds one folder a benchmark version: {', '.join(benchmark_names())}"
            findings.error("orphan", shown(home.name), "is no benchmark version", mend)
            continue
        for folder in sorted(home.iterdir()):
            if folder.name != LOCK:
                check_row(folder, findings)
    return findings.problems()


def check_row(folder: Path, findings: Findings) -> None:
    """Say what is wrong with one row."""
    where = f"{folder.parent.name}/{shown(folder.name)[1:-1]}"
    if folder.is_symlink() or not folder.is_dir():
        findings.error("orphan", where, "is no folder of a row", "take it away")
    elif not SLUG.fullmatch(folder.name):
        mend = "take it away; a writer that was killed leaves such folders, and the next one removes them"
        findings.error("orphan", where, "cannot be the name of a row", mend)
    elif _check_files(folder, where, findings):
        try:
            _check_content(Row(folder), load_benchmark(folder.parent.name), where, findings)
        except (StorybenchError, OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            findings.error("unreadable-row", where, _sentence(error), AGAIN)


def _check_files(folder: Path, where: str, findings: Findings) -> bool:
    """Say what is wrong with which files there are; return whether they may be read."""
    sound = True
    for kind, name, what in _file_problems(folder):
        findings.error(kind, f"{where}/{name}", what, AGAIN)
        sound = False
    for name in (ENTRY, RECORD):
        if not (folder / name).is_file():
            findings.error("orphan-row", where, f"has no {name}", AGAIN)
            sound = False
    return sound


def _file_problems(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and words for every file that should not be there, or not like that."""
    for path in sorted(folder.rglob("*")):
        name = shown(path.relative_to(folder).as_posix())[1:-1]
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield "symlink", name, "is a symbolic link"
        elif stat.S_ISDIR(mode):
            if path.parent != folder or path.name != THUMBS:
                yield "orphan", name, "is a folder that no row needs"
        elif not stat.S_ISREG(mode):
            yield "device", name, "is no plain file"
        elif mode & 0o111:
            yield "executable", name, "is marked executable"
        elif path.parent == folder and path.name in MAX_SIZES:
            yield from _size(path, name, MAX_SIZES[path.name])
        elif path.parent == folder / THUMBS and path.suffix == ".webp":
            yield from _size(path, name, MAX_THUMB)
            if not _is_webp(path):
                yield "format", name, "is no WebP picture"
        else:
            yield "orphan", name, "is a file that no row needs"


def _size(path: Path, name: str, limit: int) -> Iterator[tuple[str, str, str]]:
    size = path.stat().st_size
    if size > limit:
        yield "oversized", name, f"is {size} bytes large, {limit} are allowed"
    elif path.suffix == ".parquet":
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(0, size - 4))
            if head != PARQUET or file.read() != PARQUET:
                yield "format", name, "is no Parquet table"


def _is_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == RIFF and head[8:] == WEBP


def _check_content(row: Row, benchmark: Benchmark, where: str, findings: Findings) -> None:
    """Say where the files of a row contradict each other or their benchmark version."""
    for kind, what, mend in (*_entry_problems(row), *_record_problems(row, benchmark)):
        findings.error(kind, where, what, mend)
    if (row.folder / FRAMES).is_file():
        for kind, what in _table_problems(row, benchmark):
            findings.error(kind, where, what, AGAIN)
    if row.has_left_out:
        for metric, found in row.left_out().items():
            score = row.record.scores.get(metric)
            value = None if score is None else score.value
            if value is None or abs(value - found.value) > SAME * max(1.0, abs(found.value)):
                what = f"says {shown(metric)} is {value} in {RECORD} and {found.value} in {LEFT_OUT}"
                findings.error("disagreement", where, what, AGAIN)


def _entry_problems(row: Row) -> Iterator[tuple[str, str, str]]:
    entry, record = row.entry, row.record
    if entry.benchmark != row.folder.parent.name:
        yield "disagreement", f"says it is of {shown(entry.benchmark)}", AGAIN
    if row_name(entry.card.name, record.text) != row.name:
        yield "disagreement", f"is of model {entry.card.name} in text {shown(record.text)}", AGAIN
    if record.model.name != entry.card.name:
        yield "disagreement", f"is of {shown(record.model.name)} in {RECORD}, {entry.card.name} in {ENTRY}", AGAIN
    if record.model.oracle != (entry.pinned is not None):
        yield "disagreement", "is pinned or not, against what its record says of the model", "mend pinned in the entry"
    if entry.verification.level == "re-scored" and entry.archive is None:
        yield "no-archive", "says it was re-scored, and names no archive", "name it, or say self-reported"
    if entry.verification.level != "self-reported":
        for table in (FRAMES, LEFT_OUT):
            if not (row.folder / table).is_file():
                yield "missing-table", f"has no {table}", AGAIN


def _record_problems(row: Row, benchmark: Benchmark) -> Iterator[tuple[str, str, str]]:
    record = row.record
    stated = benchmark.texts.get(record.text)
    if record.text not in benchmark.texts:
        yield "disagreement", f"is of text {shown(record.text)}, which {benchmark.name} has not", AGAIN
    elif stated is not None and record.dataset.hash != stated:
        yield "disagreement", f"was scored on other stories than {benchmark.name}", AGAIN
    if (record.dataset.name, record.split) != (benchmark.dataset, benchmark.subset):
        yield "disagreement", f"was scored on {shown(record.dataset.name)} {shown(record.split)}", AGAIN
    if record.status != "success" or record.coverage.fraction != 1.0 or record.coverage.ok != record.dataset.frames:
        yield "coverage", f"is {record.status} with {record.coverage.ok} of {record.coverage.expected} frames", AGAIN
    if not record.scores:
        yield "coverage", "has no scores", AGAIN
    for metric, score in record.scores.items():
        if score.value is None and not score.reason:
            yield "disagreement", f"has no value of {shown(metric)} and says no reason", AGAIN


def _table_problems(row: Row, benchmark: Benchmark) -> Iterator[tuple[str, str]]:
    table = row.frames()
    stories = sorted(set(table["story"]))
    sizes = table.groupby("story")["frame"].agg(lambda frames: sorted(frames) == list(range(len(frames))))
    if len(table) != row.record.dataset.frames or not bool(sizes.all()):
        yield "coverage", f"has {len(table)} rows of frames, its record says {row.record.dataset.frames}"
    if benchmark.ids_sha256 is not None and ids_sha256(stories) != benchmark.ids_sha256:
        yield "coverage", f"has frames of other stories than {benchmark.name}"
    folder = row.folder / THUMBS
    strips = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
    if strips - set(stories):
        yield "orphan", f"has a strip of {shown(min(strips - set(stories)))}, which is no story of it"
    if row.record.model.oracle and strips:
        yield "orphan", "has strips of true frames, which are not copied"


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
