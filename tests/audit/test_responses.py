"""The audit's verdicts: by hand on made-up responses, and on true frames with the real networks."""

from __future__ import annotations

import json
import math

import pytest

from storybench import metrics as m
from storybench.audit.claims import CLAIMS
from storybench.audit.figure import draw
from storybench.audit.ladder import CORRUPTIONS
from storybench.audit.page import markdown
from storybench.audit.responses import audit, respond
from storybench.metrics.catalogue import BY_NAME, METRICS

TRUE = [1.0] * 5


def verdicts(kind, values, floor=0.2):
    found, _ = respond(kind, {"drop_character": TRUE, **values}, floor)
    return {r.corruption: r.verdict for r in found}


def test_a_metric_must_fall_with_what_it_answers_to():
    falling, flat, rising = [1.0, 0.9, 0.8, 0.6, 0.3], TRUE, [0.3, 0.4, 0.5, 0.6, 0.7]
    assert verdicts(m.CharacterF1, {"swap_identity": falling})["swap_identity"] == "passes"
    assert verdicts(m.CharacterF1, {"swap_identity": flat})["swap_identity"] == "fails"
    assert verdicts(m.CharacterF1, {"swap_identity": rising})["swap_identity"] == "fails"


def test_lower_is_better_turns_the_direction():
    rising = [0.0, 0.2, 0.4, 0.8, 1.6]
    found, span = respond(m.SpuriousRate, {"swap_identity": rising}, 1.5)
    assert found[0].verdict == "passes"
    assert found[0].rank_correlation == pytest.approx(1.0)
    assert found[0].change == pytest.approx(-1.0)
    assert span == (0.0, 1.5)


def test_what_is_ignored_may_move_a_fifth_of_the_range_and_no_more():
    little, much = [1.0, 1.0, 0.95, 0.9, 0.9], [1.0, 1.0, 0.7, 1.0, 1.0]  # a swing in the middle counts too
    assert verdicts(m.CharacterF1, {"swap_background": little})["swap_background"] == "passes"
    assert verdicts(m.CharacterF1, {"swap_background": much})["swap_background"] == "fails"


def test_gaining_by_copies_fails_whatever_is_claimed():
    gaining = [0.5, 0.55, 0.6, 0.8, 0.9]
    found, _ = respond(m.IdentityAUC, {"constant_image": gaining, "copy_previous": gaining}, 0.4)
    assert {r.verdict for r in found} == {"fails"}


def test_undefined_values_are_no_verdict_on_the_others():
    found, _ = respond(m.CharacterF1, {"swap_identity": [1.0, 0.9, 0.8, 0.7, math.nan]}, math.nan)
    assert found[0].verdict == "passes"
    assert found[0].values[-1] is None


def test_every_claim_is_of_a_metric_and_a_corruption_that_exist():
    for name, claim in CLAIMS.items():
        assert name in METRICS
        assert set(claim.answers) | set(claim.ignores) <= set(CORRUPTIONS)
        assert not set(claim.answers) & set(claim.ignores)
    silent = {name for name in METRICS if name not in CLAIMS}
    assert {BY_NAME[name].group for name in silent} <= {"peers", "settings", "reference", "captions", "distribution"}


@pytest.fixture(scope="module")
def found():
    wanted = ["char_acc", "spurious_rate", "setting_acc", "antecedent_acc", "conditional_resolution"]
    rungs = ["swap_identity", "drop_character", "add_character", "swap_background", "constant_image"]
    return audit(8, metrics=wanted, corruptions=rungs)


def test_real_networks_keep_their_claims_on_true_frames(found):
    assert not found.failures
    assert found.frames == 40
    assert {r.metric for r in found.responses} == {
        *("char_acc", "spurious_rate", "setting_acc", "antecedent_acc", "conditional_resolution")
    }
    assert found.ranges["char_acc"][0] == 1.0


def test_result_can_be_written_drawn_and_read(found):
    assert json.loads(json.dumps(found.to_dict()))["stories"] == 8
    assert draw(found).startswith(b"\x89PNG")
    page = markdown(found, "audit.png")
    assert "claims hold" in page
    assert "Broken claims" not in page
