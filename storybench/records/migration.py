"""Old records read as new ones: one function a step of the schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Content = dict[str, Any]


def _from_1(content: Content) -> Content:
    """Schema 2 gave scores a floor, a ceiling, clusters, a unit and a standard error; old scores say nothing of them.

    Scores in a unit of their own are told from fractions by ``fraction``; of schema 1 only ``frechet`` was none.
    """
    scores = content.get("scores") or {}
    for name, score in scores.items():
        score.setdefault("fraction", name != "frechet")
    return content


STEPS: dict[int, Callable[[Content], Content]] = {1: _from_1}


def migrated(content: Content, version: int) -> Content:
    """Return the content of a record of schema ``version`` in the newest schema."""
    for step in range(version, max(STEPS) + 1):
        content = {**STEPS[step](content), "schema_version": step + 1}
    return content
