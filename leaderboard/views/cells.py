"""Numbers as people read them: shares in percent, all else in its own unit, half of the interval beside the value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self


class Shown(float):
    """A number that is sorted by its value and shown as a text."""

    text: str

    def __new__(cls, value: float, text: str) -> Self:
        """Return ``value``, shown as ``text``."""
        shown = super().__new__(cls, value)
        shown.text = text
        return shown


def number(value: float | None, *, fraction: bool, digits_of: float | None = None) -> str:
    """Return a value in its unit, empty where there is none.

    Args:
        value: To be shown.
        fraction: Whether it is a share, which is shown in percent.
        digits_of: The score whose digits to use, for its bounds and interval; by default the value itself.
    """
    if value is None or math.isnan(value):
        return ""
    if fraction:
        return f"{value * 100:.1f}"
    size = abs(value if digits_of is None or math.isnan(digits_of) else digits_of)
    return f"{value:.2f}" if size >= 0.995 else f"{value:.3f}"  # as storybench.cli.table prints records


def cell(score: Mapping[str, Any]) -> str:
    """Return ``91.6 ±1.1``: value and half of the 95 % interval; the value alone without one, empty without a value."""
    value, low, high = score["value"], score["low"], score["high"]
    text = number(value, fraction=score["fraction"])
    if not text or math.isnan(low) or math.isnan(high):
        return text
    return f"{text} ±{number((high - low) / 2, fraction=score['fraction'], digits_of=value)}"


def interval(score: Mapping[str, Any]) -> str:
    """Return ``[90.4, 92.7]``, empty where there is none."""
    if math.isnan(score["low"]) or math.isnan(score["high"]):
        return ""
    ends = [number(score[end], fraction=score["fraction"], digits_of=score["value"]) for end in ("low", "high")]
    return f"[{ends[0]}, {ends[1]}]"


def difference(value: float, *, fraction: bool) -> str:
    """Return a difference with its sign; of shares in percentage points."""
    text = number(value, fraction=fraction)
    return f"+{text}" if value > 0 else text


def heading(metric: str, *, higher_is_better: bool | None) -> str:
    """Return the name of a metric for people, with an arrow to its better side."""
    arrow = {True: " ↑", False: " ↓", None: ""}[higher_is_better]
    return metric.replace("_", " ") + arrow


def count(value: int | None) -> str:
    """Return a number of weights in few characters: ``9.5 M``."""
    if value is None:
        return ""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)
