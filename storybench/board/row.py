"""A row's folder and the board they make: ``<root>/<benchmark>/<row>/``.

    entry.json        card and verification        record.json       the scores
    frames.parquet    one row a frame              left_out.parquet  what paired comparisons need
    thumbs/<story>.webp                            a strip a story; none for rows that are shown the truth

Reading is lazy, and light: nothing of torch is imported. A row whose folder has no ``entry.json`` is no row; names that
begin with a dot are a writer's own (:mod:`storybench.board.writing`).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from storybench.board.entry import ENTRY_SCHEMA, Entry
from storybench.errors import DataError, unknown
from storybench.records.left_out import LEFT_OUT, load_left_out
from storybench.records.record import RunRecord
from storybench.records.store import RECORD, load_record
from storybench.statistics.left_out import LeftOut

if TYPE_CHECKING:
    import pandas

ENTRY, FRAMES, THUMBS = "entry.json", "frames.parquet", "thumbs"
DEFAULT_TEXT = "referential"  # rows of this text are called by their model alone
REQUIRED = (ENTRY, RECORD)


def row_name(model: str, text: str) -> str:
    """Return what the row of a model and a text is called: ``storygptv``, ``storygptv-explicit``."""
    return model if text == DEFAULT_TEXT else f"{model}-{text.replace(':', '-')}"


@dataclass(frozen=True)
class Row:
    """One row on disk."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def id(self) -> str:
        """``<benchmark>/<row>``, as ``storybench reproduce`` and ``compare`` take it."""
        return f"{self.folder.parent.name}/{self.name}"

    @cached_property
    def entry(self) -> Entry:
        """Card and verification.

        Raises:
            DataError: If the file is missing or not an entry.
        """
        return load_entry(self.folder / ENTRY)

    @cached_property
    def record(self) -> RunRecord:
        """The scores."""
        return load_record(self.folder / RECORD)

    @property
    def has_left_out(self) -> bool:
        """Whether the row can be compared in pairs."""
        return (self.folder / LEFT_OUT).is_file()

    def left_out(self, metrics: Collection[str] | None = None) -> dict[str, LeftOut]:
        """Return each metric without each cluster."""
        return load_left_out(self.folder, metrics)

    def frames(self) -> pandas.DataFrame:
        """Return one row a frame: expected, predicted, correct, reason, sha256, seconds.

        Raises:
            DataError: If the table is missing or damaged.
        """
        import pandas as pd

        path = self.folder / FRAMES
        if not path.is_file():
            raise DataError(f"Row {self.id} has no '{FRAMES}': its frames cannot be browsed.")
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise DataError(f"'{path}' is damaged: expected a Parquet table of frames.") from error

    def thumb(self, story: str) -> Path | None:
        """Return the strip of a story, or None if the row keeps none."""
        path = self.folder / THUMBS / f"{story}.webp"
        return path if path.is_file() else None


@dataclass(frozen=True)
class Board:
    """All rows under one folder."""

    root: Path

    def benchmarks(self) -> list[str]:
        """Return the benchmark versions that have a folder, sorted."""
        return _folders(self.root)

    def rows(self, benchmark: str) -> list[Row]:
        """Return the rows of a benchmark version by name."""
        return [Row(self.root / benchmark / name) for name in _folders(self.root / benchmark)]

    def row(self, id_: str) -> Row:
        """Return the row called ``<benchmark>/<row>``.

        Raises:
            ConfigError: If there is none.
        """
        known = {row.id: row for benchmark in self.benchmarks() for row in self.rows(benchmark)}
        if id_ not in known:
            raise unknown("row", id_, known, f"board '{self.root}'")
        return known[id_]


def load_entry(path: Path) -> Entry:
    """Return the entry of a file.

    Raises:
        DataError: If it is missing, not an entry, or of a newer schema.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"No readable entry at '{path}': expected a JSON object; storybench submit score writes it."
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > ENTRY_SCHEMA:
        raise DataError(f"'{path}' has entry schema {version}, newer than {ENTRY_SCHEMA}: upgrade storybench.")
    try:
        return Entry.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"'{path}' is not a valid entry: {where}: {first['msg']}.") from error


def _folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
