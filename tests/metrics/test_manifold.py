"""Precision, recall, density and coverage: definitions written out, known cases, deletion of groups, classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from storybench.errors import DataError
from storybench.metrics.functional import manifold as functional
from storybench.metrics.functional.manifold import prdc, prdc_without_groups
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.metrics.manifold import PRDC, StoryCoverage, StoryDensity, StoryPrecision, StoryRecall
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation, Reading

RNG = np.random.default_rng
OWN = "fd/toy-net/v1"


def clouds(n=80, r=100, d=4):
    rng = RNG(0)
    return rng.normal(size=(n, d)), rng.normal(size=(r, d)) * 1.3 + 0.2


def by_hand(x, y, k):
    """The definitions of metrics.md 5.4, from a full distance matrix."""

    def radii(z):
        return np.sort(cdist(z, z), axis=1)[:, k]  # column 0 is the point itself

    d, rx, ry = cdist(x, y), radii(x), radii(y)
    inside = d < ry[None]
    return (inside.any(1).mean(), (d < rx[:, None]).any(0).mean(), inside.sum() / (k * len(x)), (d.min(0) < ry).mean())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_definitions(k):
    x, y = clouds()
    assert tuple(prdc(x, y, k=k)) == pytest.approx(by_hand(x, y, k), abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    x, y = clouds()
    whole = prdc(x, y)
    monkeypatch.setattr(functional, "BLOCK", 17)
    assert prdc(x, y) == whole


def test_equal_clouds_are_fully_precise_and_covered():
    x, _ = clouds()
    found = prdc(x, x)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density == pytest.approx(1.0)  # a point is in its own ball and in those of 4 others, on average


def test_far_clouds_share_nothing():
    x, y = clouds()
    assert tuple(prdc(x + 1_000, y)) == (0.0, 0.0, 0.0, 0.0)


def test_one_picture_repeated_recalls_nothing():
    """Radii of equal rows are 0, and nothing is closer than 0; rounding of distances must not make it so."""
    _, y = clouds(d=64)
    found = prdc(np.repeat(y[:1] + 1e-3, 50, axis=0), y)
    assert found.recall == 0.0
    assert found.precision == 1.0
    assert found.coverage < 0.2


def test_the_rim_is_outside_unless_it_is_closed():
    x, y = (
        np.array([[-3.0], [10.0], [21.0]]),
        np.array([[-2.0], [-1.0], [3.0]]),
    )  # radii 1, 1, 4
    assert prdc(x, y, k=1).precision == 0.0  # -3 is exactly a radius away from -2
    assert prdc(x, y, k=1, closed=True).precision == pytest.approx(1 / 3)


def test_density_counts_every_ball_and_precision_only_one():
    y = np.array([[0.0], [1.0], [2.0], [50.0]])
    found = prdc(np.array([[1.0], [1.2], [1.4]]), y, k=2)  # radii 2, 1, 2, 49
    assert found.precision == 1.0
    assert found.density == pytest.approx(11 / 6)  # 50's ball reaches down to 1 but does not hold it
    assert by_hand(np.array([[1.0], [1.2], [1.4]]), y, 2)[2] == pytest.approx(found.density)


def test_without_a_group_is_what_the_rows_that_are_left_give():
    """Groups lie close together, so that whole lists of neighbours leave with one of them."""
    rng = RNG(1)
    x = np.repeat(rng.normal(size=(4, 3)) * 5, 60, axis=0) + rng.normal(size=(240, 3)) * 0.3
    y = np.repeat(rng.normal(size=(4, 3)) * 5, 70, axis=0) + rng.normal(size=(280, 3)) * 0.3
    at_x, at_y = np.arange(240) // 60, np.arange(280) // 70
    found = prdc_without_groups(x, y, at_x, at_y)
    assert found[0] == prdc(x, y)
    for g in range(4):
        assert tuple(found[1 + g]) == pytest.approx(tuple(prdc(x[at_x != g], y[at_y != g])), abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((5, 3)), np.ones((9, 3)), "more than 5 rows"),
        (np.ones((9, 3)), np.ones((9, 2)), "equal width"),
        (np.full((9, 3), np.inf), np.ones((9, 3)), "NaN"),
    ],
)
def test_unusable_features_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        prdc(x, y)


def test_alone_it_gives_the_four_in_any_batches():
    x, y = clouds()
    metric = PRDC()
    for part in torch.from_numpy(x).split(13):
        metric.update(part, real=False)
    metric.update(torch.from_numpy(y), real=True)
    found = metric.compute()
    assert tuple(float(found[name]) for name in ("precision", "recall", "density", "coverage")) == tuple(prdc(x, y))
    metric.reset()
    metric.update(torch.rand(5, 3), real=True)
    with pytest.raises(DataError, match="6 or more pictures on each side, got 0 generated and 5 true"):
        metric.compute()


def panel(kind, x, y):
    tools = Instruments(
        {"reading": "toy-net-v1"},
        references={OWN: FeatureReference("toy", y, np.arange(len(y)) // 5)},
        features=OWN,
    )
    metric = kind.build(tools)
    for k in range(0, len(x), 5):
        frames = [Observation(Reading({}, "", features=row)) for row in x[k : k + 5]]
        metric.update([FrameRecord(str(k), t, str(k), (), "", {}, (), seen) for t, seen in enumerate(frames)])
    return metric


@pytest.mark.parametrize("kind", [StoryPrecision, StoryRecall, StoryDensity, StoryCoverage])
def test_over_stories_each_has_its_share_and_an_interval_within_bounds(kind):
    x, y = clouds()
    score = panel(kind, x, y).score()
    assert score.value == getattr(prdc(x, y), kind.part)
    assert kind.bounds[0] <= score.low < score.value <= score.high <= kind.bounds[1]
    assert score.protocol == f"{kind.name}/toy-net/v1@toy"
    assert score.higher_is_better


def test_few_frames_have_a_reason_and_few_clusters_no_interval():
    x, y = clouds()
    assert panel(StoryRecall, x[:5], y).score().reason == "needs 6 or more frames"
    two = panel(StoryRecall, x[:10], y).score()
    assert two.value is not None
    assert two.low is None


def test_a_share_without_spread_has_the_binomial_bound_and_not_certainty():
    rng = RNG(0)
    true = rng.normal(size=(200, 3))
    metric = StoryPrecision.build(
        Instruments(
            {"reading": "toy-net-v1"}, references={OWN: FeatureReference("toy", true, np.arange(200))}, features=OWN
        )
    )
    for k in range(8):  # near the middle: inside in every group
        row = np.full(3, 0.01 * k, dtype=np.float32)
        metric.update([FrameRecord(f"s{k}", 0, f"s{k}", (), "", {}, (), Observation(Reading({}, "", features=row)))])
    score = metric.score()
    assert (score.value, score.high) == (1.0, 1.0)
    assert score.low == pytest.approx(0.025 ** (1 / 8))


def test_repeats_add_nothing_where_they_do_not_count_and_groups_agree_with_leaving_out():
    rng = np.random.default_rng(3)
    true, drawn = rng.normal(size=(60, 4)), rng.normal(size=(40, 4))
    again = np.concatenate([drawn, drawn[:10]])
    published, once = prdc(again, true), prdc(again, true, repeats_count=False)
    alone = prdc(drawn, true, repeats_count=False)
    assert alone == prdc(drawn, true)  # without repeats nothing changes
    assert once.precision == pytest.approx(alone.precision * 40 / 50)
    assert once.density == pytest.approx(alone.density * 40 / 50)
    assert once.precision < published.precision
    assert (once.recall, once.coverage) == (published.recall, published.coverage)
    constant = np.repeat(true[:1], 50, axis=0)
    assert prdc(constant, true).precision == 1.0
    assert prdc(constant, true, repeats_count=False).precision == 1 / 50
    group_x, group_y = np.arange(50) // 10, np.arange(60) // 12  # the repeats are a group of their own
    parts = prdc_without_groups(again, true, group_x, group_y, repeats_count=False)
    for j in range(5):
        left = prdc(again[group_x != j], true[group_y != j], repeats_count=False)
        assert parts[1 + j] == pytest.approx(left)
