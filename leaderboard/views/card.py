"""A model's card and how far its numbers were checked. All of it was written by submitters: every text is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from leaderboard.views.cells import count
from storybench.board.entry import LEVELS, Entry

STYLE = """<style>
.sb-card{margin:0 0 1rem;padding:0;display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
.sb-card{font-size:.92rem;line-height:1.45}
.sb-card dt{margin:0;padding:0;opacity:.75}.sb-card dd{margin:0;padding:0;overflow-wrap:anywhere}
</style>"""


def card(entry: Entry) -> str:
    """Return the card as HTML: links open without telling the other page where they came from."""
    its = entry.card
    told = {
        "Version": its.version,
        "Authors": ", ".join(its.authors),
        "Licence": its.licence,
        "Parameters": count(its.parameters) or "not stated",
        "Training data": its.training_data or "not stated",
        "Saw test stories": "yes" if its.saw_test_stories else "no",
        "Given besides captions and cast": "; ".join(its.oracle_inputs) or "nothing",
        "Seed": "not stated" if its.seed is None else str(its.seed),
        "Description": its.description,
    }
    items = [_item(name, html.escape(value)) for name, value in told.items() if value]
    links = ", ".join(
        f'<a href="{html.escape(link)}" rel="noopener noreferrer nofollow" target="_blank">{html.escape(name)}</a>'
        for name, link in its.links.items()
    )
    items += [_item("Links", links)] if links else []
    return f'{STYLE}<dl class="sb-card">{"".join(items)}</dl>'


def verification(entry: Entry) -> str:
    """Return the level, who did what, and what was found, as HTML."""
    its = entry.verification
    found = {
        "Level": f"{its.level}: {LEVELS[its.level]}",
        "Frames drawn by": its.sampled_by,
        "Scored by": its.scored_by,
        "Date": its.date,
        "Frames": _archive(entry),
        **{f"Found: {name}": value for name, value in evidence(its.evidence)},
    }
    return facts(found.items())


def facts(of: Iterable[tuple[str, str]]) -> str:
    """Return (name, value) pairs as HTML; empty values are left out."""
    items = "".join(_item(name, html.escape(value)) for name, value in of if value)
    return f'{STYLE}<dl class="sb-card">{items}</dl>'


def evidence(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a check found as (name, words), the first 40 facts."""
    for name, value in list(found.items())[:40]:
        if isinstance(value, bool):
            words = "yes" if value else "no"
        elif isinstance(value, int | float):
            words = f"{value:g}"
        elif isinstance(value, str):
            words = value
        elif isinstance(value, Mapping):
            words = ", ".join(f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in value.items())
        else:
            words = json.dumps(value, ensure_ascii=False)
        yield str(name).replace("_", " "), words[:1_000] or "nothing"


def _archive(entry: Entry) -> str:
    if entry.archive is None:
        return ""
    where = f", {entry.archive.url}" if entry.archive.url else ", kept by the board"
    return f"archive of {entry.archive.size / 1e6:.1f} MB, SHA-256 {entry.archive.sha256}{where}"


def _item(name: str, value: str) -> str:
    return f"<dt>{html.escape(name)}</dt><dd>{value}</dd>"
