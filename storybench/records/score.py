"""A number with its error bar and its provenance, as every record keeps it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Score(BaseModel):
    """One metric of one run. Shares are fractions in [0, 1]; people are shown percent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    """The estimate; None when it was not computed, and then ``reason`` says why. Missing is not zero."""

    low: float | None = None
    """Lower end of the 95 % interval; None when there are too few stories for one."""

    high: float | None = None
    """Upper end of the 95 % interval."""

    standard_error: float | None = None
    """Of the value, where the method gives one."""

    floor: float | None = None
    """What true frames of other stories get, or a guesser; None where it was not measured."""

    ceiling: float | None = None
    """What the true frames get through the same networks."""

    clusters: int | None = None
    """Independent units that the interval rests on: stories, or episodes where stories overlap."""

    unit: str = ""
    """What ``n`` counts."""

    fraction: bool = True
    """Whether the value is a share that people are shown in percent; else it has its own unit."""

    n: int
    """Number of units the value is a mean over: frames, mentions or pairs, as the metric's unit says."""

    higher_is_better: bool
    """Direction."""

    protocol: str
    """What was computed, with which network and against which reference; other id, other number."""

    reason: str | None = None
    """Why there is no value."""
