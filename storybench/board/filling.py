"""From a scored run to the files of a row: record, tables and strips. Pictures of the truth are never copied."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from storybench.board.entry import Entry
from storybench.board.row import ENTRY, FRAMES, THUMBS, row_name
from storybench.board.writing import new_row
from storybench.errors import DataError
from storybench.frames import FrameStore, write_atomic
from storybench.records.left_out import LEFT_OUT
from storybench.records.record import RunRecord
from storybench.records.store import load_record, save_record


def add_run(
    root: Path, entry: Entry, run_dir: Path, counts: Mapping[str, int], record: RunRecord | None = None
) -> Path:
    """Put a scored run onto a board as a row and return the row's folder.

    Args:
        root: Folder of the board.
        entry: Card and verification; its card's name and the record's text name the row.
        run_dir: Folder with ``record.json``, ``frames.parquet``, ``left_out.parquet`` and ``frames/``.
        counts: Story id -> number of frames.
        record: What to show in place of the run's own record; None for that.

    Raises:
        DataError: If the run is not finished and scored, or a table is missing.
    """
    record = record or load_record(run_dir)
    if record.status != "success" or not record.scores:
        raise DataError(f"The run in '{run_dir}' is {record.status} and has no scores to show: finish it first.")
    for name in (FRAMES, LEFT_OUT):
        if not (run_dir / name).is_file():
            raise DataError(f"'{run_dir}' has no {name}: score it again with the same command and rescore=true.")
    name = row_name(entry.card.name, record.text)
    with new_row(root, entry.benchmark, name) as folder:
        write_row(folder, entry, record)
        for table in (FRAMES, LEFT_OUT):
            shutil.copyfile(run_dir / table, folder / table)
        if not record.model.oracle:
            FrameStore.of_run(run_dir).thumbs(counts, folder / THUMBS)
    return root / entry.benchmark / name


def write_row(folder: Path, entry: Entry, record: RunRecord) -> None:
    """Write the two JSON files of a row."""
    save_record(record, folder)
    write_atomic(folder / ENTRY, (entry.model_dump_json(indent=2) + "\n").encode())
