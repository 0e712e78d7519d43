"""The submitter's scores beside those found: where they differ, and what frames alone cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from storybench.records.record import RunRecord
from storybench.records.score import Score

TOLERANCE = 0.001  # of a share, and of the value itself for scores in a unit of their own (harness.md 4)


class Claim(NamedTuple):
    """One metric as claimed and as found."""

    metric: str
    claimed: float | None
    found: float | None
    holds: bool
    why: str = ""

    @property
    def compared(self) -> bool:
        """Whether both sides have a value."""
        return self.claimed is not None and self.found is not None


def compare_claims(claimed: RunRecord, found: RunRecord, tolerance: float = TOLERANCE) -> list[Claim]:
    """Return every metric that the claimed record has a value of, in its order."""
    return list(_claims(claimed, found, tolerance))


def _claims(claimed: RunRecord, found: RunRecord, tolerance: float) -> Iterator[Claim]:
    for metric, score in claimed.scores.items():
        if score.value is None:
            continue
        other = found.scores.get(metric)
        if other is None or other.value is None:
            why = "not scored here" if other is None else other.reason or "no reason given"
            yield Claim(metric, score.value, None, holds=True, why=why)
        else:
            yield _compared(metric, score, other, tolerance)


def _compared(metric: str, score: Score, other: Score, tolerance: float) -> Claim:
    assert score.value is not None
    assert other.value is not None
    if score.protocol != other.protocol:
        why = f"claimed under {score.protocol}, found under {other.protocol}"
        return Claim(metric, score.value, other.value, holds=False, why=why[:200])
    allowed = tolerance * (1.0 if other.fraction else max(1.0, abs(other.value)))
    return Claim(metric, score.value, other.value, holds=abs(score.value - other.value) <= allowed)
