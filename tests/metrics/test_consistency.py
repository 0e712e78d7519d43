"""Consistency of details: agreement above the model's own habits."""

from __future__ import annotations

import numpy as np
import pytest

from storybench.metrics.consistency import DetailConsistency
from storybench.metrics.functional.consistency import DetailSpace, detail_consistency, detail_row, kappa_by_type
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation, Reading

COLOURS = ("red", "green", "blue", "white")
SPACE = DetailSpace((("scarf:Ann", COLOURS), ("scarf:Bob", COLOURS), ("weather", ("sun", "rain"))))


def stories(reader, count=200, frames=5):
    """Return (gold, read) of stories whose details are drawn at random; ``reader`` gives the read value of a detail."""
    rng = np.random.default_rng(0)
    out = []
    for _ in range(count):
        truth = {k: str(rng.choice(v)) for k, v in SPACE.values}
        read = [{k: v for k, v in ((k, reader(rng, k, truth[k])) for k in truth) if v} for _ in range(frames)]
        out.append(([truth] * frames, read))
    return out


def test_faithful_reader_scores_one():
    assert detail_consistency(SPACE, stories(lambda rng, key, value: value)) == pytest.approx(1.0)


def test_own_colour_kept_in_a_story_counts_although_it_is_not_the_true_one():
    swapped = dict(zip(COLOURS, COLOURS[1:] + COLOURS[:1], strict=True)) | {"sun": "rain", "rain": "sun"}
    assert detail_consistency(SPACE, stories(lambda rng, key, value: swapped[value])) == pytest.approx(1.0)


@pytest.mark.parametrize("habit", [{"scarf:Ann": "red", "scarf:Bob": "red"}, {"scarf:Ann": "red", "scarf:Bob": "blue"}])
def test_constant_colours_score_exactly_zero(habit):
    assert detail_consistency(SPACE, stories(lambda rng, key, value: {"weather": "sun", **habit}[key])) == 0.0


def test_constant_colours_of_a_character_often_missing_score_zero():
    found = detail_consistency(
        SPACE, stories(lambda rng, key, value: "red" if "scarf" in key and rng.random() < 0.6 else None)
    )
    assert found == pytest.approx(0.0, abs=1e-12)


def test_random_colours_score_about_zero():
    options = dict(SPACE.values)
    found = detail_consistency(SPACE, stories(lambda rng, key, value: str(rng.choice(options[key]))))
    assert abs(found) < 0.05  # 3 SE at 2,400 pairs


def test_missing_half_the_time_lowers_the_score():
    found = detail_consistency(SPACE, stories(lambda rng, key, value: value if rng.random() < 0.5 else None))
    assert 0.1 < found < 0.3  # a quarter of the pairs have both


def test_nothing_read_scores_zero_and_nothing_visible_is_missing():
    assert detail_consistency(SPACE, stories(lambda rng, key, value: None)) == 0.0
    assert np.isnan(detail_consistency(SPACE, [([{}, {}], [{"weather": "sun"}, {"weather": "sun"}])]))


def test_pairs_are_consecutive_visible_occurrences():
    gold = [{"weather": "sun"}, {}, {"weather": "sun"}, {"weather": "sun"}]
    read = [{"weather": "sun"}, {"weather": "rain"}, {"weather": "sun"}, {"weather": "rain"}]
    row = detail_row(SPACE, gold, read)
    assert (row[2], row[5], row[8]) == (2, 1, 2)  # pairs, agreeing, both found
    assert list(row[-2:]) == [2, 1]  # sun, rain


def test_types_are_reported_apart():
    keep = stories(lambda rng, key, value: value if "scarf" in key else "sun")
    rows = np.stack([detail_row(SPACE, gold, read) for gold, read in keep])
    kappa, pairs = kappa_by_type(np.ones((1, len(rows))), rows, SPACE)
    assert dict(zip(SPACE.types, kappa[0], strict=True)) == {"scarf": pytest.approx(1.0), "weather": 0.0}
    assert list(pairs[0]) == [1_600, 800]


def test_chance_nobody_can_know_gives_no_score_neither_credit_nor_blame():
    """One story alone says nothing of how often stories agree by chance; a perfect one used to score 0, others -1."""
    gold = [{"scarf:Ann": "red"}] * 5
    perfect = (gold, gold)
    half = (gold, [*gold[:2], *[{"scarf:Ann": "blue"}] * 2, {}])
    assert np.isnan(detail_consistency(SPACE, [perfect]))
    assert np.isnan(detail_consistency(SPACE, [half]))
    assert np.isnan(detail_consistency(SPACE, [([f | {"weather": "sun"} for f in gold], gold)]))  # weather is not read
    weather = ([{"weather": "sun"}] * 3, [{"weather": "sun"}] * 3)
    many = stories(lambda rng, key, value: value if "scarf" in key else None)
    only_scarves = [([{k: v for k, v in f.items() if k != "weather"} for f in gold], read) for gold, read in many]
    assert detail_consistency(SPACE, [*only_scarves, weather]) == detail_consistency(SPACE, only_scarves)


def test_one_story_has_a_reason_and_its_table_is_json():
    metric = DetailConsistency(SPACE)
    seen = [Reading({"Ann": 1}, "", details={"scarf:Ann": "red"}) for _ in range(3)]
    truth = {"scarf:Ann": "red"}
    metric.update([FrameRecord("s", t, "s", ("Ann",), "", truth, (), Observation(r)) for t, r in enumerate(seen)])
    score = metric.score()
    assert (score.value, score.n, score.reason) == (None, 2, DetailConsistency.missing)
    table = metric.details()["detail_consistency_by_type"]
    assert table == {"scarf": {"kappa": None, "agreement": 1.0, "pairs": 2.0}}
