"""Kernel distances: their definitions written out, their laws, and the classes over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import t

from storybench.errors import DataError
from storybench.metrics.base import cluster_key
from storybench.metrics.functional import kernel as functional
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.metrics.kernel import CMMD, KernelDistance, StoryCMMD, StoryKID
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation, Reading

RNG = np.random.default_rng
OWN = "fd/toy-net/v1"


def clouds(n=70, r=90, d=6, shift=0.4):
    rng = RNG(0)
    return rng.normal(size=(n, d)), rng.normal(size=(r, d)) * 1.2 + shift


def test_kid_is_the_mean_over_pairs_of_different_rows():
    x, y = clouds(12, 15)

    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert functional.kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)


def test_cmmd_is_a_thousand_times_the_mean_over_all_pairs_of_unit_rows():
    x, y = clouds(12, 15)
    u, v = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))

    def mean(a, b):
        return np.mean([np.exp(-((p - q) ** 2).sum() / 200) for p in a for q in b])

    assert functional.cmmd(x, y) == pytest.approx(1000 * (mean(u, u) + mean(v, v) - 2 * mean(u, v)), rel=1e-9)


def test_blocks_change_nothing(monkeypatch):
    x, y = clouds()
    whole = functional.kernel_distance(x, y), functional.cmmd(x, y)
    monkeypatch.setattr(functional, "BLOCK", 16)
    assert (functional.kernel_distance(x, y), functional.cmmd(x, y)) == pytest.approx(whole, rel=1e-11)


def test_sums_without_a_group_are_those_of_the_rows_that_are_left():
    x, y = clouds()
    at_x, at_y = np.arange(70) % 5, np.arange(90) % 5
    sums = functional.KernelSums.of(x, y, functional.cubic_kernel, at_x, at_y)
    for g in range(5):
        left = functional.kernel_distance(x[at_x != g], y[at_y != g])
        assert sums.mmd2(biased=False, without=g) == pytest.approx(left, rel=1e-10)
    assert sums.mmd2(biased=False) == pytest.approx(functional.kernel_distance(x, y), rel=1e-12)


def test_kid_of_equal_populations_has_mean_zero_at_any_n():
    rng = RNG(1)
    for n in (10, 60):
        found = [functional.kernel_distance(rng.normal(size=(n, 4)), rng.normal(size=(n, 4))) for _ in range(300)]
        assert abs(np.mean(found)) < 3.5 * np.std(found) / np.sqrt(300)
        assert min(found) < 0


def test_cmmd_of_unit_vectors_is_about_ten_times_the_distance_of_means():
    """metrics.md 5.4: 10.37 against 10.45; it does not see covariances."""
    rng = RNG(2)
    x = functional.unit_rows(rng.normal(size=(400, 64)) + 1.0)
    y = functional.unit_rows(rng.normal(size=(400, 64)) - 1.0)
    means = 10 * ((x.mean(0) - y.mean(0)) ** 2).sum()
    assert functional.cmmd(x, y) == pytest.approx(means, rel=0.03)
    assert functional.cmmd(x, x) == pytest.approx(0, abs=1e-9)
    assert functional.cmmd(7 * x, y) == pytest.approx(functional.cmmd(x, y), rel=1e-9)  # lengths do not count


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((1, 3)), np.ones((5, 3)), "two or more rows"),
        (np.ones((4, 3)), np.ones((5, 2)), "equal width"),
        (np.full((4, 3), np.nan), np.ones((5, 3)), "NaN"),
    ],
)
def test_unusable_features_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        functional.kernel_distance(x, y)


def test_alone_they_equal_the_functions_in_any_batches_and_order():
    x, y = (torch.from_numpy(rows) for rows in clouds())
    for kind, expected in ((KernelDistance, functional.kernel_distance), (CMMD, functional.cmmd)):
        values = []
        for size, flip in ((9, False), (70, True)):
            metric = kind()
            for part in reversed(x.split(size)) if flip else x.split(size):
                metric.update(part, real=False)
            metric.update(y, real=True)
            values.append(float(metric.compute()))
        assert values[0] == values[1]
        assert values[0] == pytest.approx(expected(x.numpy(), y.numpy()), rel=1e-10)


def test_alone_subsets_need_enough_pictures():
    metric = KernelDistance(subsets=3, subset_size=80)
    metric.update(torch.rand(90, 4), real=True)
    metric.update(torch.rand(70, 4), real=False)
    with pytest.raises(DataError, match="Subsets of 80"):
        metric.compute()


def panel(kind, reference, rows):
    tools = Instruments(
        {"reading": "toy-net-v1"},
        references={OWN: FeatureReference("toy", reference, np.arange(len(reference)) // 5)},
        features=OWN,
    )
    metric = kind.build(tools)
    for k, story in enumerate(rows):
        frames = [Observation(Reading({}, "", features=row)) for row in story]
        metric.update([FrameRecord(str(k), t, str(k), (), "", {}, (), seen) for t, seen in enumerate(frames)])
    return metric


@pytest.mark.parametrize(("kind", "same"), [(StoryKID, functional.kernel_distance), (StoryCMMD, functional.cmmd)])
def test_over_stories_they_have_the_value_of_all_frames_and_an_interval(kind, same):
    x, y = clouds(100, 150)
    score = panel(kind, y, x.reshape(20, 5, 6)).score()
    assert score.value == pytest.approx(same(x, y), rel=1e-10)
    assert score.low < score.value < score.high
    assert score.protocol == f"{kind.name}/toy-net/v1@toy"
    assert (score.n, score.clusters) == (100, 20)


def test_kid_interval_covers_the_populations_distance():
    """Normal clouds whose discrepancy is known in closed form; 60 runs of correlated stories, 95 % less 3.5 SE.

    E (x.y/D + 1)^3 over independent x, y in D = 3 with means a, b and unit covariances, s = x.y: E s = a.b,
    E s^2 = (a.b)^2 + |a|^2 + |b|^2 + D, E s^3 = (a.b)^3 + 3 (a.b) (|a|^2 + |b|^2 + D) + 6 a.b.
    """
    rng = RNG(3)

    def draw(stories, shift):
        common, own = rng.normal(size=(stories, 1, 3)), rng.normal(size=(stories, 5, 3))
        return np.sqrt(0.5) * (common + own) + shift

    def expected(a, b):
        s, squares = 3 * a * b, 3 * (a * a + b * b) + 3
        return (s**3 + 3 * s * squares + 6 * s) / 27 + 3 * (s**2 + squares) / 9 + s + 1

    rows = rng.normal(size=(2, 400_000, 3)) + 0.5
    sampled = ((rows[0] * rows[1]).sum(1) / 3 + 1) ** 3
    assert expected(0.5, 0.5) == pytest.approx(sampled.mean(), abs=5 * sampled.std() / np.sqrt(400_000))
    truth = expected(0, 0) + expected(0.5, 0.5) - 2 * expected(0.5, 0)
    scores = [panel(StoryKID, draw(60, 0.5).reshape(-1, 3), draw(60, 0.0)).score() for _ in range(60)]
    assert sum(score.low <= truth <= score.high for score in scores) >= 51


def test_a_zero_vector_has_no_cmmd_and_a_reason():
    x, y = clouds(20, 40)
    x[3] = 0
    assert panel(StoryCMMD, y, x.reshape(4, 5, 6)).score().reason == "features of zeros only have no direction"


def test_degrees_of_freedom_are_those_of_groups_with_generated_frames():
    """The reference may cover episodes nothing was drawn for: they say nothing of how much the value varies."""
    rng = np.random.default_rng(0)
    keys = np.array([cluster_key(f"e{k}") for k in range(20)])
    reference = FeatureReference("toy", rng.normal(size=(200, 4)), np.repeat(keys, 10))
    tools = Instruments({"reading": "toy-net-v1"}, references={OWN: reference}, features=OWN)

    def score(episodes):
        metric = StoryKID.build(tools)
        for k in range(episodes):
            rows = rng.normal(size=(10, 4)).astype(np.float32)
            seen = [Observation(Reading({}, "", features=row)) for row in rows]
            metric.update([FrameRecord(f"s{k}", i, f"e{k}", (), "", {}, (), x) for i, x in enumerate(seen)])
        return metric.score()

    three = score(3)
    assert (three.high - three.value) / three.standard_error == pytest.approx(t.ppf(0.975, 2))
    assert score(2).low is None  # two groups are too few
