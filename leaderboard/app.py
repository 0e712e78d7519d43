"""Navigation of the board. ``storybench leaderboard`` starts it by :mod:`leaderboard.served.board`.

The selectors of benchmark version and text belong to all pages about rows and so are shown here, not by the pages:
Streamlit forgets what a page's own widgets wrote into the address when another page is opened.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from leaderboard.controls import choose, page_file

HERE = Path(__file__).parent
PAGES = {  # file in pages/ -> title, and whether it is about the rows of one benchmark version
    "leaderboard": ("Leaderboard", True),
    "compare": ("Compare", True),
    "stories": ("Stories", True),
    "model": ("Model", True),
    "metrics": ("Metrics", True),
    "published": ("As published", False),
    "try_it": ("Try it", False),
    "submit": ("Submit", False),
    "changelog": ("Changelog", False),
}
FIRST = "leaderboard"  # shown without a path


def main() -> None:
    """Show the page that the address names."""
    # no icons by name: a browser would fetch them from another host
    st.set_page_config(page_title="storybench leaderboard", page_icon=str(HERE / "icon.webp"), layout="wide")
    there = {name: path for name in PAGES if Path(path := page_file(name)).is_file()}
    page = st.navigation(
        [st.Page(p, title=PAGES[name][0], url_path=name, default=name == FIRST) for name, p in there.items()],
        position="top",
    )
    if PAGES[page.url_path or FIRST][1]:
        st.title(page.title)
        choose()
    page.run()


if __name__ == "__main__":  # streamlit run leaderboard/app.py works too, but for the first address of a server
    main()
