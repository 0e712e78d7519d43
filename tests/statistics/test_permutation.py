"""The swap test."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from storybench.metrics.functional.characters import micro_f1
from storybench.statistics.permutation import swap_test
from storybench.statistics.statistic import point, ratio


def f1(weights, rows):
    return micro_f1((weights @ rows).reshape(len(weights), -1, 3))


def p_by_enumeration(a, b, statistic):
    """Every way to exchange rows, one by one."""
    observed = abs(point(b, statistic) - point(a, statistic))
    extreme = 0
    for pattern in product([False, True], repeat=len(a)):
        swap = np.array(pattern)[:, None]
        value = point(np.where(swap, a, b), statistic) - point(np.where(swap, b, a), statistic)
        extreme += abs(value) >= observed - 1e-12
    return extreme / 2 ** len(a)


def test_p_of_a_ratio_and_of_f1_is_that_of_plain_enumeration():
    rng = np.random.default_rng(0)
    for k in (2, 5, 8):
        a, b = rng.integers(1, 9, (2, k, 6)).astype(float)
        assert swap_test(a, b, f1) == (pytest.approx(p_by_enumeration(a, b, f1)), 2**k, True)
        assert swap_test(a, b, ratio()).p_value == pytest.approx(p_by_enumeration(a, b, ratio()))


def test_p_of_a_mean_agrees_with_scipy_over_all_131072_patterns():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=17), rng.normal(0.6, 1, size=17)
    rows = [np.column_stack([x, np.ones(17)]) for x in (a, b)]
    theirs = stats.permutation_test((b - a,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf)
    ours = swap_test(*rows, ratio())
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-12)
    assert ours.patterns == 131_072


def test_all_wins_have_the_smallest_p_that_so_many_clusters_allow():
    a = np.column_stack([np.arange(17.0), np.full(17, 40.0)])
    assert swap_test(a, a + [1.0, 0.0], ratio()).p_value == 2 / 2**17


def test_many_clusters_are_drawn_by_seed_and_p_is_never_zero():
    rng = np.random.default_rng(2)
    a = np.column_stack([rng.binomial(5, 0.5, 300), np.full(300, 5)]).astype(float)
    b = np.column_stack([rng.binomial(5, 0.9, 300), np.full(300, 5)]).astype(float)
    found = swap_test(a, b, ratio(), draws=999)
    assert found == (1 / 1_000, 999, False)
    near = np.column_stack([a[:, 0] + (rng.random(300) < 0.1) - (rng.random(300) < 0.08), a[:, 1]])
    p = swap_test(a, near, ratio(), seed=0).p_value
    assert p == swap_test(a, near, ratio(), seed=0).p_value
    differences = near[:, 0] - a[:, 0]
    ups, downs = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    assert set(differences) == {-1, 0, 1}  # then the swap test is the sign test
    assert p == pytest.approx(stats.binomtest(ups, ups + downs).pvalue, abs=0.013)  # 3 SE of 10,000 patterns


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_p_is_a_probability_that_does_not_know_which_model_comes_first(seed, clusters):
    a, b = np.random.default_rng(seed).integers(1, 5, (2, clusters, 2)).astype(float)
    p = swap_test(a, b, ratio()).p_value
    assert 2 / 2**clusters <= p <= 1.0
    assert p == swap_test(b, a, ratio()).p_value


def test_equal_models_have_p_one_and_nothing_to_compare_has_none():
    a = np.random.default_rng(0).random((6, 2))
    assert swap_test(a, a, ratio()).p_value == 1.0
    assert np.isnan(swap_test(np.zeros((6, 2)), np.zeros((6, 2)), ratio()).p_value)
    with pytest.raises(ValueError, match="differ in shape"):
        swap_test(a, a[:5], ratio())


def test_p_is_uniform_when_neither_model_is_better():
    """Clusters of very different size: 5 % of 400 nulls are rejected, within 3 SE (3.3 %)."""
    rng, rejected = np.random.default_rng(7), 0
    for _ in range(400):
        size = rng.integers(69, 230, 9)
        skill = rng.beta(7, 3, 9)
        a, b = (np.column_stack([rng.binomial(size, skill), size]).astype(float) for _ in range(2))
        rejected += swap_test(a, b, ratio()).p_value <= 0.05
    assert rejected / 400 == pytest.approx(0.05, abs=0.033)
