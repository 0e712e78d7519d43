"""Rows of a board against each other: rank sets of one metric, and paired differences of a few rows.

Both rest on ``left_out.parquet``, a row's metric without each of its clusters: no frames and no networks are needed.
What cannot be paired says why. Nothing of torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.data import RANKED, BoardTables
from storybench.board.ranking import Ranking, rank_rows
from storybench.board.row import Row
from storybench.errors import DataError
from storybench.statistics.comparisons import ALPHA, holm
from storybench.statistics.left_out import LeftOut, are_paired, paired_difference

DIFFERENCES = (
    "metric", "base", "other", "base_value", "other_value", "value", "low", "high", "p_value", "adjusted", "units",
    "fraction", "higher_is_better", "verdict", "reason",
)  # fmt: skip
BETTER, WORSE, OPEN, UNPAIRED = "better", "worse", "no difference established", "cannot be paired"


def rank_by(root: Path, tables: BoardTables, metric: str) -> Ranking:
    """Return the rank sets of the ranked rows of one text mode under one metric.

    Rows that are shown the truth or were withdrawn take no part. Rows whose protocol differs from that of most measured
    something else, and get a reason instead of a rank.
    """
    rows = tables.rows[tables.rows["kind"] == RANKED]
    scores = tables.scores[(tables.scores["metric"] == metric) & tables.scores["row"].isin(set(rows.index))]
    scores = scores[scores["value"].notna()]
    if scores.empty:
        return Ranking({}, {})
    protocol = scores["protocol"].mode().iloc[0]
    unranked = {
        str(name): f"was measured as {other}, most rows as {protocol}"
        for name, other in zip(scores["row"], scores["protocol"], strict=True)
        if other != protocol
    }
    found: dict[str, LeftOut] = {}
    for name in scores.loc[scores["protocol"] == protocol, "row"]:
        left_out = _left_out(root / tables.benchmark / name, [metric])
        if isinstance(left_out, str):
            unranked[name] = left_out
        elif metric in left_out:
            found[name] = left_out[metric]
        else:
            unranked[name] = "keeps no paired values of this metric"
    ranking = rank_rows(found, higher_is_better=bool(scores["higher_is_better"].iloc[0]))
    return Ranking(ranking.ranks, {**ranking.unranked, **unranked})


def differences(
    root: Path, tables: BoardTables, names: Sequence[str], metrics: Sequence[str], alpha: float = ALPHA
) -> pd.DataFrame:
    """Return the paired differences of rows to the first, a row a metric and pair: the columns ``DIFFERENCES``.

    Intervals hold 95 % each by itself. The verdict rests on Holm's correction over all differences of the table.

    Args:
        root: Folder of the board.
        tables: Of one text mode.
        names: The base, then one or more rows to compare with it.
        metrics: In the order to show.
        alpha: Probability of one or more false verdicts in the table.
    """
    base, *others = names
    left_out = {name: _left_out(root / tables.benchmark / name, metrics) for name in names}
    scores = tables.scores.set_index(["row", "metric"])
    found = [
        _difference(scores, left_out, metric, base, other)
        for metric in metrics
        for other in others
        if (base, metric) in scores.index and (other, metric) in scores.index
    ]
    table = pd.DataFrame(found, columns=list(DIFFERENCES))
    numbers = ["base_value", "other_value", "value", "low", "high", "p_value"]
    table[numbers] = table[numbers].astype("float64")
    table["adjusted"] = holm(table["p_value"].tolist())
    table["verdict"] = [_verdict(row, alpha) for row in table.to_dict("records")]
    return table


def _difference(
    scores: pd.DataFrame, left_out: Mapping[str, dict[str, LeftOut] | str], metric: str, base: str, other: str
) -> dict[str, Any]:
    """Return one row of the table, without what needs the others."""
    ours, theirs = scores.loc[(other, metric)], scores.loc[(base, metric)]
    row: dict[str, Any] = {
        "metric": metric,
        "base": base,
        "other": other,
        "base_value": theirs["value"],
        "other_value": ours["value"],
        "fraction": bool(ours["fraction"]),
        "higher_is_better": bool(ours["higher_is_better"]),
        "reason": "",
    }
    for name, score in ((base, theirs), (other, ours)):
        if np.isnan(score["value"]):
            return row | {"reason": f"{name}: not run: {score['reason'] or 'no reason given'}"}
    if ours["protocol"] != theirs["protocol"]:
        return row | {"reason": f"measured as {theirs['protocol']} and as {ours['protocol']}"}
    pair = []
    for name in (base, other):
        kept = left_out[name]
        if isinstance(kept, str):
            return row | {"reason": f"{name} {kept}"}
        if metric not in kept:
            return row | {"reason": f"{name} keeps no paired values of this metric"}
        pair.append(kept[metric])
    if not are_paired(*pair):
        return row | {"reason": "the two were scored on other clusters"}
    found = paired_difference(*pair)
    told = {"value": found.value, "low": found.low, "high": found.high, "p_value": found.p_value, "units": found.units}
    return row | told | ({"reason": "too few stories tell of a difference"} if found.p_value is None else {})


def _verdict(row: Mapping[str, Any], alpha: float) -> str:
    """Return in words what a difference establishes about the other row."""
    if np.isnan(row["p_value"]):
        return UNPAIRED
    if not row["adjusted"] <= alpha or row["value"] == 0:
        return OPEN
    return BETTER if (row["value"] > 0) == row["higher_is_better"] else WORSE


def _left_out(folder: Path, metrics: Sequence[str]) -> dict[str, LeftOut] | str:
    """Return what a row keeps for pairing, or why it keeps nothing."""
    row = Row(folder)
    if not row.has_left_out:
        return "has no table of paired values"
    try:
        return row.left_out(list(metrics))
    except DataError:
        return "has a damaged table of paired values"
