"""Two to four models on the same stories: paired differences to the first, with intervals and a verdict in words."""

from __future__ import annotations

import streamlit as st

from leaderboard import arranging, cached, explained, text
from leaderboard.controls import URL, Choice, chosen, fitting, titles
from leaderboard.views import charts, paired, points

MOST = 4


def main() -> None:
    """Show the page."""
    choice = chosen()
    if choice is None:
        return
    names, metrics = pick(choice)
    if len(names) < 2:
        st.info("Choose two to four models; the first is what the others are compared with.")
        return
    table = cached.differences(choice.benchmark, choice.text, names, metrics)
    if table.empty:
        st.info("These models share no metric of those chosen.")
        return
    st.markdown(text.COMPARE)
    called = titles(choice.tables)
    st.dataframe(
        paired.shown(table, called),
        hide_index=True,
        placeholder="",
        column_config=paired.column_config(),
        height=fitting(len(table)),
    )
    for sentence in paired.summary(table, called):
        st.markdown(sentence)
    dots = points.of_differences(table, called)
    if not dots.empty:
        st.subheader("Differences and 95 % intervals")
        st.caption("Right of the dashed line the compared model is better, whatever the direction of the metric.")
        for unit, chart in charts.differences(dots).items():
            st.altair_chart(chart, alt=f"Paired differences with their intervals: {unit}")
    st.download_button("CSV", arranging.csv(table), "differences.csv", "text/csv", on_click="ignore")


def pick(choice: Choice) -> tuple[list[str], list[str]]:
    """Show the selectors; return the rows, base first, and the metrics."""
    options = [str(name) for name in arranging.ordered(choice.tables, None).index]
    left, right = st.columns(2)
    names = left.multiselect(
        "Models", options, max_selections=MOST, key="rows", bind=URL, help="The first is the base of all differences."
    )
    called = titles(choice.tables)
    if names:
        others = ", ".join(called[name] for name in names[1:]) or "nothing yet"
        left.caption(f"Base: {paired.escape(called[names[0]])}. Compared with it: {paired.escape(others)}.")
    known = [name for name in explained.explanations() if name in set(choice.tables.scores["metric"])]
    headline = [name for name in explained.headline() if name in known]
    metrics = right.multiselect("Metrics", known, default=headline, key="metrics", bind=URL)
    return names, metrics or headline


main()
