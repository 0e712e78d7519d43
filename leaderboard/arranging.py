"""Who of a board is shown, in which order, and what can be downloaded. Pure pandas over :mod:`leaderboard.data`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from leaderboard.data import CEILING, FACTS, FLOOR, RANKED, REFERENCE, WITHDRAWN, BoardTables
from storybench.board.entry import LEVELS

SEARCHED = ("title", "model", "name", "authors", "licence")
PLACES = {CEILING: 0, RANKED: 1, REFERENCE: 2, WITHDRAWN: 3, FLOOR: 4}  # from top to bottom
DOWNLOADED = ("value", "low", "high", "standard_error", "n", "protocol", "reason")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def search(rows: pd.DataFrame, query: str) -> pd.DataFrame:
    """Return the rows that hold a term of ``query`` in title, name, authors or licence, whatever the case.

    Terms between ``;`` are alternatives; a term is plain text, not a pattern. Without a term every row is found.
    """
    terms = [term.strip().casefold() for term in query.split(";") if term.strip()]
    if not terms or rows.empty:
        return rows
    text = rows[list(SEARCHED)].astype(str).agg("\n".join, axis=1).str.casefold()
    found = pd.Series(False, index=rows.index)
    for term in terms:
        found |= text.str.contains(term, regex=False)
    return rows[found]


def filtered(
    rows: pd.DataFrame, *, query: str = "", levels: Collection[str] = tuple(LEVELS), withdrawn: bool = True
) -> pd.DataFrame:
    """Return the rows that pass all filters; pinned rows pass the level, not the search.

    Args:
        rows: Of one text mode.
        query: As for :func:`search`.
        levels: Verification levels to keep; none for all.
        withdrawn: Whether withdrawn rows are shown.
    """
    kept = rows["level"].isin(set(levels or LEVELS)) | rows["kind"].isin([CEILING, FLOOR, REFERENCE])
    if not withdrawn:
        kept &= rows["kind"] != WITHDRAWN
    return search(rows[kept], query)


def wide(tables: BoardTables, column: str = "value", metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one column of the scores as a table, a row a board row and a column a metric; NaN where it was not run."""
    table = tables.scores.pivot(index="row", columns="metric", values=column).rename_axis(index=None, columns=None)
    wanted = list(dict.fromkeys(tables.scores["metric"])) if metrics is None else list(metrics)
    return table.reindex(index=tables.rows.index, columns=wanted)


def metrics_with_values(tables: BoardTables) -> list[str]:
    """Return the metrics that some row has a value of, in the order of the records."""
    return list(dict.fromkeys(tables.scores.loc[tables.scores["value"].notna(), "metric"]))


def is_higher_better(tables: BoardTables, metric: str) -> bool:
    """Return the direction of a metric; higher where nothing says otherwise."""
    found = tables.scores.loc[tables.scores["metric"] == metric, "higher_is_better"]
    return True if found.empty else bool(found.iloc[0])


def ordered(tables: BoardTables, metric: str | None) -> pd.DataFrame:
    """Return the rows from top to bottom: ceiling, ranked rows best first, withdrawn ones, floor.

    Rows without a value of the metric come last among their kind; equal values by title.
    """
    rows = tables.rows
    if rows.empty:
        return rows
    sign = -1 if metric is None or is_higher_better(tables, metric) else 1
    value = wide(tables)[metric] if metric in set(tables.scores["metric"]) else pd.Series(float("nan"), rows.index)
    keys = pd.DataFrame(
        {"place": rows["kind"].map(PLACES), "value": sign * value, "title": rows["title"].str.casefold()}
    ).assign(name=rows.index)
    return rows.loc[keys.sort_values(["place", "value", "title", "name"], na_position="last").index]


def download(tables: BoardTables, names: Sequence[str]) -> pd.DataFrame:
    """Return rows with all that is known of them, in full precision: facts, then every field of every score.

    Shares are fractions. A metric that was not run has no value and a ``.reason``; ``.protocol`` says what was
    computed.
    """
    facts = tables.rows.loc[list(names), [c for c in FACTS if c not in ("has_frames", "has_left_out")]]
    facts.insert(0, "benchmark", tables.benchmark)
    fields: dict[str, pd.Series] = {}
    for column in DOWNLOADED:
        table = wide(tables, column).loc[list(names)]
        fields |= {name if column == "value" else f"{name}.{column}": table[name] for name in table}
    order = [name if c == "value" else f"{name}.{c}" for name in wide(tables) for c in DOWNLOADED]
    return pd.concat([facts, pd.DataFrame(fields, index=facts.index)[order]], axis=1)


def csv(table: pd.DataFrame) -> str:
    """Return a table as CSV; a text that a spreadsheet would run begins with an apostrophe, for others wrote it."""
    safe = table.copy()
    for column in safe.columns:
        if safe[column].map(lambda v: isinstance(v, str)).any():
            safe[column] = safe[column].map(_inert)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    guarded = f"'{value}" if value.startswith(FORMULA) else value
    return guarded.replace("\r", " ")  # a lone one is not quoted and would break the line


def pareto_front(points: pd.DataFrame, cost: str, quality: str, *, higher_is_better: bool) -> list[Any]:
    """Return the index of the points that no other point beats in one and equals in the other, cheapest first.

    Points without a cost or a quality are never on it.
    """
    known = points.dropna(subset=[cost, quality]).sort_values([cost, quality], ascending=[True, not higher_is_better])
    front, best, paid = [], None, None
    for label, price, value in zip(known.index, known[cost], known[quality], strict=True):
        gain = best is None or (value > best if higher_is_better else value < best)
        if gain or (value == best and price == paid):
            front.append(label)
            best, paid = value, price
    return front
