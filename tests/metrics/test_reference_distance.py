"""The distance curve: two fits against planted curves and against a third party, and the strata of mentions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from storybench.metrics.distance import BY_DISTANCE, BY_PRONOUN, MAX_DISTANCE, distance_summary, share
from storybench.metrics.functional.reference import half_life, logit_slope
from storybench.story import Mention

D = np.arange(1, 5)


def test_slope_equals_unpenalised_logistic_regression():
    hits, totals = np.array([180, 120, 40, 9]), np.array([200, 160, 70, 20])
    x = np.repeat(np.concatenate([D, D]), np.concatenate([hits, totals - hits]))[:, None]
    y = np.repeat([1, 0], [hits.sum(), (totals - hits).sum()])
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, y).coef_[0, 0]
    assert logit_slope(D, hits, totals) == pytest.approx(theirs, abs=1e-6)  # both stop at a gradient of about 1e-9


@pytest.mark.parametrize("slope", [-1.3, 0.0, 0.4])
def test_slope_of_an_exact_logistic_curve_is_found(slope):
    totals = np.full(4, 1000.0)
    hits = totals / (1 + np.exp(-(0.7 + slope * D)))
    assert logit_slope(D, hits, totals) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(
    ("hits", "totals"),
    [
        ([5, 5, 5, 5], [5, 5, 5, 5]),  # no miss
        ([0, 0, 0, 0], [5, 5, 5, 5]),  # no hit
        ([3, 0, 0, 0], [5, 0, 0, 0]),  # one distance
        ([5, 5, 0, 0], [5, 5, 5, 5]),  # a threshold parts hits from misses
        ([5, 3, 0, 0], [5, 5, 5, 5]),  # ... and meets them at one distance
        ([0, 0, 2, 5], [5, 5, 5, 5]),
    ],
)
def test_slope_is_missing_where_the_likelihood_has_no_maximum(hits, totals):
    assert logit_slope(D, np.array(hits), np.array(totals)) is None


@pytest.mark.parametrize("frames", [0.5, 2.0, 40.0])
def test_half_life_of_an_exact_decay_is_found(frames):
    chance, totals = 0.3, np.array([400, 300, 100, 20])
    accuracy = chance + 0.6 * 0.5 ** ((D - 1) / frames)
    assert half_life(D, accuracy * totals, totals, chance) == pytest.approx(frames, rel=1e-3)


@pytest.mark.parametrize(
    ("hits", "totals"),
    [
        ([9, 0, 0, 0], [10, 0, 0, 0]),  # distance 1 only
        ([0, 5, 5, 5], [0, 10, 10, 10]),  # no distance 1
        ([3, 2, 2, 2], [10, 10, 10, 10]),  # not above chance at distance 1
        ([7, 8, 8, 9], [10, 10, 10, 10]),  # rises
        ([9, 2, 2, 2], [10, 10, 10, 10]),  # at once below chance
    ],
)
def test_half_life_is_missing_where_nothing_decays(hits, totals):
    assert half_life(D, np.array(hits), np.array(totals), 0.3) is None


def mention(*who, surface="she", distance=1):
    return Mention(1, 0, len(surface), surface, who, "referential", distance=distance)


def test_strata_add_up_and_leave_out_what_is_too_far():
    scored = [
        (mention("Ann"), 1),
        (mention("Ann", surface="Her", distance=2), 0),
        (mention("Ann", "Bob", surface="the two friends", distance=2), 2),
        (mention("Ann", "Bob", "Cat", surface="their"), 1),
        (mention("Robin", surface="they", distance=MAX_DISTANCE + 1), 1),
    ]
    distances = BY_DISTANCE.table(np.stack([BY_DISTANCE.row(scored)] * 2))
    assert {k: (p["value"], p["n"]) for k, p in distances.items()} == {"1": (0.5, 8), "2": (2 / 3, 6)}
    pronouns = BY_PRONOUN.table(BY_PRONOUN.row(scored)[None])
    assert {k: (p["value"], p["n"]) for k, p in pronouns.items()} == {
        "she": (0.5, 2),
        "they": (1.0, 1),
        "they:several": (1 / 3, 3),
        "phrase:several": (1.0, 2),
    }


def test_a_share_has_an_interval_around_it():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.binomial(4, 0.7, 80), np.full(80, 4)], axis=1).astype(float)
    part = share(rows, 0, 1)
    assert part["low"] < part["value"] == rows[:, 0].sum() / 320 < part["high"]
    assert share(rows * 0, 0, 1) == {"value": None, "low": None, "high": None, "n": 0}


def test_clusters_with_nothing_to_count_make_no_share_surer():
    few = np.ones((5, 2))
    many = np.concatenate([few, np.zeros((95, 2))])
    assert share(many, 0, 1) == share(few, 0, 1)
    assert share(few, 0, 1)["low"] == pytest.approx(0.025 ** (1 / 5))  # exact binomial bound of five of five


def test_half_life_needs_the_chance_and_the_slope_does_not():
    sums = np.zeros((2, MAX_DISTANCE))
    sums[:, :3] = [80, 60, 45], [100, 100, 100]
    slope, life = distance_summary(sums.ravel(), None)
    assert slope is not None
    assert slope < 0
    assert life is None
    assert distance_summary(sums.ravel(), 0.2)[1] == pytest.approx(2.0, abs=0.6)  # 0.6, 0.4, 0.25 above chance
