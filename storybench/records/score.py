"""A number with its error bar and its provenance, as every record keeps it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Score(BaseModel):
    """One metric of one run. Fractions in [0, 1] unless the metric has its own unit; people are shown percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    """The estimate; None when it was not computed, and then ``reason`` says why. Missing is not zero."""

    low: float | None = None
    """Lower end of the 95 % interval; None when there are too few stories for one."""

    high: float | None = None
    """Upper end of the 95 % interval."""

    n: int
    """Number of units the value is a mean over: frames, mentions or pairs, as the metric's unit says."""

    higher_is_better: bool
    """Direction."""

    protocol: str
    """What was computed, with which network and against which reference; other id, other number."""

    reason: str | None = None
    """Why there is no value."""
