"""The table of the board: rows as given, ranks and numbers that sort by value and read as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from leaderboard.arranging import PLACES
from leaderboard.controls import escape
from leaderboard.data import CEILING, FLOOR, RANKED, REFERENCE, WITHDRAWN, BoardTables
from leaderboard.explained import explanations
from leaderboard.text import COLUMNS, LEVEL_WORDS
from leaderboard.views.cells import Shown, cell, count, heading
from storybench.board.ranking import Ranking

RANK, MODEL, LEVEL, SPEED, PARAMETERS, DATE = "rank", "model", "level", "s/frame", "parameters", "date"
KIND_WORDS = {CEILING: "ceiling", FLOOR: "floor", REFERENCE: "reference", WITHDRAWN: "withdrawn"}
LAST = 1e9  # sorts below every rank


def board_table(
    tables: BoardTables, order: Sequence[str], metrics: Sequence[str], ranking: Ranking, titles: Mapping[str, str]
) -> pd.DataFrame:
    """Return the table, one row a board row in the given order; cells are :class:`Shown` or text, None where not run.

    Args:
        tables: Of one text mode.
        order: Names of the rows to show.
        metrics: Columns to show.
        ranking: Of the metric that the board is sorted by.
        titles: Row -> what people call it.
    """
    scores = tables.scores.set_index(["metric", "row"])
    higher = scores["higher_is_better"].groupby("metric").first()
    rows = tables.rows.loc[list(order)]
    columns: dict[str, list[Any]] = {
        RANK: [_rank(row, ranking) for row in rows.to_dict("records")],
        MODEL: [titles[name] for name in order],
        LEVEL: [LEVEL_WORDS[level] for level in rows["level"]],
    }
    for metric in metrics:
        direction = bool(higher[metric]) if metric in higher.index else None
        of = scores.loc[metric].to_dict("index") if metric in higher.index else {}
        columns[heading(metric, higher_is_better=direction)] = [_score(of.get(name)) for name in order]
    columns[SPEED] = [None if pd.isna(s) else Shown(s, f"{s:.2f}") for s in rows["seconds_per_frame"]]
    columns[PARAMETERS] = [None if pd.isna(n) else Shown(n, count(int(n))) for n in rows["parameters"]]
    columns[DATE] = rows["date"].tolist()
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})


def styled(table: pd.DataFrame) -> Any:
    """Return the table so that Streamlit sorts cells by value and shows their text."""
    return table.style.format(lambda value: getattr(value, "text", value), na_rep="")


def column_config(metrics: Mapping[str, str]) -> dict[str, Any]:
    """Return widths and help of the columns.

    Args:
        metrics: Heading of a metric -> what it says.
    """
    config: dict[str, Any] = {
        RANK: st.column_config.NumberColumn(RANK, help=COLUMNS[RANK], width=76, pinned=True),
        MODEL: st.column_config.TextColumn(MODEL, help=COLUMNS[MODEL], width=210, pinned=True),
        LEVEL: st.column_config.TextColumn(LEVEL, help=COLUMNS[LEVEL], width=110),
        SPEED: st.column_config.NumberColumn(SPEED, help=COLUMNS[SPEED], width=70),
        PARAMETERS: st.column_config.NumberColumn(PARAMETERS, help=COLUMNS[PARAMETERS], width=96),
        DATE: st.column_config.TextColumn(DATE, help=COLUMNS[DATE], width=96),
    }
    return config | {name: st.column_config.NumberColumn(name, help=about) for name, about in metrics.items()}


def _rank(row: Mapping[str, Any], ranking: Ranking) -> Shown:
    """Return the rank set of a row, or in a word why it has none; it sorts by best rank, then worst."""
    if row["kind"] != RANKED:
        return Shown(-1.0 if row["kind"] == CEILING else LAST + PLACES[row["kind"]], KIND_WORDS[row["kind"]])
    found = ranking.ranks.get(row["name"])
    return Shown(LAST, "not ranked") if found is None else Shown(found.best + found.worst / 1e5, str(found))


def _score(score: Mapping[str, Any] | None) -> Shown | None:
    if score is None or pd.isna(score["value"]):
        return None
    return Shown(score["value"], cell(score))


def definitions(metrics: Sequence[str]) -> str:
    """Return what every column says, as a Markdown list: the table's own, then the metrics chosen."""
    about = explanations()
    own = [f"- **{name}**: {says}" for name, says in COLUMNS.items()]
    chosen = [
        f"- **{name.replace('_', ' ')}**: {about[name].about}"
        + (f". {escape(about[name].formula)}" if about[name].formula else "")
        for name in metrics
        if name in about
    ]
    return "\n".join([*own, *chosen])
