"""The papers' own numbers as tables for people."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from leaderboard.controls import escape
from leaderboard.papers import LOWER, SHARES, PublishedTable, published_tables
from leaderboard.views.cells import Shown

FOUR_DIGITS = ("bleu4", "cider", "clip_t_i", "clip_i_i")  # as the paper prints them


class ShownTable(NamedTuple):
    """One table, ready to show."""

    title: str
    facts: str
    """Markdown: protocol, sources and caveats."""
    shown: Any
    """A styled table."""


def tables() -> list[ShownTable]:
    """Return every published table in its own order."""
    return [ShownTable(escape(t.title), facts(t), shown(t)) for t in published_tables()]


def facts(table: PublishedTable) -> str:
    """Return what one must know of a table, as Markdown."""
    length = f", {table.frames} frames a story" if table.frames else ""
    sources = "; ".join(
        f"[{escape(source.title)}]({source.link})" if source.link else escape(source.title)
        for source in table.sources.values()
    )
    lines = [
        f"Data {escape(table.dataset)}, text {escape(table.text)}{length}. Protocol: {escape(table.protocol)}. "
        f"Source: {sources}.",
        *(f"- {escape(caveat)}" for caveat in table.caveats),
    ]
    return lines[0] + "\n\n" + "\n".join(lines[1:])


def shown(table: PublishedTable) -> Any:
    """Return the rows, shares in percent; header clicks sort by value."""
    frame = table.frame()
    columns: dict[str, Any] = {}
    for name in frame:
        if name in ("model", "source", "note"):
            columns[name] = frame[name]
            continue
        arrow = " ↓" if name in LOWER else " ↑" if table.title.find("references") < 0 else ""
        scale = 100.0 if name in SHARES else 1.0
        form = ".4f" if name in FOUR_DIGITS else ".2f"
        columns[name.replace("_", " ") + arrow] = pd.Series(
            [None if pd.isna(v) else Shown(v, f"{v * scale:{form}}") for v in frame[name]], dtype=object
        )
    return pd.DataFrame(columns).style.format(lambda value: getattr(value, "text", value), na_rep="")
