"""What an export shows, gathered before anything is written: a sheet a benchmark version and text.

Strings are as their authors wrote them; whoever writes a page escapes them. Names that could leave a folder are
refused here, so that no writer has to ask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import arranging, data
from leaderboard.comparing import rank_by
from leaderboard.explained import headline
from storybench.board.entry import SLUG
from storybench.board.ranking import Ranking

RANKED_BY = ("antecedent_acc", "char_acc")  # the first that some row has
SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")  # what a story may be called


@dataclass(frozen=True)
class Sheet:
    """One benchmark version in one text."""

    benchmark: str
    title: str
    about: str
    text: str
    tables: data.BoardTables
    rows: pd.DataFrame
    """From top to bottom, ceiling first."""
    metrics: tuple[str, ...]
    """Columns of the table."""
    ranked_by: str | None
    ranking: Ranking

    @property
    def name(self) -> str:
        """What it is called in addresses, such as ``toonsv-v1-referential``."""
        return f"{self.benchmark}-{slug(self.text)}"

    @cached_property
    def scores(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return row -> metric -> score, the columns of ``data.SCORES``."""
        found: dict[str, dict[str, dict[str, Any]]] = {str(name): {} for name in self.rows.index}
        for score in self.tables.scores.to_dict("records"):
            found[score["row"]][score["metric"]] = score
        return found

    def is_higher_better(self, metric: str) -> bool:
        """Return the direction of a metric."""
        return arranging.is_higher_better(self.tables, metric)


def gather(root: Path, tables: data.BoardTables) -> list[Sheet]:
    """Return the sheets of a benchmark version of a board, one a text that has rows.

    Args:
        root: Folder of the board.
        tables: The benchmark version.
    """
    benchmark = tables.benchmark
    version = data.known_benchmark(benchmark)
    kept = tables.rows.loc[[name for name in tables.rows.index if SLUG.fullmatch(str(name))]]
    texts = list(dict.fromkeys([*(version.texts if version else ()), *sorted(kept["text"].unique())]))
    found = []
    for text in texts:
        rows = kept[kept["text"] == text]
        if rows.empty:
            continue
        scores = tables.scores[tables.scores["row"].isin(set(rows.index))]
        part = data.BoardTables(benchmark, rows, scores, tables.problems)
        metrics = arranging.metrics_with_values(part)
        ranked_by = next((m for m in (*RANKED_BY, *metrics) if m in metrics), None)
        found.append(
            Sheet(
                benchmark=benchmark,
                title=version.title if version else benchmark,
                about=version.about if version else "",
                text=str(text),
                tables=part,
                rows=arranging.ordered(part, ranked_by),
                metrics=tuple(m for m in headline() if m in metrics),
                ranked_by=ranked_by,
                ranking=rank_by(root, part, ranked_by) if ranked_by else Ranking({}, {}),
            )
        )
    return found


def slug(text: str) -> str:
    """Return a text mode as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)
