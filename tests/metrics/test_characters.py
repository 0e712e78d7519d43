"""Character and setting metrics: counted by hand, against scikit-learn, and with a planted noisy classifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, precision_score, recall_score

from storybench import metrics as m
from storybench.metrics.functional import characters, noise
from storybench.metrics.functional.setting import macro_f1_of_settings, setting_exact
from storybench.metrics.instruments import Instruments
from storybench.perception.observation import Observation, Reading

NAMES = ("Ann", "Bob", "Cat")
SETTINGS = ("beach", "farm", "city")


def reading(place="beach", labels=None, **counts):
    shown = None if labels is None else frozenset(labels)
    return Reading({n: counts.get(n, 0) for n in NAMES}, place, setting_labels=shown)


def record(k, expected, seen, truth=None, place="beach", story="s"):
    true = reading(place, **dict.fromkeys(expected, 1)) if truth is None else truth
    return m.FrameRecord(story, k, story, expected, place, {}, (), Observation(seen), truth=Observation(true))


# Frame 0: right. 1: Ann twice, and Cat, for Ann. 2: nobody asked, Bob drawn. 3: all three asked, Ann drawn.
STORY = [
    record(0, ("Ann", "Bob"), reading(Ann=1, Bob=1)),
    record(1, ("Ann",), reading("farm", Ann=2, Cat=1), place="farm"),
    record(2, (), reading("farm", Bob=1)),
    record(3, NAMES, reading("city", Ann=1), place="city"),
]


def value(metric, story=STORY):
    metric.update(story)
    return float(metric.compute())


def test_empty_frames_and_wrong_numbers_are_counted_by_hand():
    assert value(m.SpuriousRate()) == 2 / 4  # Cat in frame 1, Bob in frame 2
    assert value(m.MissingRate()) == 2 / 4  # Bob and Cat in frame 3
    assert value(m.CountError()) == (0 + 1 + 1 + 2) / 4
    assert value(m.CharacterF1()) == pytest.approx(2 * 4 / (2 * 4 + 2 + 2))


def test_table_of_characters_says_precision_recall_and_missing_is_not_zero():
    metric = m.CharacterF1()
    metric.update(STORY)
    table = metric.details()["characters"]
    assert table["Ann"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "frames": 3}
    assert table["Cat"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "frames": 1}
    nobody = m.CharacterF1()
    nobody.update([record(0, ("Ann",), reading())])
    assert nobody.details()["characters"]["Bob"] == {"precision": None, "recall": None, "f1": None, "frames": 0}


tables = arrays(np.int64, (12, 4), elements=st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(tables, tables)
def test_f1_precision_and_recall_are_those_of_scikit_learn(predicted, expected):
    seen, gold = predicted > 0, expected > 0
    sums = characters.confusion(predicted, expected).sum(0)
    if (seen | gold).any():
        assert characters.micro_f1(sums) == pytest.approx(f1_score(gold, seen, average="micro", zero_division=np.nan))
    present = gold.any(0)
    if present.any():
        theirs = f1_score(gold, seen, average=None, zero_division=0)[present].mean()
        assert characters.macro_f1(sums) == pytest.approx(theirs)
    precision, recall = characters.precision_recall(sums)
    ours = np.nan_to_num(np.stack([precision, recall]), nan=-1)
    theirs = np.stack(
        [score(gold, seen, average=None, zero_division=np.nan) for score in (precision_score, recall_score)]
    )
    assert np.allclose(ours, np.nan_to_num(theirs, nan=-1))


@settings(max_examples=40, deadline=None)
@given(tables, tables)
def test_spurious_and_missing_swap_with_the_sides(predicted, expected):
    assert np.array_equal(characters.spurious(predicted, expected), characters.missing(expected, predicted))
    error = characters.spurious(predicted, expected) - characters.missing(predicted, expected)
    assert np.array_equal(characters.count_error(predicted, expected), np.abs(error))


def test_rogan_gladen_recovers_a_planted_rate_within_its_error():
    rng = np.random.default_rng(0)
    truth, sensitivity, specificity, n = 0.3, 0.9, 0.85, 2_000
    pulls = []
    for _ in range(300):
        has = rng.random(n) < truth
        seen = np.where(has, rng.random(n) < sensitivity, rng.random(n) >= specificity).mean()
        se, sp = rng.binomial(n, sensitivity) / n, rng.binomial(n, specificity) / n
        found = noise.rogan_gladen_with_error(seen, n, se, n, sp, n)
        pulls.append((float(found.rate) - truth) / float(found.standard_error))
    assert abs(np.mean(pulls)) < 3 / np.sqrt(300)  # unbiased
    assert 0.88 < np.std(pulls) < 1.12  # the error is the right size; 3 SE of a standard deviation at 300


def test_a_weak_classifier_is_refused_and_a_perfect_one_changes_nothing():
    assert np.isnan(noise.rogan_gladen(0.5, 0.7, 0.7))
    rates = np.linspace(0, 1, 11)
    assert np.allclose(noise.rogan_gladen(rates, 1.0, 1.0), rates)
    assert noise.rogan_gladen(0.02, 0.9, 0.9) == 0.0  # fewer alarms than its own errors: clipped, not negative


def test_correction_uses_the_errors_on_true_frames():
    """The classifier overlooks Ann in half of the true frames; a model that draws her always looks half as good."""
    story = []
    for k in range(40):
        expected = ("Ann",) if k % 2 else ()
        seen = reading(Ann=int(k % 8 != 1 and bool(expected)))  # found in 3 of 4
        story.append(record(k, expected, seen, truth=seen))
    metric = m.CharacterRecallCorrected()
    metric.update(story)
    ann = metric.details()["char_recall_corrected"]["Ann"]
    assert ann["observed"] == ann["sensitivity"] == 0.75
    assert ann["corrected"] == pytest.approx(1.0)
    assert float(metric.compute()) == pytest.approx(1.0)
    alarms = m.FalseAlarmCorrected()
    alarms.update(story)
    assert float(alarms.compute()) == 0.0


def test_settings_likeliest_and_published_forms_by_hand():
    rows = [
        record(0, (), reading("beach", ["beach"])),
        record(1, (), reading("beach", ["beach", "farm"])),  # likeliest right, published wrong
        record(2, (), reading("farm", []), place="farm"),  # no logit above 0: wrong and a false negative
        record(3, (), reading("city", ["farm"]), place=""),  # no setting annotated: not counted
    ]
    assert value(m.SettingAccuracy(), rows) == 1.0
    assert value(m.SettingExactPublished(), rows) == 1 / 3
    assert value(m.SettingF1Published(), rows) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert setting_exact([frozenset({"a"}), frozenset()], ["a", "b"]) == 0.5


def test_macro_f1_of_settings_leaves_out_rare_ones():
    metric = m.SettingF1Macro.build(Instruments(settings=SETTINGS))
    story = [record(k, (), reading("beach" if k < 10 else "farm"), place="beach") for k in range(12)]
    story += [record(20, (), reading("beach"), place="city")]  # one gold frame: too rare
    assert value(metric, story) == pytest.approx(2 * 10 / (2 * 10 + 1 + 2))
    gold = np.array(["beach"] * 12 + ["farm"] * 11)
    seen = np.array(["beach"] * 9 + ["farm"] * 3 + ["farm"] * 11)
    sums = np.array(
        [
            [((gold == s) & (seen == s)).sum(), ((gold != s) & (seen == s)).sum(), ((gold == s) & (seen != s)).sum()]
            for s in SETTINGS[:2]
        ]
    )
    assert macro_f1_of_settings(sums) == pytest.approx(f1_score(gold, seen, average="macro"))


def test_a_gold_character_whom_the_evaluator_does_not_know_is_missing_not_free():
    rows = [record(0, ("Ann", "Zed"), reading(Ann=1)), record(1, ("Ann",), reading(Ann=1))]
    assert value(m.CharacterAccuracy(), rows) == 0.5
    assert value(m.CountAccuracy(), rows) == 0.5
    assert value(m.MissingRate(), rows) == 0.5
    assert value(m.CountError(), rows) == 0.5
    assert value(m.CharacterF1(), rows) == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert value(m.CharacterF1Macro(), rows) == 0.5  # Ann 1, all unknown ones 0
    metric = m.CharacterF1()
    for story in (rows, STORY):  # with and without an unknown one
        metric.update(story)
    assert set(metric.details()["characters"]) == set(NAMES)
    assert value(m.SpuriousRate(), rows) == 0.0


def test_the_settings_that_count_are_those_of_all_frames_in_every_draw():
    """Were they chosen anew in each draw, the interval would measure which settings pass the limit."""
    rng = np.random.default_rng(0)
    places = tuple(f"place {k}" for k in range(12))
    metric = m.SettingF1Macro(places)
    for k in range(20):  # about ten gold frames a setting: half of them pass
        gold = rng.choice(places, 6)
        seen = [p if rng.random() < 0.9 or p in places[:6] else "elsewhere" for p in gold]
        frames = [
            record(t, (), reading(s), place=p, story=f"s{k}") for t, (p, s) in enumerate(zip(gold, seen, strict=True))
        ]
        metric.update(frames)
    rows = metric.cluster_rows()
    gold = rows[:, :-1].sum(0).reshape(-1, 3)[:, [0, 2]].sum(1)
    assert 0 < (gold >= 10).sum() < len(places)
    counted = rows.copy().reshape(len(rows), -1)
    rare = np.repeat(gold < 10, 3)
    counted[:, :-1][:, rare] = 0  # a setting that does not count has nothing to say in any draw
    weights = rng.multinomial(20, np.full(20, 1 / 20), size=50).astype(float)
    assert metric.statistic(weights, rows) == pytest.approx(metric.statistic(weights, counted), abs=1e-15)
    assert metric.statistic(np.ones((1, 20)), rows)[0] == float(metric.compute())
