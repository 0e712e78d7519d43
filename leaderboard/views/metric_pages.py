"""The metrics as tables: floor, ceiling and noise on this board, and formulas in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from leaderboard.controls import escape
from leaderboard.data import RANKED, BoardTables
from leaderboard.explained import explanations
from leaderboard.views.cells import number


def overview(tables: BoardTables, metrics: Sequence[str]) -> pd.DataFrame:
    """Return one row a metric: direction, what it says, floor, ceiling, noise and best value of the ranked rows.

    Noise is half of the 95 % interval, the median over ranked rows. Cells are text, empty where no row has them.
    """
    ranked = set(tables.rows.index[tables.rows["kind"] == RANKED])
    scores = tables.scores[tables.scores["row"].isin(ranked) & tables.scores["metric"].isin(set(metrics))]
    about = explanations()
    return pd.DataFrame([_row(name, about[name].about, scores[scores["metric"] == name]) for name in metrics])


def _row(name: str, about: str, of: pd.DataFrame) -> dict[str, str]:
    run = of[of["value"].notna()]
    row = {"metric": name, "better": "", "says": about, "floor": "", "ceiling": "", "noise": "", "rows": "0 of 0"}
    row |= {"n counts": "", "protocol": "", "not run because": ""}
    if of.empty:
        return row
    row |= {"rows": f"{len(run)} of {len(of)}", "n counts": str(of["unit"].iloc[0])}
    row["better"] = "higher ↑" if of["higher_is_better"].iloc[0] else "lower ↓"
    missing = of.loc[of["value"].isna() & (of["reason"] != ""), "reason"]
    row["not run because"] = "; ".join(missing.unique()[:2])
    if run.empty:
        return row
    share, typical = bool(run["fraction"].iloc[0]), float(run["value"].median())
    noise = float(((run["high"] - run["low"]) / 2).median())
    for column, value in (("floor", run["floor"].median()), ("ceiling", run["ceiling"].median()), ("noise", noise)):
        row[column] = number(value, fraction=share, digits_of=typical)
    row["protocol"] = ", ".join(run["protocol"].unique()[:3])
    return row


def column_config() -> dict[str, Any]:
    """Return the help of the columns."""
    return {
        "says": st.column_config.TextColumn("says", width="large"),
        "floor": st.column_config.TextColumn("floor", help="True frames of other stories, or a guesser."),
        "ceiling": st.column_config.TextColumn("ceiling", help="True frames through the same networks."),
        "noise": st.column_config.TextColumn(
            "noise", help="Half of the 95 % interval, median over the ranked rows of this board."
        ),
        "rows": st.column_config.TextColumn("rows", help="Ranked rows that have a value."),
    }


def formulas(metrics: Sequence[str]) -> list[str]:
    """Return one Markdown paragraph a metric: formula, how to read it, known failure."""
    about = explanations()
    found = []
    for name in metrics:
        its = about[name]
        lines = [f"**{escape(name)}** {escape(its.about)}"]
        if its.formula:
            lines += [f"Formula: {its.formula}", f"Reading: {its.reading}"]
            lines += [f"Known failure: {its.failure}"] if its.failure else []
        found.append("  \n".join(line.replace("$", r"\$") for line in lines))
    return found
