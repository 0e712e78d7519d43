"""The copy guard: copies are caught, true frames are not, and nothing irrelevant moves the rate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from storybench.metrics.copying import CopyRate
from storybench.metrics.functional.copying import consecutive_distances, copy_rate, copy_threshold
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation

NET = "toy-net/v1"
INSTRUMENTS = Instruments(features=NET)


def features(story, frames=5, scale=1.0):
    return (scale * np.random.default_rng(story).normal(size=(frames, 8))).astype(np.float32)


def records(story, generated, true):
    return [
        FrameRecord(
            f"s{story}",
            t,
            f"s{story}",
            (),
            "",
            {},
            (),
            Observation(features={NET: g}),
            truth=Observation(features={NET: x}),
        )
        for t, (g, x) in enumerate(zip(generated, true, strict=True))
    ]


def scored(stories):
    metric = CopyRate.build(INSTRUMENTS)
    for story in stories:
        metric.update(story)
    return metric


def test_true_frames_score_one_per_cent_and_raise_no_flag():
    metric = scored([records(k, features(k), features(k)) for k in range(100)])
    score = metric.score(draws=500)
    assert score.n == 400
    assert score.value == pytest.approx(0.01, abs=1 / 400)  # the percentile of 400 pairs
    assert score.protocol == f"copy_rate/v1@{NET}"
    assert metric.details()["copy_flagged"] is False


def test_copying_the_frame_before_is_caught():
    drawn = ([0, 0, 2, 2, 4], [0, 1, 2, 3, 4])  # two of four pairs in every other story
    stories = [records(k, features(k)[drawn[k % 2]], features(k)) for k in range(100)]
    metric = scored(stories)
    score = metric.score(draws=500)
    assert score.value == pytest.approx(0.25, abs=0.01)  # and one or two pairs that happen to be close
    assert score.low < score.value < score.high
    found = metric.details()
    assert found["copy_flagged"] is True
    json.dumps(found, allow_nan=False)
    assert found["copy_threshold"] == copy_threshold(
        np.concatenate([consecutive_distances(features(k)) for k in range(100)])
    )


def test_a_nearly_frozen_model_is_caught_and_a_lively_one_is_not():
    frozen = scored([records(k, features(k, scale=0.01), features(k)) for k in range(20)])
    lively = scored([records(k, features(k, scale=3.0), features(k)) for k in range(20)])
    assert float(frozen.compute()) == 1.0
    assert float(lively.compute()) == 0.0


def test_copies_are_caught_where_the_truth_repeats_frames_too():
    true = np.concatenate([np.zeros(5), np.ones(95)])
    assert copy_threshold(true) == 0.0
    assert copy_rate(np.array([0.0, 0.0, 0.5, 0.5]), true) == 0.5
    assert np.isnan(copy_rate(np.zeros(0), true))
    assert np.isnan(copy_rate(np.zeros(2), np.zeros(0)))


def test_class_equals_function():
    stories = [(features(k, scale=0.4), features(k + 500)) for k in range(30)]
    metric = scored([records(k, g, x) for k, (g, x) in enumerate(stories)])
    generated, true = (np.concatenate([consecutive_distances(s[i]) for s in stories]) for i in (0, 1))
    assert float(metric.compute()) == copy_rate(generated, true)
    assert consecutive_distances(stories[0][0]) == pytest.approx(
        [np.linalg.norm(stories[0][0][t + 1].astype(float) - stories[0][0][t]) for t in range(4)], rel=1e-6
    )


def test_order_of_frames_and_stories_changes_no_bit():
    stories = [records(k, features(k, scale=0.3), features(k + 500)) for k in range(30)]
    forward, backward = scored(stories), scored([story[::-1] for story in reversed(stories)])
    assert forward.score(draws=500) == backward.score(draws=500)
    assert forward.details() == backward.details()


def test_pairs_with_a_gap_or_without_features_are_left_out():
    story = records(0, features(0), features(1))
    assert scored([[story[0], story[2], story[3]]]).score(draws=100).n == 1
    blind = FrameRecord("s", 1, "s", (), "", {}, (), Observation(), truth=story[1].truth)
    score = scored([[story[0], blind]]).score()
    assert (score.value, score.reason) == (None, CopyRate.missing)
    assert scored([[story[0], blind]]).details() == {}
