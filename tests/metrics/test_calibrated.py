"""Calibrated consistency: truth is 1, strangers are 0, frozen frames are not perfect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from storybench.metrics.calibrated import IdentityConsistency, SettingConsistency
from storybench.metrics.functional.calibrated import calibrated_consistency, mean_similarities, separation_error
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Figures, Observation
from storybench.statistics.bootstrap import story_weights

NAMES = ("Ann", "Bob")
WIDTH = 24
KINDS = [IdentityConsistency, SettingConsistency]


def unit(x):
    return (x / np.linalg.norm(x)).astype(np.float32)


def picture(looks):
    """A frame with one figure and a background that look alike."""
    sure = np.array([[0.5, 0.5]], dtype=np.float32)
    box = np.zeros((1, 4), dtype=np.float32)
    return Observation(figures=Figures(NAMES, box, sure, unit(looks)[None], unit(looks)))


def stories(noise=0.5, count=40, frames=4, seed=0):
    """Each story has its own look, frames vary around it; strangers look like other stories."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(count, WIDTH))
    out = []
    for k in range(count):
        records = []
        for t in range(frames):
            drawn, true = (picture(looks[k] + noise * rng.normal(size=WIDTH)) for _ in range(2))
            stranger = picture(looks[(k + t + 1) % count] + noise * rng.normal(size=WIDTH))
            records.append(
                FrameRecord(str(k), t, str(k), ("Ann",), "beach", {}, (), drawn, truth=true, stranger=stranger)
            )
        out.append(records)
    return out


def scored(kind, some):
    metric = kind()
    for story in some:
        metric.update(story)
    return metric


def drawn_as(some, what):
    return [[replace(r, seen=what(r)) for r in story] for story in some]


def test_scale_by_hand():
    assert calibrated_consistency(0.9, 0.9, 0.5) == 1.0
    assert calibrated_consistency(0.5, 0.9, 0.5) == 0.0
    assert calibrated_consistency(0.7, 0.9, 0.5) == pytest.approx(0.5)
    assert calibrated_consistency(1.0, 0.9, 0.5) == pytest.approx(0.75)  # as far above the truth as 0.8 is below
    assert calibrated_consistency(0.1, 0.9, 0.5) == pytest.approx(-1.0)  # never clipped
    assert np.isnan(calibrated_consistency(0.7, 0.5, 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_true_stories_score_one_and_strangers_zero(kind):
    some = stories()
    assert float(scored(kind, drawn_as(some, lambda r: r.truth)).compute()) == 1.0
    assert float(scored(kind, drawn_as(some, lambda r: r.stranger)).compute()) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_the_same_spread_score_about_one(kind):
    score = scored(kind, stories(count=200)).score(draws=500)
    assert score.value == pytest.approx(1.0, abs=0.03)  # 1 - |difference of two means|, never above 1
    assert score.value <= 1.0
    assert score.n == 200 * 6


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_frames_score_lower_than_frames_that_vary_as_the_truth(kind):
    some = stories(noise=1.5)
    frozen = picture(np.ones(WIDTH))
    faithful = float(scored(kind, some).compute())
    constant = float(scored(kind, drawn_as(some, lambda r: frozen)).compute())
    assert faithful > 0.8
    assert constant < faithful - 0.5
    assert constant < 0  # truth is about 0.3 alike, strangers not at all: 1 is more than twice as far


def test_more_and_less_alike_than_the_truth_cost_the_same():
    assert calibrated_consistency(0.95, 0.9, 0.5) == pytest.approx(calibrated_consistency(0.85, 0.9, 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_scale_without_ends_is_refused_with_the_numbers(kind):
    some = [[replace(r, truth=r.stranger) for r in story] for story in stories(count=6)]
    score = scored(kind, some).score()
    assert score.value is None
    assert "standard errors" in score.reason
    assert np.isnan(float(scored(kind, some).compute()))


def test_one_story_alone_is_refused():
    assert "two or more" in scored(IdentityConsistency, stories(count=1)).score().reason


@pytest.mark.parametrize("kind", KINDS)
def test_run_without_true_frames_is_told_so(kind):
    some = [[replace(r, truth=None, stranger=None) for r in story] for story in stories(count=4)]
    metric = scored(kind, some)
    assert metric.score().value is None
    assert metric.score().reason == metric.missing
    assert metric.details()[f"{kind.name}_parts"]["true"] is None
    assert kind().score().reason == "no story was scored"


def test_parts_are_the_three_means_and_the_distance_of_distributions():
    some = stories(count=10)
    metric = scored(IdentityConsistency, some)

    def similarities(which):
        each = []
        for story in some:
            looks = [which(r).figures.embeddings[0].astype(float) for r in story]
            each += [looks[a] @ looks[b] for a in range(4) for b in range(a)]
        return each

    drawn, true = similarities(lambda r: r.seen), similarities(lambda r: r.truth)
    strangers = similarities(lambda r: r.stranger)
    parts = metric.details()["identity_consistency_parts"]
    assert parts["generated"] == pytest.approx(np.mean(drawn), abs=1e-6)
    assert parts["true"] == pytest.approx(np.mean(true), abs=1e-6)
    assert parts["strangers"] == pytest.approx(np.mean(strangers), abs=1e-6)
    assert parts["wasserstein_to_true"] == pytest.approx(wasserstein_distance(drawn, true), abs=1e-6)
    expected = calibrated_consistency(np.mean(drawn), np.mean(true), np.mean(strangers))
    assert float(metric.compute()) == pytest.approx(float(expected), abs=1e-6)


def test_setting_pairs_need_the_same_place():
    story = stories(count=2)[0]
    apart = [replace(r, setting=("beach", "farm", "beach", "")[t]) for t, r in enumerate(story)]
    assert SettingConsistency().row(apart)[[1, 3, 5]].tolist() == [1, 1, 1]
    assert SettingConsistency().row([replace(r, setting="") for r in story])[1] == 0


def test_error_of_the_separation_is_that_of_the_bootstrap():
    rows = scored(IdentityConsistency, stories(count=60)).cluster_rows()
    ends = [mean_similarities(w, rows) for w in story_weights(60, draws=4_000, seed=1)]
    spread = np.concatenate([e.real - e.floor for e in ends]).std()
    assert separation_error(rows) == pytest.approx(spread, rel=0.08)  # 4,000 draws: 1 %, and the bootstrap's K - 1


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_stories_and_joining_of_processes_change_no_bit(kind):
    some = stories(count=12)
    forward, backward = scored(kind, some), scored(kind, some[::-1])
    assert forward.score(draws=200) == backward.score(draws=200)
    assert forward.details() == backward.details()
    joined, rest = scored(kind, some[:7]), scored(kind, some[7:])
    joined.clusters += rest.clusters
    joined.rows += rest.rows
    joined.similarities_of += rest.similarities_of
    assert joined.score(draws=200) == forward.score(draws=200)
    assert joined.details() == forward.details()
