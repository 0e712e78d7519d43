"""The Fréchet distance: its branches and laws, traps of other implementations, and the classes over it."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import eigh, eigvals, svdvals

from storybench.errors import DataError, NumericalError
from storybench.metrics.distribution import Clouds
from storybench.metrics.frechet import Frechet, FrechetCorrected, FrechetDistance, corrected
from storybench.metrics.functional import frechet as functional
from storybench.metrics.functional.frechet import Moments, frechet_distance
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation, Reading

RNG = np.random.default_rng


def clouds(n, r, d, seed=0):
    rng = RNG(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.normal(0.3, 1.5, (r, d)) @ rng.normal(size=(d, d))


@pytest.mark.parametrize(("n", "r"), [(10, 14), (10, 200), (200, 10), (200, 150), (31, 600), (600, 31)])
def test_every_branch_equals_the_form_from_moments(n, r):
    x, y = clouds(n, r, 32)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(Moments.of(x), Moments.of(y)), rel=1e-6)


def test_both_orders_of_the_thin_form_and_moments_of_the_large_side_agree():
    """31 of 32 columns and 3,000 rows go through the covariance; 2 and 40 rows through the product of rows."""
    for small, large in ((31, 3_000), (2, 40)):
        x, y = clouds(small, large, 32, seed=6)
        by_factor = frechet_distance(Moments.of(x), Moments.of(y))
        assert frechet_distance(x, y) == pytest.approx(by_factor, rel=1e-6)
        assert frechet_distance(x, Moments.of(y)) == pytest.approx(frechet_distance(x, y), rel=1e-9)
        assert frechet_distance(Moments.of(y), x) == pytest.approx(frechet_distance(x, y), rel=1e-9)


def test_a_singular_covariance_takes_the_eigenvalue_factor():
    """A dead feature and one that repeats another: Cholesky does not exist."""
    x, y = clouds(200, 220, 16, seed=7)
    for side in (x, y):
        side[:, 3] = 0.5
        side[:, 5] = side[:, 6]
    alive = [i for i in range(16) if i != 3]
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(x[:, alive], y[:, alive]), rel=1e-7)


def test_unit_shift_of_equal_clouds_is_the_squared_shift():
    x = RNG(1).normal(size=(100, 64))
    assert frechet_distance(x, x + 1) == pytest.approx(64, rel=1e-9)


def test_unit_shift_in_2048_dimensions_is_2048():
    """pytorch-fid tests/test_fid_score.py; here by the branch for few rows."""
    x = RNG(1).normal(size=(60, 2048))
    assert frechet_distance(x, x + 1) == pytest.approx(2048, rel=1e-9)


def test_diagonal_covariances_have_the_closed_form():
    """Two points per axis give exactly diagonal covariances with variances a and b."""
    a, b = np.array([1.0, 4.0, 9.0]), np.array([2.0, 3.0, 0.5])

    def cloud(variances, n=6):
        signs = np.repeat(np.eye(3), 2, axis=0) * np.tile([1, -1], 3)[:, None]  # (6, 3)
        return signs * np.sqrt(variances * (n - 1) / 2)

    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum() + 3 * 0.25
    assert frechet_distance(cloud(a), cloud(b) + 0.5) == pytest.approx(expected, rel=1e-10)


def test_rank_one_clouds_have_the_closed_form():
    """x = a u and y = b v: tr sqrt(Sx Sy) is the product of deviations and |u . v|."""
    rng = RNG(8)
    u, v = rng.normal(size=(2, 40))
    a, b = rng.normal(size=50), rng.normal(size=60)
    x, y = np.outer(a, u), np.outer(b, v)
    mean = ((a.mean() * u - b.mean() * v) ** 2).sum()
    spread = a.var(ddof=1) * (u @ u) + b.var(ddof=1) * (v @ v) - 2 * a.std(ddof=1) * b.std(ddof=1) * abs(u @ v)
    assert frechet_distance(x, y) == pytest.approx(mean + spread, rel=1e-6)
    assert frechet_distance(x[:30], y[:30]) == pytest.approx(
        frechet_distance(Moments.of(x[:30]), Moments.of(y[:30])), rel=1e-6
    )


@pytest.mark.parametrize(("n", "r"), [(12, 15), (12, 90), (80, 90)])
def test_laws(n, r):
    x, y = clouds(n, r, 24, seed=3)
    value = frechet_distance(x, y)
    rotation = np.linalg.qr(RNG(4).normal(size=(24, 24)))[0]
    order = RNG(5).permutation(24)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-9)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-8)
    assert frechet_distance(x[:, order], y[:, order]) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(x[::-1], y) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6 * value)


def test_shards_of_moments_in_any_order_agree_to_1e_12():
    x, y = clouds(90, 70, 10, seed=5)
    shards = [Moments.of(x[i : i + 15]) for i in range(0, 90, 15)]
    whole = frechet_distance(Moments.of(x), Moments.of(y))
    for seed in range(5):
        order = RNG(seed).permutation(len(shards))
        total = shards[order[0]]
        for i in order[1:]:
            total = total + shards[i]
        assert frechet_distance(total, Moments.of(y)) == pytest.approx(whole, rel=1e-12)
    assert frechet_distance(Moments.of(x) - shards[0], y) == pytest.approx(frechet_distance(x[15:], y), rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((1, 3)), np.ones((5, 3)), "two or more rows"),
        (np.ones((4, 3)), np.ones((5, 2)), "widths differ"),
        (np.full((4, 3), np.nan), np.ones((5, 3)), "NaN"),
    ],
)
def test_unusable_features_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, y)


def test_rounding_below_zero_is_zero_with_a_note_and_more_is_an_error():
    shift = np.zeros(3)
    assert functional._assemble(shift, 1.0, 1.0, 1.0 + 4e-7) == (0.0, pytest.approx(-8e-7))
    assert functional._assemble(shift, 1.0, 1.0, 0.9).clipped == 0
    with pytest.raises(NumericalError, match="negative beyond rounding"):
        functional._assemble(shift, 1.0, 1.0, 1.0 + 4e-6)


# Traps of metrics.md 5.2. Features: rectified, power-law, 600 x 64 against 500 x 64.


@pytest.fixture(scope="module")
def rectified():
    rng = RNG(9)
    mix = rng.normal(size=(64, 64)) * np.arange(1, 65) ** -0.5
    return [np.maximum(rng.normal(size=(n, 64)) @ (scale * mix), 0) for n, scale in ((600, 1.0), (500, 1.15))]


def test_trap_eigh_of_the_product_is_wrong_for_the_product_is_not_symmetric(rectified):
    a, b = (Moments.of(x) for x in rectified)
    wrong = np.sqrt(np.clip(eigh(a.cov @ b.cov, eigvals_only=True), 0, None)).sum()
    value = ((a.mean - b.mean) ** 2).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * wrong
    right = frechet_distance(*rectified)
    assert abs(value - right) > 0.02 * right, (value, right)


def test_trap_roots_of_eigenvalues_need_the_complex_plane(rectified):
    """Eigenvalues of a product of rank 20 stray below zero or off the real axis by rounding."""
    few = [x[:21] for x in rectified]
    a, b = (Moments.of(x) for x in few)
    values = eigvals(a.cov @ b.cov)
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.sqrt(values.real)).any()
    exact = svdvals((few[0] - a.mean) @ (few[1] - b.mean).T).sum() / 20
    assert np.sqrt(values).real.sum() == pytest.approx(exact, rel=1e-5)  # the cast saves it, to about 1e-6


def test_trap_sums_in_float32_are_off_and_ours_take_float32_rows_in_float64(rectified):
    """A mean far from zero costs one-pass sums in float32 their digits."""
    far = [x.astype(np.float32) + np.float32(100) for x in rectified]
    true = frechet_distance(*[x.astype(np.float64) for x in far])

    def single(x):
        total, outer = x.sum(0), x.T @ x
        return Moments(len(x), total.astype(np.float64), outer.astype(np.float64))

    assert frechet_distance(*far) == pytest.approx(true, rel=1e-12)
    assert frechet_distance(*[Moments.of(x) for x in far]) == pytest.approx(true, rel=1e-6)  # one pass in float64
    assert abs(frechet_distance(*[single(x) for x in far]) - true) > 1e-3 * true


# The class that stands alone.


def test_alone_it_equals_the_function_in_any_batches(rectified):
    x, y = (torch.from_numpy(rows) for rows in rectified)
    expected = frechet_distance(*rectified)
    for size in (7, 100, 600):
        metric = FrechetDistance()
        for part in x.split(size):
            metric.update(part, real=False)
        for part in reversed(y.split(size)):
            metric.update(part, real=True)
        assert float(metric.compute()) == pytest.approx(expected, rel=1e-10)
        assert metric.compute().dtype == torch.float64


def test_alone_it_takes_pictures_through_a_network():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
    pictures = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    metric = FrechetDistance(feature=network)
    metric.update(pictures[:20], real=True)
    metric.update(pictures[20:], real=False)
    rows = network(pictures).detach().numpy()
    assert float(metric.compute()) == pytest.approx(frechet_distance(rows[20:], rows[:20]), rel=1e-6)


def test_alone_it_keeps_true_pictures_where_asked_and_adds_processes_up(rectified):
    x, y = (torch.from_numpy(rows) for rows in rectified)
    kept, idle = FrechetDistance(reset_real_features=False), FrechetDistance(num_features=64)
    kept.update(y, real=True)
    kept.update(x[:50], real=False)
    kept.reset()
    kept.update(x, real=False)
    assert float(kept.compute()) == pytest.approx(frechet_distance(*rectified), rel=1e-10)
    for name in kept._defaults:  # what the reduction across processes does: a sum of equal shapes
        assert getattr(idle, name).shape == getattr(kept, name).shape
        assert idle._reductions[name] is kept._reductions[name]
    assert float(pickle.loads(pickle.dumps(kept)).compute()) == float(kept.compute())


def test_alone_it_says_what_is_missing():
    metric = FrechetDistance()
    with pytest.raises(DataError, match="2 or more pictures on each side, got 0 generated and 0 true"):
        metric.compute()
    with pytest.raises(DataError, match="floating point"):
        metric.update(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), real=True)
    with pytest.raises(DataError, match="NaN"):
        metric.update(torch.full((2, 3), float("nan")), real=True)
    metric.update(torch.rand(4, 3), real=True)
    with pytest.raises(DataError, match="Expected 3 features"):
        metric.update(torch.rand(4, 2), real=True)


# The metrics over stories.

OWN = "fd/toy-net/v1"


def story(name, rows, features_id=None, cluster=None):
    frames = []
    for t, row in enumerate(rows):
        reading = Reading({}, "", features=np.zeros(3, dtype=np.float32) if features_id else row)
        seen = Observation(reading, features={features_id: row} if features_id else {})
        frames.append(FrameRecord(name, t, cluster or name, (), "", {}, (), seen))
    return frames


def instruments(reference, group, features=OWN):
    return Instruments({"reading": "toy-net-v1"}, references={features: FeatureReference("toy", reference, group)},
                       features=features)  # fmt: skip


def filled(kind, tools, rows, features_id=None, order=None):
    metric = kind.build(tools)
    for k in range(len(rows)) if order is None else order:
        metric.update(story(str(k), rows[k], features_id))
    return metric


@pytest.fixture(scope="module")
def toy():
    rng = RNG(10)
    mix = rng.normal(size=(12, 12))
    real = rng.normal(size=(400, 12)) @ mix
    rows = (rng.normal(size=(60, 5, 12)) @ mix * 1.2 + 0.3).astype(np.float32)
    return real, np.arange(400) // 5, rows


def test_value_is_the_distance_of_all_frames_and_the_id_names_space_and_reference(toy):
    real, group, rows = toy
    metric = filled(Frechet, instruments(real, group), rows)
    score = metric.score()
    assert score.value == pytest.approx(frechet_distance(rows.reshape(-1, 12), real), rel=1e-10)
    assert score.protocol == "fd/toy-net/v1@toy"
    assert (score.n, score.clusters, score.fraction) == (300, 60, False)
    assert score.low < score.value < score.high
    assert FrechetCorrected.build(instruments(real, group)).protocol == "fd-corrected/toy-net/v1@toy"


def test_features_of_another_network_are_taken_from_under_their_own_id(toy):
    real, group, rows = toy
    name = "fid/clean-inception/v1"
    other = filled(Frechet, instruments(real, group, name), rows, name)
    own = filled(Frechet, instruments(real, group), rows)
    assert other.score().value == own.score().value
    assert other.protocol == "fid/clean-inception/v1@toy"
    unread = filled(Frechet, instruments(real, group, name), rows)  # a reading is no substitute for another space
    assert unread.score().reason == "needs 2 or more frames"


@pytest.mark.parametrize("kind", [Frechet, FrechetCorrected])
def test_order_of_stories_leaves_no_trace(kind, toy):
    real, group, rows = toy
    tools = instruments(real, group)
    backward = filled(kind, tools, rows, order=range(59, -1, -1))
    assert filled(kind, tools, rows).score() == backward.score()


def test_details_state_sizes_corrections_and_warnings(toy):
    real, group, rows = toy
    tools = instruments(real, group)
    details = filled(Frechet, tools, rows).details()
    assert (details["frechet_n"], details["frechet_reference_n"], details["frechet_warnings"]) == (300, 400, [])
    assert 0 < details["frechet_bias_corrected"] < filled(Frechet, tools, rows).score().value
    orders = filled(FrechetCorrected, tools, rows).details()["frechet_by_order"]
    assert orders["0"] > orders["1"]
    assert orders["1"] == pytest.approx(details["frechet_bias_corrected"])
    frozen = np.repeat(rows[:2, :1], 5, axis=1)  # 10 frames, 2 different ones
    warnings = filled(Frechet, tools, frozen).details()["frechet_warnings"]
    assert [w.split(" ")[0] for w in warnings] == ["fewer", "8"]


def test_too_few_frames_or_clusters_or_no_reference_have_no_value_and_a_reason(toy):
    real, group, rows = toy
    tools = instruments(real, group)
    assert filled(Frechet, tools, rows[:1, :1]).score().reason == "needs 2 or more frames"
    assert filled(FrechetCorrected, tools, rows[:3]).score().reason == "needs 4 or more clusters on both sides"
    assert filled(FrechetCorrected, tools, rows[:4]).score().reason == (
        "needs 48 or more frames on both sides for 12 features, got 20"
    )
    assert filled(FrechetCorrected, tools, rows[:10]).score().value is not None
    assert filled(Frechet, tools, rows[:2]).score().low is None  # a value without an interval
    assert Frechet.build(Instruments()).score().reason == "no reference of true frames for these features"
    assert Frechet.build(Instruments()).protocol == "frechet/v1@none"


def test_an_episode_on_both_sides_leaves_both_together(toy):
    real, _, rows = toy
    keys, true_keys = np.repeat(np.arange(17), 10), np.repeat(np.arange(17), 20)
    found = Clouds(rows.reshape(-1, 12)[:170], keys, real[:340], true_keys).grouping()
    assert found.groups == 17
    for key in range(17):
        assert set(found.generated[keys == key]) == set(found.true[true_keys == key])


def test_few_frames_in_many_dimensions_agree_with_the_form_from_moments():
    """Deleting groups by rows, where there are fewer than columns, is only a faster way to the same numbers."""
    rng = RNG(11)
    x, y = rng.normal(size=(40, 50)), rng.normal(size=(90, 50)) * 1.1
    found = corrected(Clouds(x, np.arange(40) // 2, y, 1_000 + np.arange(90) // 3))
    grouping = Clouds(x, np.arange(40) // 2, y, 1_000 + np.arange(90) // 3).grouping()
    by_moments = [
        frechet_distance(Moments.of(x[grouping.generated != g]), Moments.of(y[grouping.true != g])) for g in range(20)
    ]
    value = frechet_distance(Moments.of(x), Moments.of(y))
    assert found.first.corrected == pytest.approx(20 * value - 19 * np.mean(by_moments), rel=1e-5)


RANK = """
import sys
import torch
import torch.distributed as dist
from storybench.metrics.frechet import FrechetDistance
from storybench.metrics.kernel import KernelDistance
from storybench.metrics.manifold import PRDC

rank, world, meeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
metrics = FrechetDistance(num_features=4), KernelDistance(), PRDC()
for metric in metrics:
    for k in range(rank, 10, world):  # unequal shares with three processes
        metric.update(rows[4 * k : 4 * k + 4], real=False)
    metric.update(1.2 * rows[rank::world], real=True)
frechet, kid, prdc = (metric.compute() for metric in metrics)
if rank == 0:
    print(repr(float(frechet)), repr(float(kid)), *(repr(float(share)) for share in prdc.values()))
"""


@pytest.mark.slow
def test_processes_together_give_the_value_of_one(tmp_path):
    found = []
    for world in (1, 2, 3):
        meeting = tmp_path / f"meeting{world}"
        ranks = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, str(rank), str(world), str(meeting)], stdout=subprocess.PIPE, text=True
            )
            for rank in range(world)
        ]
        said = [rank.communicate(timeout=300)[0] for rank in ranks]
        assert all(rank.returncode == 0 for rank in ranks)
        found.append([float(word) for word in said[0].split()])
    assert len(found[0]) == 6
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-12)


@pytest.mark.slow
def test_intervals_cover_the_distance_of_the_populations_and_a_bootstrap_does_not():
    """A small ``benchmarks/frechet_interval.py``: 60 benchmarks, D = 64 and 128 with 250 stories on a side."""
    path = Path(__file__).parents[2] / "benchmarks" / "frechet_interval.py"
    spec = importlib.util.spec_from_file_location("frechet_interval", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["frechet_interval"] = module
    spec.loader.exec_module(module)
    for width, rectified in ((64, False), (128, True)):
        found = module.simulate(
            width, rectified=rectified, stories=250, true_stories=250, benchmarks=60, resampled=10, draws=50
        )
        assert found["second_order"]["coverage"] >= 0.85  # 95 % less 3.5 standard errors of 60 trials
        assert abs(found["second_order"]["bias"]) < found["jackknife_se"]
        assert found["plain"]["coverage"] < 0.5
        assert found["bootstrap"]["coverage"] < 0.5
