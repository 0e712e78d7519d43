"""Delete-a-group jackknife."""

from __future__ import annotations

import numpy as np
import pytest

from storybench.metrics.functional.frechet import frechet_distance
from storybench.statistics.jackknife import delete_group_jackknife, group_indices


def test_mean_has_the_textbook_standard_error():
    x = np.random.default_rng(0).normal(size=200)
    left = [np.delete(x, i).mean() for i in range(200)]
    found = delete_group_jackknife(x.mean(), left, [1] * 200)
    assert found.corrected == pytest.approx(x.mean())
    assert found.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(200))


def test_planted_one_over_n_bias_is_removed_with_unequal_groups():
    sizes = np.array([5, 10, 15, 20, 50])
    n = sizes.sum()
    found = delete_group_jackknife(2 + 3 / n, [2 + 3 / (n - s) for s in sizes], sizes)
    assert found.corrected == pytest.approx(2.0, abs=1e-12)


def test_frechet_bias_is_removed_when_groups_leave_both_sides():
    """Same distribution, so the truth is 0; the plug-in value is far above it (metrics.md 5.3)."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(400, 16)), rng.normal(size=(400, 16))
    groups = group_indices([str(i) for i in range(400)], 20)
    value = frechet_distance(x, y)
    left = [frechet_distance(x[groups != g], y[groups != g]) for g in range(20)]
    found = delete_group_jackknife(value, left, np.bincount(groups))
    assert value > 0.1
    assert abs(found.corrected) < 0.25 * value
    assert 0 < found.standard_error < value


def test_groups_keep_clusters_whole_and_ignore_row_order():
    keys = np.array(["b", "a", "c", "a", "b", "d"])
    groups = group_indices(keys, 2)
    assert groups[1] == groups[3]
    assert groups[0] == groups[4]
    assert list(group_indices(keys[::-1], 2)[::-1]) == list(groups)


def test_one_group_is_refused():
    with pytest.raises(ValueError, match="two or more groups"):
        delete_group_jackknife(1.0, [1.0], [3])
