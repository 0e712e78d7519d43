"""Flip rate and stickiness, by hand."""

from __future__ import annotations

import pytest

from storybench.metrics import counterfactual as c
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord, Swap
from storybench.perception.observation import Observation, Reading

INSTRUMENTS = Instruments(protocols={"reading": "toy-reader-v1"})


def reading(drawn):
    return Observation(Reading({n: int(n in drawn.split()) for n in ("Ann", "Cat", "Bob")}, ""))


def record(k, swapped=None, named=True):
    swap = None if swapped is None else Swap("Ann", "Cat", reading(swapped), named)
    return FrameRecord(f"s{k}", 1, f"s{k}", ("Ann",), "", {}, (), reading("Ann"), swap=swap)


RECORDS = [
    record(0, "Cat"),  # follows
    record(1, "Cat Bob"),  # follows: others do not matter
    record(2, "Ann"),  # sticks
    record(3, "Ann Cat"),  # draws both: no flip, and sticks
    record(4, "Bob", named=False),  # neither
    record(5, "Cat", named=False),  # follows, though the name was not drawn before
    record(6),  # nothing was swapped
]


@pytest.mark.parametrize(
    ("kind", "value", "n"),
    [(c.FlipRate, 3 / 6, 6), (c.FlipRateDrawn, 2 / 4, 4), (c.Stickiness, 2 / 6, 6)],
)
def test_by_hand(kind, value, n):
    metric = kind.build(INSTRUMENTS)
    for r in RECORDS:
        metric.update([r])
    score = metric.score()
    assert (score.value, score.n) == (pytest.approx(value), n)
    assert score.low < score.value < score.high
    assert score.protocol == f"{kind.name}/v1@toy-reader-v1"
    assert score.higher_is_better is (kind is not c.Stickiness)


@pytest.mark.parametrize("kind", [c.FlipRate, c.FlipRateDrawn, c.Stickiness])
def test_without_a_swap_there_is_a_reason_and_no_value(kind):
    metric = kind.build(INSTRUMENTS)
    metric.update([record(0)])
    score = metric.score()
    assert score.value is None
    assert score.reason == kind.missing


def test_copying_the_frame_before_flips_when_the_name_was_drawn_there():
    """The blind spot of metrics.md 3: the flip rate alone does not tell a reader from a copier."""
    metric = c.FlipRate.build(INSTRUMENTS)
    metric.update([record(0, "Cat")])  # the frame before showed Cat and is drawn again
    assert float(metric.compute()) == 1.0
