"""Which stories are independent."""

from __future__ import annotations

import numpy as np
import pytest

from storybench.data.windows import story_windows
from storybench.errors import DataError
from storybench.statistics.clusters import (
    cluster_of,
    cluster_sums,
    design_effect,
    intraclass_correlation,
    measured_design_effect,
    story_clusters,
    without_overlap,
)
from storybench.statistics.statistic import ratio
from storybench.story import Frame, Story


def told(name, clips, cluster=""):
    return Story(name, "toy", "test", tuple(Frame(t, {}, (), "", id=c) for t, c in enumerate(clips)), (), cluster)


EPISODES = {f"e{e}": [f"e{e}/{k}" for k in range(clips)] for e, clips in enumerate((11, 7, 4))}


def windowed(rule):
    windows = story_windows(EPISODES, 4, rule)
    return [told(w[0], w, w[0].split("/")[0]) for w in windows]


def test_cluster_is_the_episode_or_else_the_story():
    assert cluster_of(told("s", "abc", "e")) == "e"
    assert cluster_of(told("s", "abc")) == "s"
    stories = windowed("overlapping")
    assert story_clusters(stories) == {s.id: s.id.split("/")[0] for s in stories}


def test_windows_without_overlap_are_the_aligned_ones():
    kept = without_overlap(windowed("overlapping"))
    assert [s.id for s in kept] == [s.id for s in windowed("aligned")]
    assert [s.id for s in kept] == ["e0/0", "e0/4", "e1/0", "e2/0"]


def test_stories_that_share_a_frame_but_no_cluster_are_refused():
    with pytest.raises(DataError, match="one and two share frame b"):
        story_clusters([told("one", "ab"), told("two", "bc")])
    assert story_clusters([told("one", ["", ""]), told("two", ["", ""])]) == {"one": "one", "two": "two"}
    assert story_clusters([told("one", "aa")]) == {"one": "one"}


def test_sums_by_cluster_keep_the_total_and_forget_the_order():
    rng = np.random.default_rng(0)
    rows, names = rng.integers(0, 9, (30, 3)).astype(float), [f"e{k % 4}" for k in range(30)]
    sums = cluster_sums(rows, names)
    assert sums.sum(0).tolist() == rows.sum(0).tolist()
    assert sums[1].tolist() == rows[1::4].sum(0).tolist()
    mixed = rng.permutation(30)
    assert np.array_equal(cluster_sums(rows[mixed], [names[k] for k in mixed]), sums)
    with pytest.raises(ValueError, match="30 rows but 1 clusters"):
        cluster_sums(rows, ["e"])


def test_intraclass_correlation_is_recovered_from_unequal_clusters():
    rng = np.random.default_rng(2)
    size = rng.integers(2, 20, 3_000)
    names = np.repeat(np.arange(3_000), size).astype(str)
    values = np.repeat(rng.normal(0, np.sqrt(0.3), 3_000), size) + rng.normal(0, np.sqrt(0.7), size.sum())
    assert intraclass_correlation(values, list(names)) == pytest.approx(0.3, abs=0.03)
    assert intraclass_correlation(rng.permutation(values), list(names)) == pytest.approx(0.0, abs=0.02)


def test_intraclass_correlation_is_one_for_copies_and_undefined_without_pairs():
    assert intraclass_correlation(np.array([1.0, 1.0, 2.0, 2.0]), list("aabb")) == 1.0
    assert np.isnan(intraclass_correlation(np.array([1.0, 2.0]), list("ab")))
    assert np.isnan(intraclass_correlation(np.array([1.0, 2.0]), list("aa")))


def test_measured_design_effect_is_that_of_the_formula_for_equal_clusters():
    rng, clusters, units, rho = np.random.default_rng(4), 2_000, 20, 0.1
    names = [str(k // units) for k in range(clusters * units)]
    values = np.repeat(rng.normal(0, np.sqrt(rho), clusters), units) + rng.normal(0, np.sqrt(1 - rho), len(names))
    expected = design_effect(clusters * units, clusters, rho)
    assert expected == pytest.approx(1 + 19 * rho)
    sums = cluster_sums(np.column_stack([values, np.ones(len(names))]), names)
    within = values.var() / len(values)
    error = np.sum((sums[:, 0] - sums[:, 1] * values.mean()) ** 2) / len(values) ** 2
    assert error / within == pytest.approx(expected, rel=0.12)  # 3 SE of a variance over 2,000 clusters
    few = [names[k] for k in range(2_000)]
    rows = np.column_stack([values[:2_000], np.ones(2_000)])
    assert measured_design_effect(rows, few, ratio()) > 1.5
    assert measured_design_effect(rows, [str(k) for k in range(2_000)], ratio()) == pytest.approx(1.0)
