"""Do intervals of a Fréchet distance cover the distance of the populations? Simulated benchmarks whose truth is known.

A population is a Gaussian with a power-law spectrum, or one cut off at zero (``rectified``, as features after a ReLU
are); its mean and covariance, and so the true distance, are known exactly. A benchmark is 500 stories of 5 frames on
each side; half of a frame's variance is shared by its story. For each the interval is made anew, and it is counted how
often the truth is inside: of the plain value with the bootstrap over stories, and of the values without, with
first-order and with second-order correction, all with the jackknife error and t quantiles. Prints one JSON object and
exits with status 1 if the second-order interval covers less than 92 % or more than 98 %, by two binomial standard
errors, or if the bootstrap's covers half or more. The last case, as many frames as features, is one for which
``frechet_corrected`` gives no value; it shows why. Half an hour on one core:
``OMP_NUM_THREADS=1 python benchmarks/frechet_interval.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import expm

from storybench.metrics.distribution import Clouds
from storybench.metrics.frechet import FRAMES_A_FEATURE, corrected
from storybench.metrics.functional.frechet import Moments, frechet_distance
from storybench.statistics.jackknife import t_quantile

Array = np.ndarray
FRAMES = 5  # of a story
SHARED = 0.5  # of the variance, within a story
GROUPS = 20
BAND = (0.92, 0.98)


@dataclass(frozen=True)
class Cloud:
    """A population of frames: latent factor (D, D), mean after the cut, and whether it is cut at zero."""

    factor: Array
    shift: Array
    rectified: bool

    def sample(self, rng: np.random.Generator, stories: int) -> Array:
        """Return frames of whole stories, (stories * FRAMES, D)."""
        width = len(self.factor)
        common, own = rng.normal(size=(stories, 1, width)), rng.normal(size=(stories, FRAMES, width))
        latent = (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own).reshape(-1, width) @ self.factor.T
        return (np.maximum(latent, 0) if self.rectified else latent) + self.shift

    @cached_property
    def moments(self) -> Moments:
        """The exact mean and covariance, written as the moments of very many rows."""
        cov, mean = self.factor @ self.factor.T, self.shift
        if self.rectified:  # arc-cosine kernel of order 1, Cho and Saul 2009
            scale = np.sqrt(np.diag(cov))
            cosine = np.clip(cov / np.outer(scale, scale), -1, 1)
            angles = np.arccos(cosine)
            second = np.outer(scale, scale) / (2 * np.pi) * (np.sin(angles) + (np.pi - angles) * cosine)
            cut = scale / np.sqrt(2 * np.pi)
            cov, mean = second - np.outer(cut, cut), cut + self.shift
        n = 10**9
        return Moments(n, n * mean, (n - 1) * cov + n * np.outer(mean, mean))


def populations(width: int, *, rectified: bool, seed: int = 0) -> tuple[Cloud, Cloud]:
    """Return a generated and a true population: spectrum 1/i, the second with other variances, axes and mean."""
    rng = np.random.default_rng([width, seed])
    variances = np.arange(1, width + 1) ** -1.0
    variances *= 10 / variances.sum()
    basis = np.linalg.qr(rng.normal(size=(width, width)))[0]
    turn = rng.normal(size=(width, width)) * 0.15 / np.sqrt(width)
    other = variances * np.exp(0.3 * rng.normal(size=width))
    shift = basis @ (0.2 * np.sqrt(variances) * rng.normal(size=width))
    generated = Cloud(basis * np.sqrt(variances) @ basis.T, np.zeros(width), rectified)
    true = Cloud(basis @ expm(turn - turn.T) * np.sqrt(other) @ basis.T, shift, rectified)
    return generated, true


def simulate(
    width: int, *, rectified: bool, stories: int, true_stories: int, benchmarks: int, resampled: int, draws: int
) -> dict[str, object]:
    """Return how often each interval holds the true distance, and the bias and spread of each estimate.

    Args:
        width: Features.
        rectified: Cut at zero.
        stories: Generated stories of a benchmark.
        true_stories: Reference stories.
        benchmarks: Simulated ones.
        resampled: How many of them the bootstrap is shown on.
        draws: Of each bootstrap.
    """
    clouds = populations(width, rectified=rectified)
    truth = frechet_distance(clouds[0].moments, clouds[1].moments)
    names = ("plain", "first_order", "second_order")
    estimates, errors, caught = np.zeros((benchmarks, 3)), np.zeros(benchmarks), []
    for i in range(benchmarks):
        rng = np.random.default_rng([width, int(rectified), i])
        x, y = clouds[0].sample(rng, stories), clouds[1].sample(rng, true_stories)
        keys, true_keys = np.arange(len(x)) // FRAMES, -1 - np.arange(len(y)) // FRAMES
        orders = corrected(Clouds(x, keys, y, true_keys))
        assert orders is not None
        assert orders.second is not None
        plain = frechet_distance(Moments.of(x), Moments.of(y))
        estimates[i] = plain, orders.first.corrected, orders.second.corrected
        errors[i] = orders.second.standard_error
        if i < resampled:
            low, high = bootstrap(x, y, rng, draws)
            caught.append(low <= truth <= high)
    reach = t_quantile(GROUPS) * errors
    off = estimates - truth
    table = {
        name: {
            "coverage": round(float(np.mean(np.abs(off[:, k]) <= reach)), 3),
            "bias": round(float(off[:, k].mean()), 5),
            "sd": round(float(off[:, k].std(ddof=1)), 5),
        }
        for k, name in enumerate(names)
    }
    return {
        "features": "rectified" if rectified else "gaussian",
        "width": width,
        "frames": [stories * FRAMES, true_stories * FRAMES],
        "benchmarks": benchmarks,
        "truth": round(truth, 5),
        "jackknife_se": round(float(errors.mean()), 5),
        **table,
        "bootstrap": {"coverage": round(float(np.mean(caught)), 3), "benchmarks": resampled, "draws": draws},
    }


def bootstrap(x: Array, y: Array, rng: np.random.Generator, draws: int) -> tuple[float, float]:
    """Return the naive percentile interval, whole stories drawn again on both sides."""
    values = []
    for _ in range(draws):
        sides = []
        for cloud in (x, y):
            stories = len(cloud) // FRAMES
            picked = cloud.reshape(stories, FRAMES, -1)[rng.integers(0, stories, stories)]
            sides.append(Moments.of(picked.reshape(len(cloud), -1)))
        values.append(frechet_distance(*sides))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def failures(rows: list[dict]) -> list[str]:
    """Return what no longer holds."""
    out = []
    for row in rows:
        where = f"{row['features']}, D = {row['width']}, {row['frames'][0]} frames"
        covered = row["second_order"]["coverage"]
        slack = 2 * np.sqrt(0.95 * 0.05 / row["benchmarks"])
        if min(row["frames"]) >= FRAMES_A_FEATURE * row["width"] and not BAND[0] - slack <= covered <= BAND[1] + slack:
            out.append(f"{where}: the second-order interval covers {covered:.1%}")
        if row["bootstrap"]["coverage"] >= 0.5:
            out.append(f"{where}: the bootstrap covers {row['bootstrap']['coverage']:.1%}")
    return out


def main() -> int:
    """Read the command line and simulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmarks", type=int, default=200, help="simulated of a kind; 5 times as many below 512")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 160, 512])
    options = parser.parse_args()
    rows = []
    for width in options.widths:
        many = width < 512
        for rectified in (False, True):
            rows.append(
                simulate(
                    width,
                    rectified=rectified,
                    stories=500,
                    true_stories=500,
                    benchmarks=options.benchmarks * (5 if many else 1),
                    resampled=min(20 if many else 5, options.benchmarks),
                    draws=100 if many else 40,
                )
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if 160 in options.widths:  # as many frames as features: a short run
        rows.append(
            simulate(
                160,
                rectified=True,
                stories=32,
                true_stories=500,
                benchmarks=options.benchmarks * 5,
                resampled=min(20, options.benchmarks),
                draws=100,
            )
        )
    broken = failures(rows)
    print(json.dumps({"cases": rows, "band": BAND, "failures": broken}, indent=2))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
