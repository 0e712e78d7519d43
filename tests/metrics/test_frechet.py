"""The Fréchet distance against scipy's matrix square root, analytic cases and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from storybench.metrics.functional.frechet import Moments, frechet_distance

RNG = np.random.default_rng


def reference(x, y):
    """The textbook form, independent of ours."""
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(np.trace(np.atleast_2d(sqrtm(a @ b))))
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root)


def clouds(n, r, d, seed=0):
    rng = RNG(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.normal(0.3, 1.5, (r, d)) @ rng.normal(size=(d, d))


@pytest.mark.parametrize(("n", "r", "d"), [(200, 300, 8), (50, 60, 20), (500, 40, 12)])
def test_equals_scipy_sqrtm(n, r, d):
    x, y = clouds(n, r, d)
    assert frechet_distance(x, y) == pytest.approx(reference(x, y), rel=1e-7)  # sqrtm itself is good to about 1e-8


@pytest.mark.parametrize(("n", "r"), [(10, 14), (10, 200), (200, 10), (200, 150)])
def test_every_dispatch_branch_equals_the_form_from_moments(n, r):
    x, y = clouds(n, r, 32)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(Moments.of(x), Moments.of(y)), rel=1e-6)


def test_unit_shift_of_equal_clouds_is_the_squared_shift():
    x = RNG(1).normal(size=(100, 64))
    assert frechet_distance(x, x + 1) == pytest.approx(64, rel=1e-9)


def test_diagonal_covariances_have_the_closed_form():
    """Two points per axis give exactly diagonal covariances with variances a and b."""
    a, b = np.array([1.0, 4.0, 9.0]), np.array([2.0, 3.0, 0.5])

    def cloud(variances, n=6):
        signs = np.repeat(np.eye(3), 2, axis=0) * np.tile([1, -1], 3)[:, None]  # (6, 3)
        return signs * np.sqrt(variances * (n - 1) / 2)

    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum() + 3 * 0.25
    assert frechet_distance(cloud(a), cloud(b) + 0.5) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "r"), [(12, 15), (12, 90), (80, 90)])
def test_laws(n, r):
    x, y = clouds(n, r, 24, seed=3)
    value = frechet_distance(x, y)
    rotation = np.linalg.qr(RNG(4).normal(size=(24, 24)))[0]
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-9)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-8)
    assert frechet_distance(x[::-1], y) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6 * value)


def test_shards_of_moments_add_up_and_subtract():
    x, y = clouds(90, 70, 10, seed=5)
    parts = Moments.of(x[:30]) + Moments.of(x[30:50]) + Moments.of(x[50:])
    assert frechet_distance(parts, y) == pytest.approx(frechet_distance(x, y), rel=1e-10)
    assert frechet_distance(parts - Moments.of(x[:30]), y) == pytest.approx(frechet_distance(x[30:], y), rel=1e-9)


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
