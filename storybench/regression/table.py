"""A report for people, as rich prints it; :func:`as_text` gives the same as plain text."""

from __future__ import annotations

import io

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

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

STYLE = {"regression": "bold red", "unclear": "yellow", "improved": "green", "held": ""}
TEXT_WIDTH = 180


def rendered(report: Report) -> RenderableType:
    """Return the report as something rich can print."""
    parts: list[RenderableType] = [Text(f"{label:<5}{said}") for label, said in who(report)]
    parts.append(Text(f"on   {stories(report)}"))
    if report.gated:
        parts.append(_gated(report))
    others = [each for each in report.compared if each.margin is None]
    if others:
        parts.append(_others(others))
    parts += [Text(f"note: {each.metric}: {said}") for each in report.gated if (said := note(each))]
    parts += [Text(f"not compared: {plain(each.metric)}: {plain(each.reason)}") for each in report.not_compared]
    if (drawing := speed(report)) is not None:
        parts.append(Text(drawing))
    parts.append(Text(terms(report)))
    parts.append(Text(headline(report), style="bold red" if report.status else "bold"))
    return Group(*parts)


def as_text(report: Report) -> str:
    """Return the report as plain text."""
    screen = Console(file=io.StringIO(), width=TEXT_WIDTH, color_system=None)
    screen.print(rendered(report), soft_wrap=True)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def _gated(report: Report) -> Table:
    """Return the metrics that are judged."""
    table = _table(f"new - base [{percent(report.level)} %]", "gated metric")
    for title, side in (("margin", "right"), ("verdict", "left"), ("units", "right")):
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    for each in report.gated:
        said = each.verdict or "held"
        last = size(each, each.margin or 0.0), Text(said, STYLE[said]), str(each.difference.units)
        table.add_row(*_cells(each), *last)
    return table


def _others(compared: list[Compared]) -> Table:
    """Return the metrics that are shown only."""
    table = _table(f"new - base [{percent(LEVEL)} %]", "for information")
    for each in compared:
        table.add_row(*_cells(each))
    return table


def _table(difference: str, first: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True, min_width=28)
    for title in ("base", "new", difference):
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _cells(each: Compared) -> list[str]:
    name = f"{escape(plain(each.metric))} {arrow(each)}"
    return [name, value(each, each.base), value(each, each.new), interval(each)]
