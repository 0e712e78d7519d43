"""Scores from ``frames.parquet`` alone, through the metrics themselves: what a sample of stories is compared by.

A table holds what the classifier read in each frame, so the metrics of characters, places and references can be
computed of any stories of it without a network. Distances, captions and likenesses cannot: their features are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storybench.board.row import FRAMES
from storybench.errors import DataError
from storybench.metrics.base import StoryMetric
from storybench.metrics.characters import CharacterAccuracy, CharacterF1, CountAccuracy
from storybench.metrics.record import FrameRecord
from storybench.metrics.reference import AntecedentAccuracy, AntecedentAccuracyStrict
from storybench.metrics.settings import SettingAccuracy
from storybench.perception.observation import Observation, Reading
from storybench.statistics.left_out import LeftOut
from storybench.story import Mention

if TYPE_CHECKING:
    import pandas

KINDS: tuple[type[StoryMetric], ...] = (
    CharacterAccuracy,
    CharacterF1,
    CountAccuracy,
    SettingAccuracy,
    AntecedentAccuracy,
    AntecedentAccuracyStrict,
)
NEEDED = ("story", "frame", "cluster", "expected", "sha256")
READ = ("predicted_counts", "setting_expected", "setting_predicted", "mentions")  # there if a classifier looked


def load_frames(folder: Path, stories: Collection[str] | None = None) -> pandas.DataFrame:
    """Return the frames table of a run or a row, sorted by story and frame.

    Args:
        folder: Where ``frames.parquet`` lies.
        stories: Keep only these.

    Raises:
        DataError: If there is none, or it lacks a column.
    """
    import pandas as pd

    path = folder / FRAMES
    if not path.is_file():
        raise DataError(f"'{folder}' has no {FRAMES}: its frames cannot be compared one by one.")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' is damaged: expected a Parquet table of frames.") from error
    if lacking := [column for column in NEEDED if column not in table]:
        raise DataError(f"'{path}' lacks {', '.join(lacking)}: it was written by another version; score the run again.")
    if stories is not None:
        table = table[table["story"].isin(list(stories))]
    return table.sort_values(["story", "frame"], kind="stable").reset_index(drop=True)


def has_readings(table: pandas.DataFrame) -> bool:
    """Return whether a classifier looked at the frames of a table."""
    return all(column in table for column in READ)


def characters_of(*tables: pandas.DataFrame) -> list[str]:
    """Return the characters that are expected or read in any of the tables, sorted."""
    names: set[str] = set()
    for table in tables:
        for read in table["predicted_counts"]:
            names |= set(json.loads(read))
        for expected in table["expected"]:
            names |= set(expected)
    return sorted(names)


def records(table: pandas.DataFrame, names: Sequence[str]) -> Iterator[list[FrameRecord]]:
    """Yield the judged frames of each story, as far as a table knows them.

    Args:
        table: With readings.
        names: The evaluator's characters; one that is never expected and never read changes no score.

    Raises:
        DataError: If a cell is not what it should be.
    """
    try:
        for _, story in table.groupby("story", sort=True):
            yield [_record(row, names) for row in story.to_dict("records")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"A frames table is damaged: a cell cannot be read ({error}).") from error


def scored(table: pandas.DataFrame, names: Sequence[str]) -> dict[str, LeftOut]:
    """Return each metric that a table determines, without each of its clusters."""
    metrics = [kind() for kind in KINDS]
    for story in records(table, names):
        for metric in metrics:
            metric.update(story)
    return {metric.name: found for metric in metrics if (found := metric.left_out()) is not None}


def directions() -> dict[str, bool]:
    """Return for each metric of :func:`scored` whether higher is better."""
    return {kind.name: kind.higher_is_better for kind in KINDS}


def _record(row: Mapping[str, Any], names: Sequence[str]) -> FrameRecord:
    counts = json.loads(row["predicted_counts"])
    reading = Reading({name: int(counts.get(name, 0)) for name in names}, row["setting_predicted"])
    mentions = tuple(_mention(each, int(row["frame"])) for each in json.loads(row["mentions"]))
    return FrameRecord(
        story=row["story"],
        frame=int(row["frame"]),
        cluster=row["cluster"],
        expected=tuple(row["expected"]),
        setting=row["setting_expected"],
        details={},
        mentions=mentions,
        seen=Observation(reading),
    )


def _mention(said: Mapping[str, Any], frame: int) -> Mention:
    surface = str(said["surface"])
    return Mention(
        frame,
        0,
        len(surface),
        surface,
        tuple(said["characters"]),
        "referential",
        distance=said["distance"],
        ambiguous=bool(said["ambiguous"]),
    )
