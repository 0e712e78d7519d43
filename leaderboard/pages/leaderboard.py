"""The board: one benchmark version, one text, every row with its interval."""

from __future__ import annotations

import streamlit as st

from leaderboard import arranging, cached, explained, text
from leaderboard.controls import URL, Choice, chosen, escape, fitting, titles
from leaderboard.sections import columns_of, download_buttons, level_filter, link_of_selection, pick_metric
from leaderboard.views import board, charts, points


def main() -> None:
    """Show the page."""
    choice = chosen()
    if choice is None:
        return
    metric = pick_metric(choice)
    names = filter_section(choice, metric)
    table, plots = st.tabs(["Table", "Charts"], key="show", on_change="rerun", bind=URL)
    if table.open:
        with table:
            table_section(choice, metric, names)
    if plots.open:  # not before: a browser takes seconds to load what draws charts, and the table would wait
        with plots:
            chart_section(choice, metric, names)


def filter_section(choice: Choice, metric: str | None) -> list[str]:
    """Show search and filters; return the names of the rows to show, in order."""
    left, middle, right = st.columns([3, 4, 2], vertical_alignment="bottom")
    query = left.text_input(
        "Search", key="q", bind=URL, placeholder="name; author; licence", help="Terms between ; are alternatives."
    )
    with middle:
        levels = level_filter()
    withdrawn = right.toggle("Withdrawn rows", value=True, key="withdrawn", bind=URL)
    everything = arranging.ordered(choice.tables, metric)
    shown = arranging.filtered(everything, query=query or "", levels=levels, withdrawn=withdrawn)
    hidden = len(everything) - len(shown)
    if hidden:
        note, button = st.columns([5, 1], vertical_alignment="center")
        note.info(f"{hidden} row{'s' if hidden > 1 else ''} hidden by filters.")
        button.button("Show all rows", on_click=show_all, width="stretch")
    return [str(name) for name in shown.index]


def show_all() -> None:
    """Clear every filter."""
    for key, value in (("q", ""), ("levels", list(text.LEVEL_WORDS)), ("withdrawn", True)):
        st.session_state[key] = value


def table_section(choice: Choice, metric: str | None, names: list[str]) -> None:
    """Show the table, what its columns mean, and the downloads."""
    ranking = cached.ranking(choice.benchmark, choice.text, metric or "")
    columns = columns_of(choice.tables)
    table = board.board_table(choice.tables, names, columns, ranking, titles(choice.tables))
    about = explained.explanations()
    help_of = {
        board.heading(name, higher_is_better=arranging.is_higher_better(choice.tables, name)): about[name].about
        for name in columns
        if name in about
    }
    event = st.dataframe(
        board.styled(table),
        hide_index=True,
        column_config=board.column_config(help_of),
        on_select="rerun",
        selection_mode="single-row",
        key=f"board-{hash(tuple(names))}",  # other rows are another table: a selection is a position
        placeholder="",
        height=fitting(len(table)),
    )
    link_of_selection(choice, names, event)
    st.caption(text.CELLS)
    for name, reason in sorted(ranking.unranked.items()):
        st.caption(f"{escape(name)} has no rank: {escape(reason)}.")
    download_buttons(choice, names)
    with st.expander("What every column says"):
        st.markdown(board.definitions(columns))


def chart_section(choice: Choice, metric: str | None, names: list[str]) -> None:
    """Show the chosen metric with intervals, and against drawing time."""
    if metric is None:
        return
    dots = points.of_metric(choice.tables, names, metric, titles(choice.tables))
    title = points.axis_title(choice.tables, metric)
    left, right = st.columns(2)
    left.subheader("Values and 95 % intervals")
    if len(dots) > charts.MAX_ROWS:
        left.caption(f"The first {charts.MAX_ROWS} rows of the table.")
    if not dots.empty:
        left.altair_chart(charts.whiskers(dots, title), alt=f"{title} of each model with its interval")
    right.subheader("Quality against time")
    timed, front = points.against_time(choice.tables, dots, metric)
    if timed.empty:
        right.caption("No row shown here has both a value and a drawing time.")
    else:
        right.altair_chart(charts.pareto(timed, front, title), alt=f"{title} against seconds a frame")
    right.caption(text.SPEED_CAVEAT)


main()
