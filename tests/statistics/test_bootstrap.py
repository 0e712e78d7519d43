"""Intervals of the cluster bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from storybench.statistics.bootstrap import interval, paired_difference, point, ratio, story_weights


def test_weights_are_whole_draws_of_all_clusters():
    chunks = list(story_weights(7, draws=2_500, seed=3))
    assert [len(c) for c in chunks] == [1_000, 1_000, 500]
    weights = np.concatenate(chunks)
    assert np.all(weights.sum(1) == 7)
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.1)


def test_interval_agrees_with_scipy_bca():
    from scipy.stats import bootstrap

    x = np.random.default_rng(0).exponential(size=60)
    rows = np.column_stack([x, np.ones(60)])
    ours = interval(rows, ratio(), seed=1)
    theirs = bootstrap((x,), np.mean, method="BCa", n_resamples=10_000, random_state=2).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)  # Monte Carlo error of two sets of 10,000 draws
    assert ours.high == pytest.approx(theirs.high, abs=0.015)


def test_interval_covers_the_truth_as_often_as_it_says():
    """Clustered proportions at K = 50: 95 % intervals cover 90 to 99 % of 300 simulations (3 SE around 95 %)."""
    rng, covered = np.random.default_rng(5), 0
    for k in range(300):
        skill = rng.beta(14, 6, 50)  # stories differ: mean 0.7
        rows = np.column_stack([rng.binomial(5, skill), np.full(50, 5)]).astype(float)
        found = interval(rows, ratio(), draws=1_000, seed=k)
        covered += found.low <= 0.7 <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def test_interval_is_seeded_and_contains_the_estimate():
    rows = np.column_stack([np.random.default_rng(0).random(20), np.ones(20)])
    assert interval(rows, ratio(), seed=4) == interval(rows, ratio(), seed=4)
    assert interval(rows, ratio(), seed=4) != interval(rows, ratio(), seed=5)
    found = interval(rows, ratio())
    assert found.low < point(rows, ratio()) < found.high


def test_perfect_score_has_an_exact_bound_not_a_point():
    rows = np.ones((30, 2))
    found = interval(rows, ratio(), draws=100, bounds=(0.0, 1.0))
    assert found.high == 1.0
    assert found.low == pytest.approx(0.025 ** (1 / 30))


@pytest.mark.parametrize("rows", [np.ones((1, 2)), np.zeros((5, 2))])
def test_nothing_to_resample_gives_no_interval(rows):
    assert interval(rows, ratio(), draws=100) == (None, None)


def test_paired_difference_is_narrower_than_unpaired():
    rng = np.random.default_rng(1)
    base = rng.binomial(5, rng.beta(5, 2, 80)).astype(float)
    better = np.minimum(base + (rng.random(80) < 0.3), 5)
    a, b = (np.column_stack([x, np.full(80, 5.0)]) for x in (base, better))
    found = paired_difference(a, b, ratio(), draws=2_000)
    assert found.value == pytest.approx((better - base).sum() / 400)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < interval(a, ratio(), draws=2_000).high - interval(a, ratio(), draws=2_000).low
    same = paired_difference(a, a, ratio(), draws=100)
    assert same == (0.0, 0.0, 0.0)
