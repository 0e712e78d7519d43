"""The one place that says when a second drawing agrees with a row, and the evidence it rests on.

Criterion. Either every frame is the same file, byte for byte; or, as on another machine or with other versions, 98 % or
more of the frames are read alike (the same characters as often, the same place). In both cases every metric that is
compared must be within 0.001 of the row's, or the interval of the paired difference must reach zero; these intervals
hold together at 95 % (Bonferroni). Frames that agree under scores that do not are no agreement: then the row's numbers
are not those of its frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from storybench.errors import DataError
from storybench.reproduction.tables import characters_of, has_readings, scored
from storybench.statistics.left_out import LeftOut, PairedDifference, are_paired, paired_difference

if TYPE_CHECKING:
    import pandas

READ_ALIKE = 0.98  # share of frames with equal readings that another machine must reach
TOLERANCE = 0.001  # in the metric's own unit; for shares a tenth of a point (harness.md 5)
FAMILY = 0.05


@dataclass(frozen=True)
class Agrees:
    """One metric of both drawings."""

    metric: str
    row: float
    here: float
    difference: PairedDifference

    @property
    def is_close(self) -> bool:
        """Whether the two are within the tolerance, or their difference is not established."""
        if abs(self.difference.value) <= TOLERANCE:
            return True
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and low <= 0 <= high


@dataclass(frozen=True)
class Agreement:
    """What was found when a row's frames were drawn again."""

    stories: int
    frames: int
    equal: int  # frames with the row's SHA-256
    read_alike: int | None  # frames read alike; None where no classifier looked
    metrics: list[Agrees]
    level: float  # of each metric's interval
    differing: list[str] = field(default_factory=list)  # frames read otherwise: story/frame, the first few
    not_compared: dict[str, str] = field(default_factory=dict)  # metric -> why

    @property
    def far(self) -> list[str]:
        """Metrics that differ by more than the criterion allows."""
        return [each.metric for each in self.metrics if not each.is_close]

    @property
    def agrees(self) -> bool:
        """Whether the criterion is met."""
        alike = self.read_alike is not None and self.read_alike >= READ_ALIKE * self.frames
        return (self.equal == self.frames or alike) and not self.far

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        said = f"{self.equal} of {self.frames} frames are the same file"
        if self.read_alike is not None:
            said += f", {self.read_alike} are read alike ({READ_ALIKE:.0%} are needed)"
        far = f"; too far off: {', '.join(self.far)}" if self.far else ""
        return (
            f"{'AGREES' if self.agrees else 'DOES NOT AGREE'}: {said}; {len(self.metrics) - len(self.far)} of "
            f"{len(self.metrics)} metrics within {TOLERANCE} or their paired interval{far}."
        )


def agreement(
    row: pandas.DataFrame,
    here: pandas.DataFrame,
    scores: tuple[Mapping[str, LeftOut], Mapping[str, LeftOut]] | None = None,
    leave: Mapping[str, str] | None = None,
) -> Agreement:
    """Return how far a second drawing agrees.

    Args:
        row: Frames table of the row, of the stories drawn here.
        here: Frames table of the second drawing.
        scores: Metrics of both without each cluster; None computes those that the tables determine.
        leave: Metrics that cannot be compared, and why.

    Raises:
        DataError: If the tables are not about the same frames.
    """
    keys = [list(zip(table["story"], table["frame"], strict=True)) for table in (row, here)]
    if keys[0] != keys[1]:
        missing = sorted(set(keys[1]) - set(keys[0])) or sorted(set(keys[0]) - set(keys[1]))
        example = f", such as {missing[0][0]}/{missing[0][1]}" if missing else ""
        raise DataError(
            f"The row has {len(keys[0])} of the {len(keys[1])} frames drawn here, and others{example}: it is about "
            "other stories than its record says."
        )
    equal = int((row["sha256"].to_numpy() == here["sha256"].to_numpy()).sum())
    differing: list[str] | None = None
    if has_readings(row) and has_readings(here):
        alike = [_reading(a) == _reading(b) for a, b in zip(_rows(row), _rows(here), strict=True)]
        differing = [f"{story}/{frame}" for (story, frame), same in zip(keys[0], alike, strict=True) if not same]
        if scores is None:
            names = characters_of(row, here)
            scores = scored(row, names), scored(here, names)
    metrics, level, reasons = _metrics(*(scores or ({}, {})), leave or {})
    return Agreement(
        stories=int(row["story"].nunique()),
        frames=len(row),
        equal=equal,
        read_alike=None if differing is None else len(row) - len(differing),
        metrics=metrics,
        level=level,
        differing=(differing or [])[:5],
        not_compared=reasons,
    )


def _metrics(
    row: Mapping[str, LeftOut], here: Mapping[str, LeftOut], leave: Mapping[str, str]
) -> tuple[list[Agrees], float, dict[str, str]]:
    """Return the metrics of both, the level of their intervals, and what cannot be compared."""
    reasons = dict(leave)
    for metric in row:
        if metric not in here:
            reasons.setdefault(metric, "it has no value here")
        elif not are_paired(row[metric], here[metric]):
            reasons.setdefault(metric, "other clusters were left out")
    both = [metric for metric in row if metric in here and metric not in reasons]
    level = 1 - FAMILY / max(len(both), 1)
    found = [Agrees(m, row[m].value, here[m].value, paired_difference(row[m], here[m], level=level)) for m in both]
    return found, level, reasons


def _rows(table: pandas.DataFrame) -> list[dict[str, Any]]:
    return table[["predicted_counts", "setting_predicted"]].to_dict("records")


def _reading(row: Mapping[str, Any]) -> tuple[dict[str, int], str]:
    """Return who is seen how often, and where."""
    return json.loads(row["predicted_counts"]), str(row["setting_predicted"])


def as_json(found: Agreement) -> dict[str, Any]:
    """Return the evidence as plain data."""
    return {
        "agrees": found.agrees,
        "stories": found.stories,
        "frames": found.frames,
        "frames_equal": found.equal,
        "frames_read_alike": found.read_alike,
        "read_otherwise": found.differing,
        "criterion": {"read_alike": READ_ALIKE, "tolerance": TOLERANCE, "level": found.level},
        "metrics": {
            each.metric: {
                "row": each.row,
                "here": each.here,
                "difference": each.difference.value,
                "low": each.difference.low,
                "high": each.difference.high,
                "agrees": each.is_close,
            }
            for each in found.metrics
        },
        "not_compared": found.not_compared,
    }
