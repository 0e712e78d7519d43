"""Stories as HTML: captions with their references marked, frames of each model under them, and what was seen in each.

Every text comes from data and is escaped. References are marked by colour, underline and brackets; a mark below a frame
is a sign and a name before it is a colour. Colours are those of the page: the fragment is right on light and dark.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

from leaderboard.browsing import Judged, Reference, Told

STYLE = """<style>
.sb-story{margin:0 0 .4rem;max-width:960px}
.sb-row{display:grid;gap:0;align-items:start;min-width:520px}
.sb-cell{padding:.15rem .35rem;font-size:.86rem;line-height:1.35;overflow-wrap:anywhere}
.sb-label{padding:.45rem .35rem .15rem;font-size:.86rem;font-weight:600}
.sb-strip{display:block;width:100%;height:auto;border-radius:4px}
.sb-scroll{overflow-x:auto}
.sb-ref{color:#b85400;text-decoration:underline;text-underline-offset:2px;font-weight:600;cursor:help}
.sb-who{color:#b85400;font-size:.8rem}
.sb-yes{color:#00795a}.sb-no{color:#b3261e;font-weight:600}.sb-more{color:#a0407c}
.sb-why{opacity:.75;font-size:.78rem}
</style>"""
DARK = """<style>
.sb-ref,.sb-who{color:#f0a35e}.sb-yes{color:#2fc79a}.sb-no{color:#ff8a80}.sb-more{color:#e39ac7}
</style>"""


class Reel(NamedTuple):
    """One row of frames of a story: its label, the strip as WebP (None: why there is none), and what was seen."""

    label: str
    webp: bytes | None
    instead: str
    judged: Sequence[Judged]


def style(*, dark: bool) -> str:
    """Return the style sheet of the fragments."""
    return STYLE + (DARK if dark else "")


def story(name: str, captions: Sequence[Told], reels: Sequence[Reel], frames: int) -> str:
    """Return one story as HTML.

    Args:
        name: Story id.
        captions: One a frame; empty where the captions are not at hand.
        reels: From top to bottom.
        frames: Number of frames.
    """
    grid = f'style="grid-template-columns:repeat({frames},minmax(0,1fr))"'
    parts = [f'<div class="sb-story" role="group" aria-label="story {_e(name)}"><div class="sb-scroll">']
    if captions:
        cells = "".join(f'<div class="sb-cell">{caption(told)}</div>' for told in captions)
        parts.append(f'<div class="sb-row" {grid}>{cells}</div>')
    for reel in reels:
        parts.append(f'<div class="sb-label">{_e(reel.label)}</div>')
        if reel.webp is None:
            parts.append(f'<div class="sb-cell sb-why">{_e(reel.instead)}</div>')
        else:
            data = base64.b64encode(reel.webp).decode()
            alt = f"{frames} frames by {reel.label}"
            parts.append(f'<img class="sb-strip" alt="{_e(alt)}" src="data:image/webp;base64,{data}">')
        if reel.judged:
            cells = "".join(f'<div class="sb-cell">{marks(judged)}</div>' for judged in reel.judged)
            parts.append(f'<div class="sb-row" {grid}>{cells}</div>')
    return "".join(parts) + "</div></div>"


def caption(told: Told) -> str:
    """Return a caption with its references marked, and below it whom each means."""
    parts, at = [], 0
    for reference in sorted(told.references):
        if reference.start < at:  # overlapping spans are data's fault: the first wins
            continue
        parts += [_e(told.caption[at : reference.start]), _marked(told.caption, reference)]
        at = reference.end
    parts.append(_e(told.caption[at:]))
    means = "; ".join(f"{r.surface} = {joined(r.characters)}" for r in sorted(told.references))
    return "".join(parts) + (f'<div class="sb-who">{_e(means)}</div>' if means else "")


def marks(judged: Judged) -> str:
    """Return what was seen in a frame: a sign and a name for each character, then the reason in words."""
    if judged.predicted is None:
        return '<span class="sb-why">not read</span>'
    parts = [
        f'<span class="{"sb-yes" if seen else "sb-no"}">{"✓" if seen else "✗"} {_e(name)}</span>'
        for name, seen in judged.marks
    ]
    parts += [f'<span class="sb-more">+ {_e(name)}</span>' for name in judged.uninvited]
    if not parts:
        parts = ['<span class="sb-yes">✓ nobody</span>']
    why = f'<div class="sb-why">{_e(judged.reason)}</div>' if judged.reason else ""
    return " ".join(parts) + why


def joined(names: Sequence[str]) -> str:
    """Return ``Zara``, ``Zara and Finn``, ``Zara, Finn and Otto``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nobody"


def _marked(text: str, reference: Reference) -> str:
    distance = f", named {reference.distance} frame{'s' if reference.distance != 1 else ''} before"
    hover = f"means {joined(reference.characters)}" + (distance if reference.distance else "")
    hover += "; the pronoun alone does not decide" if reference.ambiguous else ""
    return f'<span class="sb-ref" title="{_e(hover)}">[{_e(text[reference.start : reference.end])}]</span>'


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)
