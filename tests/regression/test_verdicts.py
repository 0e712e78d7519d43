"""What an interval says about a margin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storybench.regression.verdicts import units_needed, verdict
from storybench.statistics.left_out import PairedDifference


def difference(low, high, value=None, units=100):
    middle = (low + high) / 2 if value is None else value
    return PairedDifference(middle, low, high, 0.01, 0.5, units)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.05, -0.01, "regression"),  # a loss, perhaps beyond the margin
        (-0.015, -0.005, "held"),  # a loss for sure, and for sure below the margin
        (-0.02, 0.01, "held"),  # the margin itself is excluded
        (-0.021, 0.01, "unclear"),
        (-0.05, 0.0, "unclear"),  # the interval reaches zero
        (0.001, 0.05, "improved"),
        (0.0, 0.0, "held"),
        (-0.03, -0.03, "regression"),
    ],
)
def test_verdict_follows_from_where_the_interval_lies(low, high, expected):
    assert verdict(difference(low, high), 0.02) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(1e-3, 1))
def test_lower_is_better_is_the_mirror_image(low, width, margin):
    high = low + width
    up = verdict(difference(low, high), margin)
    down = verdict(difference(-high, -low), margin, higher_is_better=False)
    assert up == down


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(1e-3, 1), st.floats(0, 1))
def test_a_wider_margin_never_makes_a_regression(low, width, margin, more):
    order = {"regression": 0, "unclear": 0, "held": 1, "improved": 1}
    before, after = (verdict(difference(low, low + width), m) for m in (margin, margin + more))
    assert order[after] >= order[before]


def test_unknown_spread_is_unclear():
    assert verdict(PairedDifference(-0.5, None, None, None, None, 1), 0.02) == "unclear"


def test_units_needed_bring_the_lower_end_to_the_margin():
    found = difference(-0.05, 0.03, value=-0.01, units=100)
    needed = units_needed(found, 0.02)
    assert needed == 1600  # the reach of 0.04 must shrink to 0.01: four times, 16 times the units
    assert -0.01 - 0.04 * (100 / needed) ** 0.5 == pytest.approx(-0.02)


@pytest.mark.parametrize("value", [-0.02, -0.03, -0.0199999])
def test_no_number_of_units_helps_a_difference_at_the_margin(value):
    assert units_needed(difference(-0.1, 0.06, value=value), 0.02) is None
