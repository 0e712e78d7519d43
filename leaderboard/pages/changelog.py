"""What changed, as ``CHANGELOG.md`` has it."""

from __future__ import annotations

import streamlit as st

from leaderboard import explained, text


def main() -> None:
    """Show the page."""
    page = explained.document("CHANGELOG.md")
    if page is None:
        st.title("Changelog")
        st.info(text.NO_DOCUMENT.format(name="CHANGELOG.md"))
        return
    st.markdown(page.read_text().replace("$", r"\$"))


main()
