"""What an interval of a paired difference says about a margin, and in words what follows.

An alarm needs two things: that a loss is established (the whole interval lies below zero), and that it may exceed the
margin. So models that do not differ raise an alarm no more often than the level says, however few the stories; where
the stories are too few to exclude a loss beyond the margin, the verdict is ``unclear`` and says so.
"""

from __future__ import annotations

import math
from typing import Literal

from storybench.statistics.left_out import PairedDifference

MOST_FACTOR = 100  # times as many units is no advice
Verdict = Literal["improved", "held", "unclear", "regression"]


def signed(difference: PairedDifference, *, higher_is_better: bool) -> tuple[float, float, float] | None:
    """Return value, low and high with up for better; None where the spread is not known."""
    value, low, high = difference.value, difference.low, difference.high
    if low is None or high is None or math.isnan(value):
        return None
    return (value, low, high) if higher_is_better else (-value, -high, -low)


def verdict(difference: PairedDifference, margin: float, *, higher_is_better: bool = True) -> Verdict:
    """Return what ``new - base`` means.

    ``held``: a loss of more than the margin is excluded; ``improved``: a gain is established; ``regression``: a loss is
    established and may exceed the margin; ``unclear``: neither.

    Args:
        difference: With the interval at the level of the family.
        margin: Positive, in the metric's unit.
        higher_is_better: Direction of the metric.
    """
    ends = signed(difference, higher_is_better=higher_is_better)
    if ends is None:
        return "unclear"
    _, low, high = ends
    if low >= -margin:
        return "improved" if low > 0 else "held"
    return "regression" if high < 0 else "unclear"


def units_needed(difference: PairedDifference, margin: float, *, higher_is_better: bool = True) -> int | None:
    """Return about how many units would exclude a loss beyond the margin, were the difference to stay as it is.

    None if the difference itself lies at the margin, close to it or beyond, or nothing is known of the spread.
    """
    ends = signed(difference, higher_is_better=higher_is_better)
    if ends is None or ends[0] <= -margin:
        return None
    value, low, _ = ends
    factor = ((value - low) / (value + margin)) ** 2
    return math.ceil(difference.units * factor) if factor <= MOST_FACTOR else None
