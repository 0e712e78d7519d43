"""Stories and seeds as sources of variance; what difference a benchmark can show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f_oneway

from storybench.errors import DataError
from storybench.statistics.clusters import design_effect
from storybench.statistics.power import minimum_detectable_difference, paired_standard_error
from storybench.statistics.variance import score_table, variance_components


def test_planted_components_are_recovered():
    rng = np.random.default_rng(0)
    table = 0.6 + rng.normal(0, 0.3, (4_000, 1)) + rng.normal(0, 0.2, (4_000, 3))
    found = variance_components(table)
    assert found.story == pytest.approx(0.09, rel=0.08)  # 3 SE of a variance from 4,000 stories
    assert found.seed == pytest.approx(0.04, rel=0.06)
    assert found.standard_error == pytest.approx(found.planned_error(4_000, 3), rel=1e-9)
    assert found.notes == ()


def test_components_by_hand_and_f_ratio_of_scipy():
    table = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    found = variance_components(table)
    assert (found.seed, found.story) == (1.0, pytest.approx((13.5 - 1.0) / 3))  # MSW 1, MSB 13.5
    assert f_oneway(*table).statistic == pytest.approx((3 * found.story + found.seed) / found.seed)
    assert found.standard_error == pytest.approx(np.sqrt(13.5 / 6))


def test_error_over_runs_is_the_spread_of_means_of_whole_experiments():
    """Run noise alone would give a bar far too small: stories vary as well."""
    rng = np.random.default_rng(1)
    means = [(rng.normal(0, 0.3, (50, 1)) + rng.normal(0, 0.2, (50, 3))).mean() for _ in range(2_000)]
    planned = variance_components(rng.normal(0, 0.3, (3_000, 1)) + rng.normal(0, 0.2, (3_000, 3))).planned_error(50, 3)
    assert np.std(means) == pytest.approx(planned, rel=0.06)
    assert np.sqrt(0.04 / (50 * 3)) < planned / 2


def test_negative_component_is_zero_with_a_note():
    rng = np.random.default_rng(3)
    table = rng.normal(size=(50, 3))
    table -= table.mean(1, keepdims=True) * 0.9  # stories more alike than seeds could make them
    found = variance_components(table)
    assert found.story == 0.0
    assert "set to 0" in found.notes[0]
    assert found.standard_error == pytest.approx(found.planned_error(50, 3))


def test_two_seeds_are_noted_and_one_is_refused():
    table = np.random.default_rng(0).normal(size=(10, 2))
    assert any("3 or more" in note for note in variance_components(table).notes)
    with pytest.raises(DataError, match="2 or more"):
        variance_components(table[:, :1])


def test_unbalanced_seeds_are_refused_with_the_story_that_is_missing():
    with pytest.raises(DataError, match="Seed 2 lacks 1 of 2 stories, such as b"):
        score_table({1: {"a": 0.1, "b": 0.2}, 2: {"a": 0.3}})
    stories, table = score_table({2: {"b": 4.0, "a": 3.0}, 1: {"a": 1.0, "b": 2.0}})
    assert stories == ("a", "b")
    assert table.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    with pytest.raises(DataError, match="Story 1 has no value for seed 0"):
        variance_components(np.array([[1.0, 2.0], [np.nan, 1.0]]))


def test_error_over_clusters_is_larger_when_stories_of_a_cluster_are_alike():
    rng = np.random.default_rng(5)
    clusters = [str(k // 20) for k in range(400)]
    table = np.repeat(rng.normal(0, 0.3, 20), 20)[:, None] + rng.normal(0, 0.3, (400, 3))
    naive, clustered = variance_components(table), variance_components(table, clusters)
    assert clustered.standard_error > 2 * naive.standard_error
    assert clustered.standard_error == pytest.approx(table.reshape(20, -1).mean(1).std(ddof=1) / np.sqrt(20))
    assert (clustered.story, clustered.seed) == (naive.story, naive.seed)
    with pytest.raises(DataError, match="400 stories but 1 clusters"):
        variance_components(table, ["a"])


def test_minimum_detectable_difference_is_that_of_the_specification():
    """metrics.md 7: n = 2,524, p_d = 0.2, 17 episodes, rho = 0.01; its figures are rounded."""
    frames = round(2_326 * 1.085)
    assert frames == 2_524
    alone = paired_standard_error(frames, 0.2)
    assert 100 * alone == pytest.approx(0.89, abs=0.005)
    assert 100 * minimum_detectable_difference(alone) == pytest.approx(2.5, abs=0.05)
    assert minimum_detectable_difference(1.0) == pytest.approx(2.80, abs=0.005)
    clustered = paired_standard_error(frames, 0.2, design_effect(frames, 17, 0.01))
    assert 100 * clustered == pytest.approx(1.40, abs=0.005)
    assert 100 * minimum_detectable_difference(clustered, 17) == pytest.approx(4.2, abs=0.05)
    assert minimum_detectable_difference(1.0, 17) == pytest.approx(2.12 + 0.865, abs=0.001)


def test_a_difference_of_that_size_is_found_four_times_in_five():
    """Simulated: z tests of paired frames with the true difference at the limit; 3 SE of 4,000 tests is 2 %."""
    rng, n, discordant = np.random.default_rng(0), 2_524, 0.2
    d = minimum_detectable_difference(paired_standard_error(n, discordant))
    signs = rng.multinomial(n, [(discordant + d) / 2, (discordant - d) / 2, 1 - discordant], size=4_000)
    z = (signs[:, 0] - signs[:, 1]) / np.sqrt(signs[:, 0] + signs[:, 1])
    assert np.mean(np.abs(z) > 1.959964) == pytest.approx(0.8, abs=0.02)


def test_what_has_no_error_is_refused():
    with pytest.raises(ValueError, match="one or more units"):
        paired_standard_error(0, 0.2)
    with pytest.raises(ValueError, match="two or more"):
        minimum_detectable_difference(0.1, 1)
