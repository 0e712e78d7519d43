"""Standard error over clusters and the t interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from storybench.statistics.statistic import ratio
from storybench.statistics.student import standard_error, t_interval


def linearised_error(rows):
    """The textbook cluster-robust error of a ratio, factor K / (K - 1)."""
    k, (a, b) = len(rows), rows.T
    residual = (a - b * a.sum() / b.sum()) / b.sum()
    return np.sqrt(k / (k - 1) * np.sum(residual**2))


def test_mean_of_equal_clusters_has_the_textbook_error_and_interval():
    x = np.random.default_rng(0).normal(3, 2, size=17)
    rows = np.column_stack([x, np.ones(17)])
    assert standard_error(rows, ratio()) == pytest.approx(x.std(ddof=1) / np.sqrt(17), rel=1e-12)
    theirs = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert t_interval(rows, ratio()) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_ratio_over_unequal_clusters_is_close_to_the_linearised_error_and_not_smaller():
    rng = np.random.default_rng(1)
    size = rng.integers(69, 230, 400)  # stories an episode
    rows = np.column_stack([rng.binomial(size, rng.beta(14, 6, 400)), size]).astype(float)
    ours, textbook = standard_error(rows, ratio()), linearised_error(rows)
    assert textbook <= ours <= 1.01 * textbook  # they differ by O(1 / K)
    assert 1.0 <= standard_error(rows[:17], ratio()) / linearised_error(rows[:17]) < 1.1


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.floats(0.5, 0.99))
def test_interval_stays_in_bounds_and_holds_the_estimate(right, level):
    rows = np.column_stack([right, np.full(len(right), 5)]).astype(float)
    low, high = t_interval(rows, ratio(), level=level, bounds=(0.0, 1.0))
    estimate = sum(right) / (5 * len(right))
    if low is None:
        assert len(set(right)) == 1
        assert right[0] not in (0, 5)
    else:
        assert 0.0 <= low <= estimate + 1e-12
        assert estimate - 1e-12 <= high <= 1.0


def test_interval_near_the_end_has_more_room_on_the_other_side():
    rows = np.column_stack([[5, 5, 5, 4, 5, 5, 3, 5, 5, 5], np.full(10, 5)]).astype(float)
    plain, bounded = t_interval(rows, ratio()), t_interval(rows, ratio(), bounds=(0.0, 1.0))
    assert plain.high > 1.0 > bounded.high
    assert bounded.low < plain.low


def test_interval_of_a_value_with_one_bound_is_cut_there():
    rows = np.column_stack([[1, 5, 1, 1], np.ones(4)]).astype(float)
    assert t_interval(rows, ratio(), bounds=(0.0, float("inf"))).low == 0.0


def test_one_cluster_has_no_error():
    assert np.isnan(standard_error(np.ones((1, 2)), ratio()))
    assert t_interval(np.ones((1, 2)), ratio()) == (None, None)
