"""Intervals of the cluster bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from storybench.metrics.functional.characters import micro_f1
from storybench.statistics import draws as draws_module
from storybench.statistics.bootstrap import interval, method_for, paired_difference, point, ratio, story_weights
from storybench.statistics.statistic import leave_one_out


def test_weights_are_whole_draws_of_all_clusters():
    chunks = list(story_weights(7, draws=2_500, seed=3))
    assert [len(c) for c in chunks] == [1_000, 1_000, 500]
    weights = np.concatenate(chunks)
    assert np.all(weights.sum(1) == 7)
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.1)


def test_kept_draws_are_the_same_numbers_as_fresh_ones(monkeypatch):
    kept = np.concatenate(list(story_weights(40, draws=1_500, seed=2)))
    again = np.concatenate(list(story_weights(40, draws=1_500, seed=2)))
    monkeypatch.setattr(draws_module, "KEPT_WEIGHTS", 0)
    fresh = np.concatenate(list(story_weights(40, draws=1_500, seed=2)))
    assert kept.tobytes() == again.tobytes() == fresh.tobytes()
    assert kept.dtype == np.float64
    picks = np.random.default_rng(2).integers(0, 40, (1_000, 40))  # the generator that metrics.md 7 names
    assert np.array_equal(kept[0], np.bincount(picks[0], minlength=40))


def test_changing_yielded_weights_does_no_harm_to_the_kept_ones():
    first = next(story_weights(9, draws=10, seed=1))
    before = first.copy()
    first[:] = -1
    assert np.array_equal(next(story_weights(9, draws=10, seed=1)), before)


def test_leaving_out_is_the_statistic_of_the_others():
    rows = np.random.default_rng(3).random((1_203, 2))  # more than one chunk
    without = leave_one_out(rows, ratio())
    for k in (0, 999, 1_000, 1_202):
        assert without[k] == pytest.approx(point(np.delete(rows, k, axis=0), ratio()), rel=1e-12)


def test_f1_is_recomputed_for_every_draw():
    """Not a mean of F1s: a draw's value is the F1 of the frames drawn, each as often as it was."""
    rows = np.random.default_rng(0).integers(0, 4, (12, 6)).astype(float)

    def f1(weights, rows):
        return micro_f1((weights @ rows).reshape(len(weights), 2, 3))

    weights = next(story_weights(12, draws=50))
    by_hand = [point(np.repeat(rows, w.astype(int), axis=0), f1) for w in weights]
    assert f1(weights, rows) == pytest.approx(by_hand, rel=1e-14)


@pytest.mark.parametrize(("clusters", "method"), [(2, "t"), (17, "t"), (30, "bca_t"), (99, "bca_t"), (100, "bca")])
def test_interval_in_use_follows_the_number_of_clusters(clusters, method):
    assert method_for(clusters) == method
    rows = np.column_stack([np.random.default_rng(0).random(clusters), np.ones(clusters)])
    unit = (0.0, 1.0)
    assert interval(rows, ratio(), draws=300, bounds=unit) == interval(
        rows, ratio(), draws=300, bounds=unit, method=method
    )


def test_small_sample_bca_is_wider_by_the_quantiles_of_t():
    rows = np.column_stack([np.random.default_rng(0).normal(size=40), np.ones(40)])
    plain, wide = (interval(rows, ratio(), method=m) for m in ("bca", "bca_t"))
    expected = np.sqrt(40 / 39) * 2.0226909 / 1.9599640  # t quantile with 39 degrees of freedom
    # the ends are quantiles of 10,000 draws: about 0.01 of the width
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(expected, abs=0.015)


def test_interval_agrees_with_scipy_bca():
    from scipy.stats import bootstrap

    x = np.random.default_rng(0).exponential(size=60)
    rows = np.column_stack([x, np.ones(60)])
    ours = interval(rows, ratio(), seed=1, method="bca")
    theirs = bootstrap((x,), np.mean, method="BCa", n_resamples=10_000, random_state=2).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.01)  # Monte Carlo error of two sets of 10,000 draws
    assert ours.high == pytest.approx(theirs.high, abs=0.015)


def test_interval_covers_the_truth_as_often_as_it_says():
    """Clustered proportions at K = 50: 95 % intervals cover 93 to 97 % of 500 simulations (metrics.md 9)."""
    rng, covered = np.random.default_rng(5), 0
    for k in range(500):
        skill = rng.beta(14, 6, 50)  # stories differ: mean 0.7
        rows = np.column_stack([rng.binomial(5, skill), np.full(50, 5)]).astype(float)
        found = interval(rows, ratio(), draws=1_000, seed=k, bounds=(0.0, 1.0))
        covered += found.low <= 0.7 <= found.high
    assert 0.93 <= covered / 500 <= 0.97


def test_interval_is_seeded_and_contains_the_estimate():
    rows = np.column_stack([np.random.default_rng(0).random(40), np.ones(40)])
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


@pytest.mark.parametrize("empty", [2, 25, 60, 200])
def test_clusters_with_nothing_to_count_make_no_difference_surer(empty):
    a, b = (np.array(rows, dtype=float) for rows in ([[1, 4], [2, 4], [3, 4]], [[3, 4], [2, 4], [4, 4]]))
    nothing = np.zeros((empty, 2))
    alone = paired_difference(a, b, ratio())
    assert paired_difference(np.vstack([a, nothing]), np.vstack([b, nothing]), ratio()) == alone
    assert alone.low < 0 < alone.high


@pytest.mark.parametrize("second", [([0, 0], [0, 0]), ([0, 0], [0, 3])])
def test_a_difference_that_rests_on_one_cluster_has_no_interval(second):
    a, b = (np.array([[count, 2], other], dtype=float) for count, other in zip((1, 2), second, strict=True))
    found = paired_difference(a, b, ratio())
    assert not np.isnan(found.value)
    assert (found.low, found.high) == (None, None)  # and not an interval of width 0, which would pass every gate
