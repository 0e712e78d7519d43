"""What charts draw, taken from the tables: shares in percent, a word for the kind of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from leaderboard.arranging import is_higher_better, pareto_front
from leaderboard.data import RANKED, BoardTables
from leaderboard.views.board import KIND_WORDS
from leaderboard.views.cells import cell, difference, heading, interval


def axis_title(tables: BoardTables, metric: str) -> str:
    """Return the name of a metric with its arrow and, for a share, its unit."""
    of = tables.scores[tables.scores["metric"] == metric]
    share = not of.empty and bool(of["fraction"].iloc[0])
    return heading(metric, higher_is_better=is_higher_better(tables, metric)) + (" (%)" if share else "")


def of_metric(tables: BoardTables, names: Sequence[str], metric: str, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return a point a row that has a value: row, label, value, low, high, kind and text, in the given order."""
    scores = tables.scores[tables.scores["metric"] == metric].set_index("row")
    found = []
    for name in names:
        if name not in scores.index or pd.isna(scores.loc[name, "value"]):
            continue
        score = scores.loc[name].to_dict()
        scale = 100.0 if score["fraction"] else 1.0
        kind = tables.rows.loc[name, "kind"]
        found.append(
            {
                "row": name,
                "label": titles[name],
                "value": score["value"] * scale,
                "low": score["low"] * scale,
                "high": score["high"] * scale,
                "kind": tables.rows.loc[name, "level"] if kind == RANKED else KIND_WORDS[kind],
                "text": f"{cell(score)} {interval(score)}",
            }
        )
    return pd.DataFrame(found, columns=["row", "label", "value", "low", "high", "kind", "text"])


def against_time(tables: BoardTables, dots: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ranked points that have a drawing time, and the front of them, cheapest first."""
    rows = tables.rows.loc[dots["row"]]
    keep = (rows["kind"] == RANKED) & rows["seconds_per_frame"].gt(0)
    timed = dots.assign(seconds=rows["seconds_per_frame"].to_numpy())[keep.to_numpy()].reset_index(drop=True)
    front = pareto_front(timed, "seconds", "value", higher_is_better=is_higher_better(tables, metric))
    return timed, timed.loc[front]


def of_differences(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return a point a paired difference that has a value: columns of :func:`leaderboard.views.charts.differences`.

    Differences are turned so that right of zero is better for the compared model.
    """
    found = []
    for row in table.dropna(subset=["value"]).to_dict("records"):
        turn = (1 if row["higher_is_better"] else -1) * (100.0 if row["fraction"] else 1.0)
        low, high = sorted((row["low"] * turn, row["high"] * turn))
        name = heading(row["metric"], higher_is_better=None)
        found.append(
            {
                "row": f"{name}: {titles[row['other']]}",
                "metric": name,
                "label": titles[row["other"]],
                "value": row["value"] * turn,
                "low": low,
                "high": high,
                "verdict": row["verdict"],
                "unit": "percentage points, better →" if row["fraction"] else f"{name}, own unit, better →",
                "text": difference(row["value"], fraction=row["fraction"]),
            }
        )
    return pd.DataFrame(found, columns=["row", "metric", "label", "value", "low", "high", "verdict", "unit", "text"])
