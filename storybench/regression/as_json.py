"""A report as plain data for programs: numbers in the metric's own unit, None for what is not known."""

from __future__ import annotations

from typing import Any

from storybench.regression.comparing import Compared, Report, about
from storybench.regression.wording import note, outcome


def as_json(report: Report) -> dict[str, Any]:
    """Return the report, ready for JSON."""
    found = report.speed
    return {
        "base": about(report.base),
        "new": about(report.new),
        "gate": report.gate.model_dump(mode="json"),
        "level": report.level,
        "units": report.units,
        "status": report.status,
        "outcome": outcome(report),
        "problems": report.problems,
        "failures": report.failures,
        "metrics": [_metric(each) for each in report.compared],
        "not_compared": [
            {"metric": each.metric, "reason": each.reason, "gated": each.gated, "required": each.required}
            for each in report.not_compared
        ],
        "seconds_per_frame": None
        if found is None
        else {
            "base": found.base,
            "new": found.new,
            "change": found.change,
            "limit": found.limit,
            "reason": found.reason,
            "slower": found.is_slower,
        },
    }


def _metric(each: Compared) -> dict[str, Any]:
    return {
        "metric": each.metric,
        "protocol": each.protocol,
        "higher_is_better": each.higher_is_better,
        "fraction": each.fraction,
        "base": each.base,
        "new": each.new,
        "difference": each.difference.value,
        "low": each.difference.low,
        "high": each.difference.high,
        "level": each.level,
        "standard_error": each.difference.standard_error,
        "p_value": each.difference.p_value,
        "units": each.difference.units,
        "gated": each.margin is not None,
        "margin": each.margin,
        "verdict": each.verdict,
        "excluded": each.excluded,
        "units_needed": each.needed,
        "note": note(each) or None,
    }
