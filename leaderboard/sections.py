"""Widgets of the Leaderboard page: its metric, filters, columns, downloads and the way to a row's own page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import streamlit as st

from leaderboard import arranging, explained, text
from leaderboard.controls import URL, Choice, escape, page_file, titles
from leaderboard.data import RANKED, WITHDRAWN, BoardTables

PREFERRED = ("antecedent_acc", "char_acc")  # what the board is sorted by at first: the first that any row has


def pick_metric(choice: Choice) -> str | None:
    """Show the selector of the metric that ranks the board; None where no row has a value."""
    options = arranging.metrics_with_values(choice.tables)
    if not options:
        st.info("No row has a value yet.")
        return None
    first = next((name for name in PREFERRED if name in options), options[0])
    about = explained.explanations()
    left, middle, right = st.columns([2, 1, 4], vertical_alignment="bottom")
    metric: str = left.selectbox("Rank by", options, index=options.index(first), key="metric", bind=URL)
    with middle.popover("Columns", width="stretch"):
        _column_pickers(choice.tables)
    if metric in about:
        right.caption(escape(about[metric].about))
    return metric


def columns_of(tables: BoardTables) -> list[str]:
    """Return the metrics chosen as columns, in the order of the records."""
    chosen = {name for group in explained.GROUPS for name in st.session_state.get(f"columns_{group}", ())}
    return [name for name in dict.fromkeys(tables.scores["metric"]) if name in chosen]


def _column_pickers(tables: BoardTables) -> None:
    """Show one picker a group; the board's headline metrics are chosen at first."""
    known = set(tables.scores["metric"])
    headline = set(explained.headline())
    for group, title in explained.GROUPS.items():
        options = [name for name in explained.group_members(group) if name in known]
        if options:
            st.pills(
                title,
                options,
                selection_mode="multi",
                default=[name for name in options if name in headline],
                key=f"columns_{group}",
                bind=URL,
            )


def level_filter() -> Sequence[str]:
    """Show the verification levels; return those to keep."""
    return st.pills(
        "Checked how far",
        list(text.LEVEL_WORDS),
        selection_mode="multi",
        default=list(text.LEVEL_WORDS),
        key="levels",
        bind=URL,
        help=text.COLUMNS["level"],
    )


def link_of_selection(choice: Choice, names: Sequence[str], event: Any) -> None:
    """Show the way to the page of the selected row."""
    chosen = [names[k] for k in event.selection.rows if k < len(names)]
    if not chosen:
        st.caption("Select a row to open its model, its stories, or a comparison with it.")
        return
    name = chosen[0]
    title = escape(titles(choice.tables)[name])
    model, stories, compare, _ = st.columns([2, 2, 2, 3])
    model.page_link(page_file("model"), label=f"{title}: page", query_params={"row": name})
    if choice.tables.rows.loc[name, "kind"] in (RANKED, WITHDRAWN):
        stories.page_link(page_file("stories"), label="Its stories", query_params={"models": [name]})
    compare.page_link(page_file("compare"), label="Compare with it", query_params={"rows": [name]})


def download_buttons(choice: Choice, names: Sequence[str]) -> None:
    """Show the downloads of the rows shown: full precision, all metrics, with fingerprint and protocol ids."""
    stem = f"{choice.benchmark}-{choice.text.replace(':', '-')}"
    left, right, _ = st.columns([1, 1, 4])
    left.download_button(
        "Download CSV",
        lambda: as_csv(choice.tables, names),
        f"{stem}.csv",
        "text/csv",
        key="csv",
        on_click="ignore",
        help=f"{len(names)} rows, every metric and its interval as fractions, fingerprint and protocol ids.",
        width="stretch",
    )
    right.download_button(
        "Download JSON",
        lambda: as_json(choice.tables, names),
        f"{stem}.json",
        "application/json",
        key="json",
        on_click="ignore",
        help="The same, one object a row.",
        width="stretch",
    )


def as_csv(tables: BoardTables, names: Sequence[str]) -> str:
    """Return the rows as CSV."""
    return arranging.csv(arranging.download(tables, names))


def as_json(tables: BoardTables, names: Sequence[str]) -> str:
    """Return the rows as a JSON array, one object a row; what is not there is null."""
    records = json.loads(arranging.download(tables, names).to_json(orient="records", double_precision=15))
    return json.dumps({"benchmark": tables.benchmark, "rows": records}, indent=2, ensure_ascii=False)
