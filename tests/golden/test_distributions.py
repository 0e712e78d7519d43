"""Distances between distributions against independent implementations: scipy, torchmetrics, torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance

from storybench.metrics.frechet import FrechetDistance
from storybench.metrics.functional.frechet import Moments, frechet_distance
from storybench.metrics.functional.kernel import kernel_distance, kernel_distance_of_subsets
from storybench.metrics.functional.manifold import prdc
from storybench.metrics.kernel import KernelDistance
from storybench.metrics.manifold import PRDC

RNG = np.random.default_rng
fidelity_kid = pytest.importorskip("torch_fidelity.metric_kid", reason="needs torch-fidelity (the extra `fid`)")
fidelity_prc = pytest.importorskip("torch_fidelity.metric_prc")
fidelity_fid = pytest.importorskip("torch_fidelity.metric_fid")


def textbook(x, y):
    """The definition with scipy's matrix square root."""
    a, b = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (x, y))
    root = np.trace(sqrtm(a @ b)).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root)


def features(n, r, d, seed=0, dtype=np.float64):
    """Rectified with a decaying spectrum, as those of a network."""
    rng = RNG(seed)
    mix = rng.normal(size=(d, d)) * np.arange(1, d + 1) ** -0.5
    x, y = np.maximum(rng.normal(size=(n, d)) @ mix, 0), np.maximum(rng.normal(size=(r, d)) @ mix * 1.1 + 0.1, 0)
    return x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize(("n", "r", "d"), [(200, 300, 8), (90, 80, 40), (500, 400, 120)])
def test_frechet_equals_scipy_sqrtm(n, r, d):
    x, y = features(n, r, d)
    assert frechet_distance(x, y) == pytest.approx(textbook(x, y), rel=1e-7)  # sqrtm itself is good to about 1e-8


class Rows(torch.nn.Module):
    """Features as they are, in the place of torchmetrics' network."""

    def __init__(self, width):
        super().__init__()
        self.num_features = width

    def forward(self, rows):
        return rows


@pytest.mark.parametrize("d", [16, 96])
def test_frechet_equals_torchmetrics_on_the_same_features(d):
    """Their sums are float64 as ours; their value is cast to the features' type, 6e-8 relative in float32."""
    x, y = features(300, 400, d, dtype=np.float32)
    theirs, ours = FrechetInceptionDistance(feature=Rows(d), normalize=True), FrechetDistance(Rows(d))
    for metric in (theirs, ours):
        for part in torch.from_numpy(x).split(64):
            metric.update(part, real=False)
        metric.update(torch.from_numpy(y), real=True)
    assert float(ours.compute()) == pytest.approx(float(theirs.compute()), rel=5e-7)


GRID = [(2**i, 2**j) for i in range(1, 9) for j in range(1, 9, 2)]


@pytest.mark.parametrize(("n", "c"), GRID)
def test_frechet_of_the_torch_fidelity_grid(n, c):
    """The inputs of torch-fidelity's tests/torch_pure/misc/test_fid_stats_fn.py, N to 2^8 of 2^15, to 5 places.

    Below N = C + 1 covariances are singular; there sqrtm is the part that is off, so the nuclear norm is the reference.
    """
    rng = np.random.RandomState(2023)
    x, y = rng.randn(n, c), rng.randn(n, c)
    if n > c + 1:
        expected = textbook(x, y)
    else:
        a, b = x - x.mean(0), y - y.mean(0)
        traces = (a**2).sum() + (b**2).sum() - 2 * np.linalg.norm(a @ b.T, "nuc")
        expected = float(((x.mean(0) - y.mean(0)) ** 2).sum() + traces / (n - 1))
    assert frechet_distance(x, y) == pytest.approx(expected, abs=5e-6)
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, abs=5e-6)


def test_frechet_of_four_rows_of_four_that_break_a_real_square_root():
    """N = C = 4, seed 1: singular product with eigenvalues off the real axis (torch-fidelity, same file)."""
    rng = np.random.RandomState(1)
    x, y = rng.randn(4, 4), rng.randn(4, 4)
    found = fidelity_fid.fid_statistics_to_metric(
        fidelity_fid.fid_features_to_statistics(torch.from_numpy(x)),
        fidelity_fid.fid_features_to_statistics(torch.from_numpy(y)),
        verbose=False,
    )[fidelity_fid.KEY_METRIC_FID]
    assert frechet_distance(x, y) == pytest.approx(found, abs=5e-6)


def test_frechet_equals_torch_fidelity_on_features():
    x, y = features(400, 500, 48, seed=3)
    stats = [fidelity_fid.fid_features_to_statistics(torch.from_numpy(rows)) for rows in (x, y)]
    found = fidelity_fid.fid_statistics_to_metric(*stats, verbose=False)[fidelity_fid.KEY_METRIC_FID]
    assert frechet_distance(x, y) == pytest.approx(found, rel=1e-8)


def test_kid_of_subsets_equals_torch_fidelity_with_its_seed():
    x, y = features(300, 350, 20, seed=4)
    theirs = fidelity_kid.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=15, kid_subset_size=100, rng_seed=2020, verbose=False
    )
    ours = kernel_distance_of_subsets(x, y, subsets=15, size=100, seed=2020)
    assert ours.mean == pytest.approx(theirs[fidelity_kid.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert ours.spread == pytest.approx(theirs[fidelity_kid.KEY_METRIC_KID_STD], rel=1e-9)


def test_kid_of_all_rows_equals_torch_fidelity_with_one_subset_of_all():
    x, y = features(200, 200, 20, seed=5)
    theirs = fidelity_kid.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=200, rng_seed=1, verbose=False
    )[fidelity_kid.KEY_METRIC_KID_MEAN]
    assert kernel_distance(x, y) == pytest.approx(theirs, rel=1e-9)
    alone = KernelDistance()
    alone.update(torch.from_numpy(x), real=False)
    alone.update(torch.from_numpy(y), real=True)
    assert float(alone.compute()) == pytest.approx(theirs, rel=1e-9)


def test_precision_and_recall_equal_torch_fidelity_in_its_convention():
    """k = 3 and closed balls; its distances are float32 or float64 as the features are."""
    x, y = features(300, 250, 10, seed=6)
    theirs = fidelity_prc.prc_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        prc_neighborhood=3,
        prc_batch_size=100,
        save_cpu_ram=True,
        verbose=False,
    )
    metric = PRDC(nearest_k=3, closed=True)
    metric.update(torch.from_numpy(x), real=False)
    metric.update(torch.from_numpy(y), real=True)
    found = metric.compute()
    assert float(found["precision"]) == pytest.approx(theirs[fidelity_prc.KEY_METRIC_PRECISION], abs=1e-6)
    assert float(found["recall"]) == pytest.approx(theirs[fidelity_prc.KEY_METRIC_RECALL], abs=1e-6)


@pytest.mark.slow
def test_prdc_of_the_published_example():
    """Readme of clovaai/generative-evaluation-prdc: N(0, I), 10,000 x 1,000, k = 5: .4772, .4705, 1.0555, .9735.

    Their draws have no seed. Tolerances are three times the spread that three seeds of ours showed (density from 0.91
    to 1.07); that the definitions are met exactly is tested on small clouds.
    """
    rng = RNG(0)
    true, generated = rng.normal(size=(2, 10_000, 1_000))
    found = prdc(generated, true, k=5)
    assert found.precision == pytest.approx(0.4772, abs=0.06)
    assert found.recall == pytest.approx(0.4705, abs=0.03)
    assert found.density == pytest.approx(1.0555, abs=0.24)
    assert found.coverage == pytest.approx(0.9735, abs=0.03)
