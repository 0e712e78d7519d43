"""Every metric without each of its clusters: the values are those of the metric itself without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storybench import metrics as m
from storybench.metrics.base import cluster_key
from storybench.metrics.characters import CharacterAccuracy, CharacterF1, CharacterF1Macro
from storybench.metrics.frechet import Frechet, FrechetCorrected
from storybench.metrics.kernel import StoryCMMD, StoryKID
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation, Reading
from storybench.statistics.jackknife import delete_group_jackknife
from storybench.statistics.student import standard_error

NAMES = ("Ann", "Bob", "Cat")
WIDTH = 4


def stories(count=24, clusters=8, seed=0):
    """Return judged stories of three frames, three of them a cluster, with features."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        frames = []
        for k in range(3):
            expected = tuple(rng.choice(NAMES, rng.integers(1, 3), replace=False).tolist())
            counts = {name: int((name in expected) ^ (rng.random() < 0.2)) for name in NAMES}
            reading = Reading(counts, "beach", features=rng.normal(size=WIDTH).astype(np.float32))
            frames.append(FrameRecord(f"s{i}", k, f"c{i % clusters}", expected, "beach", {}, (), Observation(reading)))
        out.append(frames)
    return out


def filled(metric, told):
    for story in told:
        metric.update(story)
    return metric


def distance(kind):
    rng = np.random.default_rng(9)
    groups = np.array([cluster_key(f"c{i % 8}") for i in range(200)])  # the clusters of the stories, on both sides
    return kind(rng.normal(size=(200, WIDTH)) * 1.1, groups, "toy-v1", "toy")


@pytest.mark.parametrize("kind", [CharacterAccuracy, CharacterF1, CharacterF1Macro, m.SettingAccuracy])
def test_values_without_a_cluster_are_those_of_the_stories_that_are_left(kind):
    told = stories()
    found = filled(kind(), told).left_out()
    assert found.value == pytest.approx(float(filled(kind(), told).compute()), abs=1e-15)
    keys = {f"{cluster_key(story[0].cluster):016x}": story[0].cluster for story in told}
    assert set(found.units) == set(keys)
    for unit, without in zip(found.units, found.without, strict=True):
        left = [story for story in told if story[0].cluster != keys[unit]]
        assert without == pytest.approx(float(filled(kind(), left).compute()), abs=1e-12)
    assert np.array_equal(found.sizes, np.ones(8))


def test_order_of_update_leaves_no_trace():
    told = stories()
    one, other = filled(CharacterF1(), told).left_out(), filled(CharacterF1(), told[::-1]).left_out()
    assert one.units == other.units
    assert np.array_equal(one.without, other.without)


def test_standard_error_of_a_score_is_that_of_its_left_out_values():
    metric = filled(CharacterAccuracy(), stories())
    found = metric.left_out()
    jackknife = delete_group_jackknife(found.value, found.without, found.sizes).standard_error
    assert jackknife == pytest.approx(standard_error(metric.cluster_rows(), metric.statistic), rel=1e-12)
    assert jackknife == pytest.approx(metric.score().standard_error, rel=1e-12)


@pytest.mark.parametrize("kind", [Frechet, FrechetCorrected, StoryKID, StoryCMMD])
def test_standard_error_of_a_distance_is_that_of_its_left_out_groups(kind):
    metric = filled(distance(kind), stories())
    found, score = metric.left_out(), metric.score()
    assert len(found.units) == len(found.without) == len(found.sizes) == 8
    assert found.sizes.sum() == score.n == 72
    assert found.value == score.value
    jackknife = delete_group_jackknife(found.value, found.without, found.sizes).standard_error
    assert jackknife == pytest.approx(score.standard_error, rel=1e-9)


def test_groups_of_a_distance_are_named_by_the_clusters_in_them():
    """The same stories give the same names whatever is drawn for them; other stories give others."""
    units = filled(distance(Frechet), stories(seed=0)).left_out().units
    assert units == filled(distance(Frechet), stories(seed=1)).left_out().units
    renamed = [[replace(r, cluster=f"{r.cluster}x") for r in story] for story in stories()]
    assert units != filled(distance(Frechet), renamed).left_out().units


@pytest.mark.parametrize("metric", [CharacterAccuracy(), CharacterF1(), m.AntecedentAccuracy()])
def test_without_a_story_there_is_nothing_to_leave_out(metric):
    assert metric.left_out() is None


def test_a_metric_without_a_value_leaves_nothing_out():
    assert filled(m.AntecedentAccuracy(), stories()).left_out() is None  # no story refers to anybody
