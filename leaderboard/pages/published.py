"""What papers published, apart from what was measured here."""

from __future__ import annotations

import streamlit as st

from leaderboard import text
from leaderboard.controls import fitting
from leaderboard.views import published


def main() -> None:
    """Show the page."""
    st.title("As published")
    st.warning(text.PUBLISHED)
    for table in published.tables():
        st.subheader(table.title)
        st.markdown(table.facts)
        st.dataframe(table.shown, hide_index=True, placeholder="", height=fitting(len(table.shown.data)))


main()
