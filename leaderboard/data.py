"""The board as tables: which rows there are and what they score.

Pure pandas: no Streamlit, no torch, no network. One benchmark version at a time; :class:`BoardTables` holds one row a
board row and one row a score, which is all that pages need, and drops the rest of a record. A damaged row becomes a
:class:`Problem`, never an exception: one bad folder must not hide the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from storybench.benchmark import DEFAULT_BENCHMARK, Benchmark, benchmark_names, load_benchmark
from storybench.board.row import FRAMES, REQUIRED, Board, Row
from storybench.errors import DataError, StorybenchError
from storybench.records.left_out import LEFT_OUT

RESULTS = Path(__file__).parent / "results"
RANKED, CEILING, FLOOR, WITHDRAWN, REFERENCE = "ranked", "ceiling", "floor", "withdrawn", "reference"
SCORES = (
    "row", "metric", "value", "low", "high", "standard_error", "floor", "ceiling", "clusters", "unit", "fraction", "n",
    "higher_is_better", "protocol", "reason",
)  # fmt: skip


class Problem(NamedTuple):
    """A row that cannot be shown, or not whole, and why."""

    row: str
    sentence: str


@dataclass(frozen=True)
class BoardTables:
    """One benchmark version."""

    benchmark: str
    rows: pd.DataFrame
    """One row a board row, indexed by its name: model, title, authors, text, kind, level, seconds_per_frame, ..."""
    scores: pd.DataFrame
    """One row a metric of a row: the columns ``SCORES``."""
    problems: tuple[Problem, ...]

    def of_text(self, text: str) -> BoardTables:
        """Return the part of one text mode; texts are never mixed."""
        rows = self.rows[self.rows["text"] == text]
        return BoardTables(self.benchmark, rows, self.scores[self.scores["row"].isin(set(rows.index))], self.problems)


def signature(root: Path, benchmark: str) -> str:
    """Return a hash over name, modification time and size of all files that are read: equal ones mean equal tables."""
    total = hashlib.sha256()
    for row in Board(root).rows(benchmark):
        for name in (*REQUIRED, FRAMES, LEFT_OUT):
            try:
                stat = (row.folder / name).stat()
            except OSError:
                continue
            total.update(f"{row.name}/{name} {stat.st_mtime_ns} {stat.st_size}\n".encode())
        total.update(f"{row.name}\n".encode())
    return total.hexdigest()


def benchmarks(root: Path) -> list[str]:
    """Return the benchmark versions to choose from: those that exist, and those that have a folder on this board."""
    return sorted({*benchmark_names(), *Board(root).benchmarks()}, key=_benchmark_order)


def load_tables(root: Path, benchmark: str) -> BoardTables:
    """Return a benchmark version of a board. Rows that cannot be read are problems."""
    rows: list[dict[str, Any]] = []
    scores: list[tuple[Any, ...]] = []
    problems: list[Problem] = []
    for row in Board(root).rows(benchmark):
        try:
            facts, found = _facts(row), list(_scores(row))
            _check_stories(row, benchmark)
        except (StorybenchError, OSError) as error:
            problems.append(Problem(row.name, str(error)))
            continue
        rows.append(facts)
        scores += found
        problems += [Problem(row.name, sentence) for sentence in _missing_tables(row)]
    table = pd.DataFrame(rows, columns=list(FACTS)).set_index("name", drop=False).rename_axis(index=None)
    table = table.astype({"parameters": "Int64", "seconds_per_frame": "float64"})
    long = pd.DataFrame(scores, columns=list(SCORES))
    numbers = ["value", "low", "high", "standard_error", "floor", "ceiling", "clusters"]
    long[numbers] = long[numbers].astype("float64")
    long["reason"] = long["reason"].fillna("")
    return BoardTables(benchmark, table, long, tuple(problems))


FACTS = (
    "name", "id", "model", "title", "authors", "licence", "parameters", "text", "kind", "level", "sampled_by",
    "scored_by", "date", "withdrawn", "saw_test_stories", "oracle_inputs", "seconds_per_frame", "stories", "seed",
    "fingerprint", "score_key", "commit", "dirty", "device", "command", "version", "warnings", "has_frames",
    "has_left_out",
)  # fmt: skip


def _facts(row: Row) -> dict[str, Any]:
    """Return what the table keeps of a row besides its scores."""
    entry, record = row.entry, row.record
    card, checked = entry.card, entry.verification
    kind = WITHDRAWN if entry.withdrawn else entry.pinned or (REFERENCE if record.model.oracle else RANKED)
    return {
        "name": row.name,
        "id": row.id,
        "model": card.name,
        "title": card.shown_as,
        "authors": ", ".join(card.authors),
        "licence": card.licence,
        "parameters": card.parameters,
        "text": record.text,
        "kind": kind,
        "level": checked.level,
        "sampled_by": checked.sampled_by,
        "scored_by": checked.scored_by,
        "date": checked.date[:10],
        "withdrawn": entry.withdrawn or "",
        "saw_test_stories": card.saw_test_stories,
        "oracle_inputs": "; ".join(card.oracle_inputs),
        "seconds_per_frame": None if record.model.oracle else record.seconds_per_frame,
        "stories": record.dataset.stories,
        "seed": record.seed if card.seed is None else card.seed,
        "fingerprint": record.fingerprint,
        "score_key": record.score_key,
        "commit": record.environment.git_commit or "",
        "dirty": bool(record.environment.git_dirty),
        "device": record.environment.device,
        "command": card.command or record.command,
        "version": record.benchmark_version,
        "warnings": len(entry.warnings),
        "has_frames": (row.folder / FRAMES).is_file(),
        "has_left_out": row.has_left_out,
    }


def _scores(row: Row) -> Iterator[tuple[Any, ...]]:
    """Yield one tuple of ``SCORES`` a metric."""
    for metric, score in row.record.scores.items():
        yield (row.name, metric, *(getattr(score, column) for column in SCORES[2:]))


def _check_stories(row: Row, benchmark: str) -> None:
    """Refuse a row that was measured on other stories than the benchmark version's.

    Raises:
        DataError: If so.
    """
    if row.entry.benchmark != benchmark:
        raise DataError(f"Its entry names the benchmark '{row.entry.benchmark}', but it lies in '{benchmark}'.")
    version = known_benchmark(benchmark)
    due = None if version is None else version.texts.get(row.record.text)
    if due is not None and row.record.dataset.hash != due:
        raise DataError(f"It was measured on other stories or captions than {benchmark} with text {row.record.text}.")


def _missing_tables(row: Row) -> Iterator[str]:
    """Yield what a row that is shown all the same lacks."""
    if not (row.folder / FRAMES).is_file():
        yield f"It has no {FRAMES}: its stories cannot be browsed."
    if not row.has_left_out:
        yield f"It has no {LEFT_OUT}: it cannot be ranked or compared."


def known_benchmark(name: str) -> Benchmark | None:
    """Return a benchmark version, None for a folder that no configuration describes."""
    return load_benchmark(name) if name in benchmark_names() else None


def _benchmark_order(name: str) -> tuple[bool, str]:
    return name != DEFAULT_BENCHMARK, name
