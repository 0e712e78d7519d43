"""One row in full: card, how far it was checked, every metric, where it fails, and how to get the same numbers."""

from __future__ import annotations

import streamlit as st

from leaderboard import arranging, cached, text
from leaderboard.controls import URL, Choice, chosen, escape, fitting, page_file, titles
from leaderboard.data import RANKED, WITHDRAWN
from leaderboard.views import card, charts, record
from storybench.board.row import Row
from storybench.records.record import RunRecord


def main() -> None:
    """Show the page."""
    choice = chosen()
    if choice is None:
        return
    options = [str(name) for name in arranging.ordered(choice.tables, "antecedent_acc").index]
    ranked = set(choice.tables.rows.index[choice.tables.rows["kind"] == RANKED])
    first = next((k for k, option in enumerate(options) if option in ranked), 0)
    name = st.selectbox("Row", options, index=first, key="row", bind=URL)
    row = Row(cached.root() / choice.benchmark / name)
    st.header(escape(titles(choice.tables)[name]))
    warnings(row)
    left, right = st.columns(2)
    left.subheader("Card")
    left.html(card.card(row.entry))
    right.subheader("How far it was checked")
    right.html(card.verification(row.entry))
    links(choice, name)
    metrics_section(choice, name)
    parts_section(choice, name, row.record)
    provenance_section(row)


def warnings(row: Row) -> None:
    """Show what one must know before reading a number."""
    entry = row.entry
    if entry.withdrawn:
        st.error(f"Withdrawn: {escape(entry.withdrawn)}")
    if entry.pinned:
        st.info(f"A reference row, the {entry.pinned}: it is shown the truth and never ranked.")
    if entry.card.saw_test_stories:
        st.error(text.SAW_TEST)
    if entry.card.oracle_inputs:
        st.warning(text.ORACLE + escape("; ".join(entry.card.oracle_inputs)))
    if entry.warnings:
        st.warning("The check of its archive remarked:\n\n" + "\n".join(f"- {escape(w)}" for w in entry.warnings))


def links(choice: Choice, name: str) -> None:
    """Show the ways to other pages about the row."""
    stories, compare, _ = st.columns([1, 1, 4])
    if choice.tables.rows.loc[name, "kind"] in (RANKED, WITHDRAWN):
        stories.page_link(page_file("stories"), label="Its stories", query_params={"models": [name]})
    compare.page_link(page_file("compare"), label="Compare with it", query_params={"rows": [name]})


def metrics_section(choice: Choice, name: str) -> None:
    """Show every metric, run or not."""
    table = record.metrics(choice.tables.scores[choice.tables.scores["row"] == name])
    run = table["value"] != ""
    st.subheader("Metrics")
    st.caption(f"{int(run.sum())} of {len(table)} were run. {text.CELLS}")
    st.dataframe(table[run].drop(columns="not run because"), hide_index=True, height=fitting(int(run.sum())))
    if not run.all():
        with st.expander(f"Not run ({int((~run).sum())}), and why"):
            st.dataframe(table.loc[~run, ["metric", "not run because", "says"]], hide_index=True)


def parts_section(choice: Choice, name: str, its: RunRecord) -> None:
    """Show where the row is right: by distance, pronoun, stratum and character."""
    left, right = st.columns(2)
    distance = record.by_distance(its)
    if not distance.empty:
        left.subheader("References by distance")
        left.altair_chart(
            charts.curve(distance, "frames since the character was named", "antecedent acc (%)"),
            alt="Antecedent accuracy by distance with intervals",
        )
    for title, points in (
        ("References by pronoun", record.by_pronoun(its)),
        ("Strata", record.strata(choice.tables.scores[choice.tables.scores["row"] == name])),
    ):
        if not points.empty:
            right.subheader(title)
            right.altair_chart(charts.whiskers(points, "%"), alt=f"{title} with intervals")
    characters = record.by_character(its)
    if not characters.empty:
        left.subheader("By character")
        percent = st.column_config.NumberColumn(format="%.1f")
        left.dataframe(characters, hide_index=True, column_config=dict.fromkeys(("precision", "recall", "F1"), percent))


def provenance_section(row: Row) -> None:
    """Show how to get the same numbers."""
    st.subheader("The same numbers again")
    st.code(row.entry.card.command or row.record.command, language="bash", wrap_lines=True)
    st.code(f"storybench reproduce {row.id}", language="bash", wrap_lines=True)
    st.html(card.facts(record.provenance(row.record)))


main()
