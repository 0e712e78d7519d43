"""One side of a comparison: a run folder, a ``record.json``, the folder of a row, or a row's id; and what pairs two.

Two runs are paired story by story, so data set, stories, subset, selection and text must be equal. Model, weights,
sampler and seed may differ: that they do is the point.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np

from storybench.board.row import Board
from storybench.errors import ConfigError, DataError, did_you_mean
from storybench.records.left_out import load_left_out
from storybench.records.record import RunRecord
from storybench.records.store import RECORD, load_record
from storybench.statistics.left_out import LeftOut

BOARD = "leaderboard/results"
SAME_VALUE = 1e-6  # relative; a table that rounds otherwise than its record belongs to another scoring
HASH_DIGITS = 12  # of a hash, where people read it


@dataclass(frozen=True)
class Side:
    """A run or a row, complete and scored."""

    name: str  # as it was asked for
    folder: Path
    record: RunRecord

    def left_out(self) -> dict[str, LeftOut]:
        """Return every metric without each cluster.

        Raises:
            DataError: If the table is missing, damaged, or of another scoring than the record.
        """
        found = load_left_out(self.folder)
        for metric, of in found.items():
            score = self.record.scores.get(metric)
            if (
                score is None
                or score.value is None
                or not np.isclose(score.value, of.value, rtol=SAME_VALUE, atol=1e-9)
            ):
                raise DataError(
                    f"'{self.folder}' holds a left_out.parquet of another scoring than its record ({metric} is "
                    f"{of.value:.6g} there, {None if score is None else score.value} in the record): score the run "
                    "again with rescore=true."
                )
        return found


def load_side(word: str, board: str = BOARD) -> Side:
    """Return what ``word`` names, checked to be complete and scored.

    Args:
        word: A run folder, a ``record.json``, the folder of a row, or the id of a row such as ``toonsv-v1/storygptv``.
        board: Folder of the board that ids are looked up in.

    Raises:
        ConfigError: If nothing of that name is there.
        DataError: If the run is not finished, lacks frames or was not scored.
    """
    folder = find_folder(word, board)
    file = Path(word) if Path(word).is_file() else folder / RECORD
    side = Side(word, file.parent, load_record(file))
    record = side.record
    if record.status != "success":
        why = f" ({record.reason})" if record.reason else ""
        raise DataError(f"'{word}' cannot be compared: its run is {record.status}{why}. Finish it: {record.command}")
    if record.coverage.fraction < 1:
        raise DataError(
            f"'{word}' cannot be compared: {record.coverage.ok} of {record.coverage.expected} frames are there. "
            f"Finish it: {record.command}"
        )
    if not any(score.value is not None for score in record.scores.values()):
        raise DataError(f"'{word}' cannot be compared: its record holds no score.")
    return side


def find_folder(word: str, board: str = BOARD) -> Path:
    """Return the folder of a run or row that is named by a path, the path of its record, or the id of a row.

    Raises:
        ConfigError: If there is none.
        DataError: If a folder has no record.
    """
    path = Path(word)
    if path.is_file():
        return path.parent
    if (path / RECORD).is_file():
        return path
    if path.is_dir():
        raise DataError(f"'{word}' has no {RECORD}: expected a run folder, such as runs/0123456789abcdef, or a row.")
    root = board_folder(board)
    rows = Board(root)
    known = {row.id: row.folder for benchmark in rows.benchmarks() for row in rows.rows(benchmark)}
    known = {id_: folder for id_, folder in known.items() if (folder / RECORD).is_file()}
    if word in known:
        return known[word]
    raise ConfigError(
        f"'{word}' is no run folder, no record and no row of the board '{root}'. {did_you_mean(word, known)}".strip()
    )


def board_folder(board: str = BOARD) -> Path:
    """Return the folder of a board; for the default one, where it is not below this folder, the installed one."""
    path = Path(board)
    if path.is_dir() or board != BOARD:
        return path
    package = util.find_spec(BOARD.partition("/")[0])  # found, not imported: this package knows no board
    places = [Path(place) / "results" for place in package.submodule_search_locations or ()] if package else []
    return next((place for place in places if place.is_dir()), path)


def parts(record: RunRecord) -> dict[str, str]:
    """Return what must be equal for two runs to be paired, by name."""
    return {
        "data set": record.dataset.name,
        "data hash": record.dataset.hash[:HASH_DIGITS],
        "subset": record.split,
        "selection": record.dataset.select,
        "text": record.text,
    }


def check_paired(base: Side, new: Side) -> None:
    """Raise if two runs are not about the same stories and text.

    Raises:
        DataError: One sentence with every part that differs and both values.
    """
    left, right = parts(base.record), parts(new.record)
    differing = [f"{name} {left[name]} and {right[name]}" for name in left if left[name] != right[name]]
    if base.record.dataset.hash != new.record.dataset.hash and left["data hash"] == right["data hash"]:
        differing.append(f"data hash {base.record.dataset.hash} and {new.record.dataset.hash}")
    if differing:
        raise DataError(
            f"'{base.name}' and '{new.name}' are not comparable: {'; '.join(differing)}. Runs are compared story by "
            "story: draw both on the same stories and text."
        )
