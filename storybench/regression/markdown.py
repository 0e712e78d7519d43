r"""A report as Markdown, for a pull request or a job's summary.

What comes from a record is text, whatever it holds: characters that Markdown or HTML give a meaning are written as
entities or escaped, so that a model called ``|<img>`` makes neither a cell nor a picture.
"""

from __future__ import annotations

import html
import re

from storybench.regression.comparing import Compared, Report
from storybench.regression.wording import (
    arrow,
    headline,
    interval,
    note,
    percent,
    plain,
    size,
    speed,
    stories,
    terms,
    value,
    who,
)
from storybench.statistics.statistic import LEVEL

MARKS = {"regression": "❌ regression", "unclear": "⚠️ unclear", "improved": "✅ improved", "held": "✅ held"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>:])")


def escaped(text: object) -> str:
    """Return text that Markdown shows as it is: on one line, nothing in it a cell, a link, a mention or a tag."""
    safe = html.escape(plain(text), quote=False).replace("@", "&#64;")
    return "".join(part if part.startswith("&") else _SPECIAL.sub(r"\\\1", part) for part in _entities(safe))


def markdown(report: Report) -> str:
    """Return the report."""
    lines = [f"### storybench gate: {escaped(headline(report))}", ""]
    lines += [f"- {label}: {escaped(said)}" for label, said in who(report)]
    lines += [f"- on: {escaped(stories(report))}", f"- {escaped(terms(report))}"]
    if (said := speed(report)) is not None:
        lines.append(f"- {escaped(said)}")
    lines.append("")
    if report.gated:
        head = ["gated metric", "base", "new", f"new - base [{percent(report.level)} %]", "margin", "units", "verdict"]
        rows = [
            [*_cells(each), size(each, each.margin or 0.0), str(each.difference.units), MARKS[each.verdict or "held"]]
            for each in report.gated
        ]
        lines += [*_table(head, rows), ""]
    lines += [f"- {escaped(each.metric)}: {escaped(said)}" for each in report.gated if (said := note(each))]
    lines += [f"- not compared: {escaped(each.metric)}: {escaped(each.reason)}" for each in report.not_compared]
    others = [each for each in report.compared if each.margin is None]
    if others:
        head = ["metric", "base", "new", f"new - base [{percent(LEVEL)} %]"]
        lines += ["", "<details><summary>For information</summary>", "", *_table(head, [_cells(e) for e in others])]
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip() + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    align = ["---"] + ["--:"] * (len(head) - 1)
    return ["| " + " | ".join(cells) + " |" for cells in ([escaped(cell) for cell in head], align, *rows)]


def _cells(each: Compared) -> list[str]:
    name = f"{escaped(each.metric)} {arrow(each)}"
    return [name, value(each, each.base), value(each, each.new), interval(each)]


def _entities(text: str) -> list[str]:
    """Return the text cut at its entities, which escaping must not touch."""
    return re.split(r"(&(?:#\d+|\w+);)", text)
