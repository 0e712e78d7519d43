"""What pages read, kept between runs and keyed by content: a changed file is read again, an unchanged one never.

The only module besides pages and controls that knows Streamlit. What it returns is shared between sessions and must not
be changed in place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from leaderboard import browsing, comparing, data, story_text
from storybench.benchmark import load_benchmark
from storybench.board.ranking import Ranking
from storybench.board.row import Row
from storybench.story import Story

BOARD = "STORYBENCH_BOARD"  # environment: folder of the rows; the command sets it


class Texts(NamedTuple):
    """Captions of a benchmark's stories, or in one sentence why there are none."""

    stories: dict[str, tuple[browsing.Told, ...]]
    problem: str


def root() -> Path:
    """Return the folder of the board."""
    return Path(os.environ.get(BOARD) or data.RESULTS)


def tables(benchmark: str) -> data.BoardTables:
    """Return a benchmark version of the board."""
    return _tables(str(root()), benchmark, data.signature(root(), benchmark))


def ranking(benchmark: str, text: str, metric: str) -> Ranking:
    """Return the rank sets of the rows of one text under one metric."""
    return _ranking(str(root()), benchmark, text, metric, data.signature(root(), benchmark))


def differences(benchmark: str, text: str, names: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Return the paired differences of rows to the first of them."""
    mark = data.signature(root(), benchmark)
    return _differences(str(root()), benchmark, text, tuple(names), tuple(metrics), mark)


def frames(row: Row) -> pd.DataFrame:
    """Return one row a frame of a board row.

    Raises:
        DataError: If the table is missing or damaged.
    """
    stat = (row.folder / "frames.parquet").stat() if row.folder.is_dir() else None
    return _frames(str(row.folder), (stat.st_mtime_ns, stat.st_size) if stat else None)


def texts(benchmark: str, text: str) -> Texts:
    """Return the captions of all stories of a benchmark version."""
    return _texts(benchmark, text, os.environ.get(story_text.variable(load_benchmark(benchmark).dataset)))


def true_strip(benchmark: str, story: str) -> bytes:
    """Return the true frames of a story as WebP; drawn once.

    Raises:
        DataError: If the data set is not at hand, or has no pictures.
    """
    return _true_strip(benchmark, story)


@st.cache_resource(show_spinner=False, max_entries=6)
def _tables(folder: str, benchmark: str, mark: str) -> data.BoardTables:
    return data.load_tables(Path(folder), benchmark)


@st.cache_resource(show_spinner=False, max_entries=400)
def _ranking(folder: str, benchmark: str, text: str, metric: str, mark: str) -> Ranking:
    return comparing.rank_by(Path(folder), _tables(folder, benchmark, mark).of_text(text), metric)


@st.cache_resource(show_spinner=False, max_entries=200)
def _differences(
    folder: str, benchmark: str, text: str, names: tuple[str, ...], metrics: tuple[str, ...], mark: str
) -> pd.DataFrame:
    part = _tables(folder, benchmark, mark).of_text(text)
    return comparing.differences(Path(folder), part, names, metrics)


@st.cache_resource(show_spinner=False, max_entries=24)
def _frames(folder: str, mark: tuple[int, int] | None) -> pd.DataFrame:
    return Row(Path(folder)).frames()


@st.cache_resource(show_spinner=False, max_entries=4)
def _stories(benchmark: str, where: str | None) -> dict[str, Story]:
    return {story.id: story for story in story_text.stories_of(load_benchmark(benchmark))}


@st.cache_resource(show_spinner=False, max_entries=8)
def _texts(benchmark: str, text: str, where: str | None) -> Texts:
    from storybench.errors import StorybenchError

    try:
        mode = story_text.caption_mode(load_benchmark(benchmark), text)
        stories = _stories(benchmark, where)
    except StorybenchError as error:
        return Texts({}, str(error))
    return Texts({name: story_text.told(story, mode) for name, story in stories.items()}, "")


@st.cache_data(show_spinner=False, max_entries=3_000)
def _true_strip(benchmark: str, story: str) -> bytes:
    where = os.environ.get(story_text.variable(load_benchmark(benchmark).dataset))
    return story_text.true_strip(_stories(benchmark, where)[story])
