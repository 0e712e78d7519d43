"""What every metric says, how it is computed, what a hopeless and a perfect model get, and how noisy it is here."""

from __future__ import annotations

import streamlit as st

from leaderboard import cached, explained, text
from leaderboard.controls import fitting
from leaderboard.views import metric_pages


def main() -> None:
    """Show the page."""
    st.markdown(text.METRICS)
    tables = cached.tables(st.session_state["benchmark"]).of_text(st.session_state["text"])
    for group, title in explained.GROUPS.items():
        st.subheader(title, anchor=group)
        table = metric_pages.overview(tables, explained.group_members(group))
        st.dataframe(
            table,
            hide_index=True,
            placeholder="",
            column_config=metric_pages.column_config(),
            height=fitting(len(table)),
        )
        with st.expander(f"Formulas and known failures: {title.lower()}"):
            for markdown in metric_pages.formulas(explained.group_members(group)):
                st.markdown(markdown)
    st.subheader("Does each metric measure what it says?", anchor="audit")
    figure = explained.document("docs", "audit", "audit.png")
    if figure is None:
        st.info(text.NO_DOCUMENT.format(name="docs/audit"))
        return
    st.markdown(text.AUDIT)
    st.image(figure, alt="Response of every metric to ten corruptions of true frames")


main()
