"""Where the picture plays."""

from __future__ import annotations

from collections.abc import Sequence


def setting_accuracy(predicted: Sequence[str], expected: Sequence[str]) -> float:
    """Return the share of frames whose setting is the expected one (BG-Acc v1); NaN without frames."""
    hits = [p == e for p, e in zip(predicted, expected, strict=True)]
    return sum(hits) / len(hits) if hits else float("nan")
