"""Paired differences as a table and in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from leaderboard.comparing import BETTER, OPEN, UNPAIRED, WORSE
from leaderboard.controls import escape
from leaderboard.views.cells import Shown, difference, heading, number

VERDICT_WORDS = {
    BETTER: "▲ better",
    WORSE: "▼ worse",
    OPEN: "○ no difference established",
    UNPAIRED: "cannot be paired",
}


def shown(table: pd.DataFrame, titles: Mapping[str, str]) -> Any:
    """Return the differences as a styled table, a row a metric and pair."""
    found = []
    for row in table.to_dict("records"):
        share = row["fraction"]
        unit = " pp" if share else ""
        interval = (
            f"[{difference(row['low'], fraction=share)}, {difference(row['high'], fraction=share)}]"
            if not pd.isna(row["low"])
            else ""
        )
        found.append(
            {
                "metric": heading(row["metric"], higher_is_better=row["higher_is_better"]),
                "compared": titles[row["other"]],
                "base": _value(row["base_value"], fraction=share),
                "value": _value(row["other_value"], fraction=share),
                "difference": None
                if pd.isna(row["value"])
                else Shown(row["value"], difference(row["value"], fraction=share) + unit),
                "95 % interval": interval,
                "p (Holm)": None if pd.isna(row["adjusted"]) else Shown(row["adjusted"], p_value(row["adjusted"])),
                "verdict": VERDICT_WORDS[row["verdict"]],
                "why not": row["reason"],
            }
        )
    frame = pd.DataFrame({name: pd.Series([row[name] for row in found], dtype=object) for name in found[0]})
    if not frame["why not"].any():
        frame = frame.drop(columns="why not")
    return frame.style.format(lambda value: getattr(value, "text", value), na_rep="")


def column_config() -> dict[str, Any]:
    """Return the help of the columns."""
    return {
        "base": st.column_config.NumberColumn("base", help="Value of the first model."),
        "value": st.column_config.NumberColumn("value", help="Value of the compared model."),
        "difference": st.column_config.NumberColumn(
            "difference", help="Compared less base; shares in percentage points."
        ),
        "p (Holm)": st.column_config.NumberColumn("p (Holm)", help="Two-sided, corrected for all rows of this table."),
        "verdict": st.column_config.TextColumn(
            "verdict", width=190, help="Of the compared model, at 5 % after the correction."
        ),
        "why not": st.column_config.TextColumn("why not", width="large"),
    }


def p_value(p: float) -> str:
    """Return a p-value for people."""
    return "< .001" if p < 0.001 else f"{p:.3f}"


def summary(table: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    """Return a Markdown sentence a compared model: on how many metrics what is established."""
    found = []
    for other, part in table.groupby("other", sort=False):
        words = []
        for verdict, phrase in ((BETTER, "better"), (WORSE, "worse"), (OPEN, OPEN)):
            metrics = part.loc[part["verdict"] == verdict, "metric"]
            if len(metrics):
                words.append(f"{phrase} on {', '.join(heading(m, higher_is_better=None) for m in metrics)}")
        base, compared = escape(titles[part["base"].iloc[0]]), escape(titles[str(other)])
        found.append(f"- **{compared}** against {base}: {'; '.join(words) or 'nothing can be paired'}.")
    return found


def _value(value: float, *, fraction: bool) -> Shown | None:
    return None if pd.isna(value) else Shown(value, number(value, fraction=fraction))
