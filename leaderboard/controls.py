"""Widgets that every page shares. All state is in the address: a copied link opens the same view elsewhere.

Options are ids and not titles: Streamlit writes what an option is shown as into the address, and that must not change
with wording.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from leaderboard import cached, data
from leaderboard.data import BoardTables
from leaderboard.text import EMPTY

URL = "query-params"  # what Streamlit calls keeping a widget's value in the address
DEFAULT_TEXTS = ("referential", "explicit")
ESCAPED = r"\`*_{}[]<>()#+-.!|$:~"  # what means something in Streamlit's Markdown


class Choice(NamedTuple):
    """What a page is about."""

    benchmark: str
    text: str
    tables: BoardTables
    """Of this text alone."""


def choose() -> None:
    """Show the selectors of benchmark version and text mode, and what could not be read."""
    left, right, rest = st.columns([2, 2, 5], vertical_alignment="bottom")
    names = data.benchmarks(cached.root())
    benchmark = left.selectbox("Benchmark version", names, key="benchmark", bind=URL)
    tables = cached.tables(benchmark)
    right.selectbox("Text", texts(tables), key="text", bind=URL, help="Captions as the model got them.")
    version = data.known_benchmark(benchmark)
    about = f"{version.title}: {version.about}" if version else "No configuration describes this version."
    rest.caption(escape(about))
    report(tables)


def chosen() -> Choice | None:
    """Return what the selectors say; None, and a sentence on the page, where no row is of that kind."""
    benchmark, text = st.session_state["benchmark"], st.session_state["text"]
    tables = cached.tables(benchmark).of_text(text)
    if tables.rows.empty:
        st.info(EMPTY.format(benchmark=escape(benchmark), text=escape(text)))
        return None
    return Choice(benchmark, text, tables)


def texts(tables: BoardTables) -> list[str]:
    """Return the text modes of a benchmark version: those it states, and those that rows have."""
    version = data.known_benchmark(tables.benchmark)
    stated = list(version.texts) if version else list(DEFAULT_TEXTS)
    return list(dict.fromkeys([*stated, *sorted(tables.rows["text"].unique())]))


def report(tables: BoardTables) -> None:
    """Show the rows that could not be read, each with its sentence."""
    if tables.problems:
        lines = "\n".join(f"- **{escape(p.row)}**: {escape(p.sentence)}" for p in tables.problems[:20])
        more = f"\n\nand {len(tables.problems) - 20} more." if len(tables.problems) > 20 else ""
        st.warning(f"{len(tables.problems)} rows of this board have a problem:\n\n{lines}{more}")


def titles(tables: BoardTables) -> dict[str, str]:
    """Return row -> what people call it; the row's name is added where two rows share a title."""
    shown = tables.rows["title"]
    twice = set(shown[shown.duplicated(keep=False)])
    return {str(name): f"{title} ({name})" if title in twice else title for name, title in shown.items()}


def escape(text: str) -> str:
    """Return text that Streamlit's Markdown shows as it is."""
    return "".join(f"\\{c}" if c in ESCAPED else c for c in text).replace("\n", " ")


def page_file(name: str) -> str:
    """Return the script of a page, as links and the navigation name it."""
    return str(Path(__file__).parent / "pages" / f"{name}.py")


def fitting(rows: int, most: int = 20) -> int:
    """Return the height in pixels of a table that shows up to ``most`` rows without scrolling."""
    return 38 + 35 * min(max(1, rows), most)


def is_dark() -> bool:
    """Return whether the reader's page is dark."""
    return st.context.theme.type == "dark"
