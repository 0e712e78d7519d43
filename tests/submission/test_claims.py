"""Claimed scores hold within a thousandth, and under the same protocol only."""

from __future__ import annotations

import pytest

from storybench.records.record import RunRecord
from storybench.records.score import Score
from storybench.submission.claims import compare_claims


@pytest.fixture
def record(expected, own_record):
    """Make a record of scores."""

    def make(**values):
        made = RunRecord.model_validate(own_record(expected))
        scores = {name: v if isinstance(v, Score) else score(v, name) for name, v in values.items()}
        return made.model_copy(update={"scores": scores})

    return make


def score(value, name="m", *, fraction=True, protocol=None, reason=None):
    protocol = protocol or f"{name}/v1"
    return Score(value=value, n=5, higher_is_better=True, protocol=protocol, fraction=fraction, reason=reason)


@pytest.mark.parametrize(
    ("found", "holds"), [(0.5, True), (0.5009, True), (0.4991, True), (0.5012, False), (0.1, False)]
)
def test_a_share_holds_within_a_thousandth(found, holds, record):
    (claim,) = compare_claims(record(a=0.5), record(a=found))
    assert claim.holds is holds
    assert claim.compared


def test_a_score_in_its_own_unit_holds_within_a_thousandth_of_itself(record):
    for found, holds in ((20.0, True), (20.019, True), (20.1, False)):
        (claim,) = compare_claims(record(a=score(20.0, fraction=False)), record(a=score(found, fraction=False)))
        assert claim.holds is holds


def test_another_protocol_is_another_number(record):
    (claim,) = compare_claims(record(a=score(0.5, protocol="a/v1")), record(a=score(0.5, protocol="a/v2")))
    assert not claim.holds
    assert "a/v2" in claim.why


def test_what_frames_cannot_show_is_neither_held_nor_broken(record):
    missing = score(None, reason="needs the stories drawn again")
    claims = compare_claims(record(a=0.5, b=0.1, c=score(None, reason="x")), record(a=missing))
    assert [(c.metric, c.compared, c.holds) for c in claims] == [("a", False, True), ("b", False, True)]
    assert claims[0].why == "needs the stories drawn again"
