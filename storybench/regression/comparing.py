"""From two sides and a gate to a report: every metric both have, its difference, and what the gate says of it.

Metrics of the gate are judged together: with M of them compared, each interval has level 1 - 0.05 / M, so the chance
that any of them raises an alarm without a difference stays below 0.05 (Bonferroni). All others are shown with a plain
95 % interval and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from storybench.errors import did_you_mean
from storybench.records.record import RunRecord
from storybench.records.score import Score
from storybench.regression.gate import Gate, GatedMetric
from storybench.regression.sides import Side, check_paired, parts
from storybench.regression.verdicts import Verdict, units_needed, verdict
from storybench.statistics.left_out import LeftOut, PairedDifference, are_paired, paired_difference
from storybench.statistics.statistic import LEVEL

Status = Literal[0, 1, 2]
SAYS: dict[int, str] = {0: "held", 1: "regression", 2: "unusable"}
SPEED = "seconds_per_frame"


@dataclass(frozen=True)
class Compared:
    """One metric that both sides have."""

    metric: str
    base: float
    new: float
    difference: PairedDifference
    level: float  # of the difference's interval
    higher_is_better: bool
    margin: float | None = None  # None: not gated
    fraction: bool = True
    protocol: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """What the gate says; None where the metric is not gated."""
        if self.margin is None:
            return None
        return verdict(self.difference, self.margin, higher_is_better=self.higher_is_better)

    @property
    def excluded(self) -> float | None:
        """The smallest loss that the interval excludes, in the metric's unit, never below 0; None if not known."""
        end = self.difference.low if self.higher_is_better else self.difference.high
        return None if end is None else max(0.0, -end if self.higher_is_better else end)

    @property
    def needed(self) -> int | None:
        """About how many units would decide an unclear verdict."""
        if self.margin is None or self.verdict != "unclear":
            return None
        return units_needed(self.difference, self.margin, higher_is_better=self.higher_is_better)


@dataclass(frozen=True)
class NotCompared:
    """A metric that cannot be compared, and why."""

    metric: str
    reason: str
    required: bool = False  # by the gate
    gated: bool = False


@dataclass(frozen=True)
class Speed:
    """Seconds a frame of both sides; judged only where they were measured alike."""

    base: float | None
    new: float | None
    limit: float  # relative slowdown that fails
    reason: str | None = None  # why it is not judged

    @property
    def change(self) -> float | None:
        """Relative change, 0.1 for 10 % slower; None if it is not judged."""
        if self.reason is not None or not self.base or self.new is None:
            return None
        return self.new / self.base - 1

    @property
    def is_slower(self) -> bool:
        """Whether the new side is slower than the limit allows."""
        return self.change is not None and self.change > self.limit


@dataclass(frozen=True)
class Report:
    """A comparison under a gate."""

    base: Side
    new: Side
    gate: Gate
    level: float  # of each gated metric's interval
    compared: list[Compared]
    not_compared: list[NotCompared]
    speed: Speed | None = None
    problems: list[str] = field(default_factory=list)  # why the gate cannot say anything

    @property
    def gated(self) -> list[Compared]:
        """The metrics that the gate judges, in its order."""
        return [each for each in self.compared if each.margin is not None]

    def of(self, *verdicts: Verdict) -> list[str]:
        """Return the gated metrics with one of these verdicts."""
        return [each.metric for each in self.gated if each.verdict in verdicts]

    @property
    def failures(self) -> list[str]:
        """What makes the gate fail: metrics, or ``seconds_per_frame``."""
        failing: tuple[Verdict, ...] = ("regression", "unclear") if self.gate.on_unclear == "fail" else ("regression",)
        return self.of(*failing) + ([SPEED] if self.speed is not None and self.speed.is_slower else [])

    @property
    def status(self) -> Status:
        """0 held, 1 regression, 2 unusable: the exit status."""
        if self.problems:
            return 2
        return 1 if self.failures else 0

    @property
    def units(self) -> int:
        """The most units that a gated metric's interval rests on."""
        return max((each.difference.units for each in self.gated), default=0)


def compare(base: Side, new: Side, gate: Gate) -> Report:
    """Return the report of ``new`` against ``base``.

    Raises:
        DataError: If the sides are not about the same stories and text, or a table is missing.
    """
    check_paired(base, new)
    left, right = base.left_out(), new.left_out()
    reasons: dict[str, str] = {}
    for metric in dict.fromkeys([*base.record.scores, *new.record.scores]):
        if not (_has(base.record, metric) or _has(new.record, metric)):
            if metric in gate.metrics:
                why = _why_absent(metric, base.record, new.record)
                reasons[metric] = f"neither side has a value: {why}"
        elif (reason := cannot_compare(metric, base.record, new.record, left, right)) is not None:
            reasons[metric] = reason
    compared = judged(left, right, gate, base.record.scores, leave=reasons)
    known = {**base.record.scores, **new.record.scores}
    for metric in gate.metrics:
        if metric not in known:
            reasons[metric] = f"neither side has it. {did_you_mean(metric, known)}".strip()
    missing = [NotCompared(metric, reason, *_asked(gate, metric)) for metric, reason in reasons.items()]
    problems = [f"{each.metric} is gated and not comparable: {each.reason}" for each in missing if each.required]
    gated = [each for each in compared if each.margin is not None]
    if not gated and not problems:
        problems.append(f"no metric of gate {gate.name} is in both: {', '.join(gate.metrics)}")
    level = gate.level_each(len(gated))
    return Report(base, new, gate, level, compared, missing, _speed(base.record, new.record, gate), problems)


def judged(
    base: Mapping[str, LeftOut],
    new: Mapping[str, LeftOut],
    gate: Gate,
    scores: Mapping[str, Score],
    leave: Mapping[str, str] | None = None,
) -> list[Compared]:
    """Return every metric of both sides with its difference, gated ones first and in the gate's order.

    Args:
        base: Metric -> its values, of one side.
        new: Of the other, with the same units.
        gate: Margins; its level is shared among the metrics of it that are here.
        scores: Direction, unit and protocol of each metric.
        leave: Metrics to leave out.
    """
    both = [metric for metric in base if metric in new and metric in scores and metric not in (leave or {})]
    gated = [metric for metric in gate.metrics if metric in both]
    level = gate.level_each(len(gated))
    out = []
    for metric in gated + [metric for metric in both if metric not in gated]:
        margin = gate.metrics[metric].margin if metric in gated else None
        at = LEVEL if margin is None else level
        out.append(
            Compared(
                metric=metric,
                base=base[metric].value,
                new=new[metric].value,
                difference=paired_difference(base[metric], new[metric], level=at),
                level=at,
                higher_is_better=scores[metric].higher_is_better,
                margin=margin,
                fraction=scores[metric].fraction,
                protocol=scores[metric].protocol,
            )
        )
    return out


def cannot_compare(
    metric: str, base: RunRecord, new: RunRecord, left: Mapping[str, LeftOut], right: Mapping[str, LeftOut]
) -> str | None:
    """Return why a metric that some side has cannot be compared; None where it can."""
    one, other = base.scores.get(metric), new.scores.get(metric)
    if one is None or other is None or one.value is None or other.value is None:
        side, record = ("new", new) if _has(base, metric) else ("base", base)
        return f"{side} has no value: {_why_absent(metric, record)}"
    if one.protocol != other.protocol:
        return f"the protocol differs: {one.protocol} and {other.protocol}"
    if one.higher_is_better != other.higher_is_better:
        return "the records disagree whether higher is better"
    if lacking := [side for side, found in (("base", left), ("new", right)) if metric not in found]:
        return f"left_out.parquet of {' and '.join(lacking)} does not hold it: score again with rescore=true"
    if not are_paired(left[metric], right[metric]):
        return f"other clusters were left out: {len(left[metric].units)} and {len(right[metric].units)}, not the same"
    return None


def _has(record: RunRecord, metric: str) -> bool:
    """Return whether a record has a value of a metric."""
    score = record.scores.get(metric)
    return score is not None and score.value is not None


def _why_absent(metric: str, *records: RunRecord) -> str:
    """Return the first reason that a record gives for a metric without a value."""
    scores = (record.scores.get(metric) for record in records)
    return next((score.reason for score in scores if score is not None and score.reason), "it was not asked for")


def _asked(gate: Gate, metric: str) -> tuple[bool, bool]:
    """Return whether the gate requires a metric, and whether it judges it."""
    found: GatedMetric | None = gate.metrics.get(metric)
    return found is not None and found.required, found is not None


def _speed(base: RunRecord, new: RunRecord, gate: Gate) -> Speed | None:
    """Return how fast both draw, if the gate asks."""
    if gate.seconds_per_frame is None:
        return None
    reason = None
    if base.seconds_per_frame is None or new.seconds_per_frame is None:
        reason = "a record says nothing of it"
    for what in ("device", "platform"):
        one, other = getattr(base.environment, what), getattr(new.environment, what)
        if one != other:
            reason = f"measured on another {what}: {one} and {other}"
    return Speed(base.seconds_per_frame, new.seconds_per_frame, gate.seconds_per_frame, reason)


def about(side: Side) -> dict[str, Any]:
    """Return what identifies a side, for every output."""
    record = side.record
    return {
        "name": side.name,
        "model": record.model.name,
        "version": record.model.version,
        "fingerprint": record.fingerprint,
        "seed": record.seed,
        "commit": record.environment.git_commit,
        "stories": record.dataset.stories,
        "frames": record.dataset.frames,
        **{name.replace(" ", "_"): value for name, value in parts(record).items()},
    }
