"""A sheet as Markdown for a README, as CSV for a spreadsheet and as JSON for a program."""

from __future__ import annotations

import html
import json
import math
from typing import Any

import pandas as pd

from leaderboard import arranging
from leaderboard.data import CEILING, RANKED, WITHDRAWN
from leaderboard.export.pages import KINDS, LEGEND, VERIFIED
from leaderboard.export.sheets import Sheet
from leaderboard.views.cells import cell, heading

SPECIAL = r"\`*_{}[]<>#|~$!"  # what means something in Markdown within a cell; < > & become entities


def markdown(sheet: Sheet) -> str:
    """Return title, table and legend."""
    metrics = [escaped(heading(m, higher_is_better=sheet.is_higher_better(m))) for m in sheet.metrics]
    lines = [["rank", "model", "checked", *metrics, "s/frame"], ["--:", "---", "---", *["--:"] * (len(metrics) + 1)]]
    lines += [_cells(sheet, row) for row in sheet.rows.to_dict("records")]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    by = f" Ranked by {escaped(sheet.ranked_by)}." if sheet.ranked_by else ""
    return f"### {escaped(sheet.title)}, {escaped(sheet.text)} text\n\n{table}\n\n{LEGEND}{by}\n"


def csv(sheet: Sheet) -> str:
    """Return every fact and score of every row; a text that a spreadsheet would run begins with an apostrophe."""
    table = arranging.download(sheet.tables, [str(name) for name in sheet.rows.index])
    table.insert(0, "rank", [str(sheet.ranking.ranks.get(name, "")) for name in table.index])
    return arranging.csv(table)


def as_json(sheet: Sheet) -> str:
    """Return the same as JSON: shares are fractions, what was not run is null with its reason."""
    rows = []
    for row in sheet.rows.to_dict("records"):
        ranks = sheet.ranking.ranks.get(row["name"])
        scores = {
            metric: {k: _plain(v) for k, v in score.items() if k not in ("row", "metric")}
            for metric, score in sheet.scores[row["name"]].items()
        }
        rank = None if ranks is None else {"best": ranks.best, "worst": ranks.worst}
        rows.append({**{k: _plain(v) for k, v in row.items()}, "rank": rank, "scores": scores})
    whole = {
        "benchmark": sheet.benchmark,
        "title": sheet.title,
        "text": sheet.text,
        "ranked_by": sheet.ranked_by,
        "unranked": dict(sorted(sheet.ranking.unranked.items())),
        "rows": rows,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def escaped(text: str) -> str:
    """Return plain text as Markdown that shows it, on one line, in a cell of a table."""
    whole = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{c}" if c in SPECIAL else c for c in whole)


def _cells(sheet: Sheet, row: dict[str, Any]) -> list[str]:
    kind = row["kind"]
    note = f"withdrawn: {row['withdrawn']}" if kind == WITHDRAWN else KINDS[kind]
    name = escaped(row["title"]) + (f" ({escaped(note)})" if note else "")
    scores = sheet.scores[row["name"]]
    values = [cell(scores[m]) if m in scores else "" for m in sheet.metrics]
    seconds = "" if pd.isna(row["seconds_per_frame"]) else f"{row['seconds_per_frame']:.2f}"
    level = "" if kind == CEILING else VERIFIED.get(row["level"], row["level"])
    rank = str(sheet.ranking.ranks.get(row["name"], "")) if kind == RANKED else ""
    return [rank, name, escaped(level), *values, seconds]


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON has it; NaN is null."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value
