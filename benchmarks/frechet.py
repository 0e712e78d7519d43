"""Time of a Fréchet distance at FlintstonesSV's size: ours, scipy's matrix square root, torchmetrics, in one run.

Features are rectified with a power-law spectrum, float64 for all, 2,048 wide: 11,545 rows against 11,545, and 500
against 500. Two times are taken. ``distance``: from sums of features to the value, as each class holds them.
``whole``: from features in memory to the value. Ways take turns, and ratios are medians over rounds, so that all see
the same machine; beside them stand the processor's seconds, which the work of others touches less. Prints one JSON
object and exits with status 1 if the distance at 11,545 rows is not 6 times as fast as with sqrtm and twice as fast as
in torchmetrics, if the whole at 500 rows is not 20 times as fast as with sqrtm, or if values differ by more than 1e-8
of it (at 500, where sqrtm of a singular matrix is off itself, 1e-5). ``python benchmarks/frechet.py``: minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before the libraries that read it

import numpy as np
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance

from storybench.metrics.functional.frechet import Moments, frechet_distance

WIDTH, MANY, FEW = 2_048, 11_545, 500
BARS = {"sqrtm": 6.0, "torchmetrics": 2.0, "few_sqrtm": 20.0}
EQUAL, EQUAL_SINGULAR = 1e-8, 1e-5
Array = np.ndarray


class Cost(NamedTuple):
    """What a way took, and the value it found."""

    seconds: float
    cpu_seconds: float  # of all threads
    value: float


class Rows(torch.nn.Module):
    """Features as they are, in the place of torchmetrics' network."""

    num_features = WIDTH

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def features(rows: int, scale: float, rng: np.random.Generator, mix: Array) -> Array:
    """Return rectified rows, (rows, WIDTH) float64."""
    return np.maximum(rng.normal(size=(rows, WIDTH)) @ (scale * mix), 0)


def timed(work: Callable[[], float]) -> Cost:
    """Run once."""
    start, cpu_start = time.perf_counter(), time.process_time()
    value = work()
    return Cost(time.perf_counter() - start, time.process_time() - cpu_start, value)


def by_sqrtm(x: Array, y: Array) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return (distance, whole) of the textbook way."""

    def moments() -> tuple[Array, Array, Array, Array]:
        return x.mean(0), y.mean(0), np.cov(x, rowvar=False), np.cov(y, rowvar=False)

    def distance(mean_x: Array, mean_y: Array, a: Array, b: Array) -> float:
        return float(((mean_x - mean_y) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b)).real)

    held = moments()
    return lambda: distance(*held), lambda: distance(*moments())


def by_torchmetrics(x: Array, y: Array) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return (distance, whole) of torchmetrics' class."""

    def summed() -> FrechetInceptionDistance:
        metric = FrechetInceptionDistance(feature=Rows(), normalize=True)
        metric.update(torch.from_numpy(x), real=False)
        metric.update(torch.from_numpy(y), real=True)
        return metric

    def compute(metric: FrechetInceptionDistance) -> float:
        metric._computed = None  # it remembers its value
        return float(metric.compute())

    held = summed()
    return lambda: compute(held), lambda: compute(summed())


def by_ours(x: Array, y: Array) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return (distance, whole) of ours."""
    held = Moments.of(x), Moments.of(y)
    return lambda: frechet_distance(*held), lambda: frechet_distance(x, y)


WAYS = {"ours": by_ours, "torchmetrics": by_torchmetrics, "sqrtm": by_sqrtm}


def compare(rows: int, rounds: int, rng: np.random.Generator, mix: Array) -> dict:
    """Return times, ratios to ours and differences for ``rows`` generated rows."""
    x, y = features(rows, 1.1, rng, mix), features(MANY if rows == MANY else FEW, 1.0, rng, mix)
    made = {name: way(x, y) for name, way in WAYS.items()}
    costs: dict[str, dict[str, list[Cost]]] = {"distance": {}, "whole": {}}
    for _ in range(rounds):
        for k, part in enumerate(costs):
            for name, work in made.items():
                costs[part].setdefault(name, []).append(timed(work[k]))
    result: dict = {"rows": [len(x), len(y)]}
    for part, found in costs.items():
        ours = found["ours"]
        result[part] = {
            name: {
                "seconds": round(statistics.median(c.seconds for c in each), 3),
                "cpu_seconds": round(statistics.median(c.cpu_seconds for c in each), 3),
                "to_ours": round(statistics.median(c.seconds / o.seconds for c, o in zip(each, ours, strict=True)), 2),
                "cpu_to_ours": round(
                    statistics.median(c.cpu_seconds / o.cpu_seconds for c, o in zip(each, ours, strict=True)), 2
                ),
                "difference": abs(each[0].value / ours[0].value - 1),
            }
            for name, each in found.items()
        }
    result["value"] = costs["whole"]["ours"][0].value
    return result


def failures(many: dict, few: dict) -> list[str]:
    """Return what no longer holds."""
    ratios = {name: many["distance"][name]["to_ours"] for name in ("sqrtm", "torchmetrics")}
    out = [f"{name} takes {r} times as long, expected {BARS[name]}" for name, r in ratios.items() if r < BARS[name]]
    if few["whole"]["sqrtm"]["to_ours"] < BARS["few_sqrtm"]:
        out.append(f"at {FEW} rows sqrtm takes {few['whole']['sqrtm']['to_ours']} times as long")
    for found, limit in ((many, EQUAL), (few, EQUAL_SINGULAR)):
        for part in ("distance", "whole"):
            for name, cost in found[part].items():
                if cost["difference"] > limit:
                    out.append(f"{name} differs by {cost['difference']:.1e} at {found['rows'][0]} rows ({part})")
    return out


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(WIDTH, WIDTH)) * np.arange(1, WIDTH + 1) ** -0.5 / np.sqrt(WIDTH)
    many, few = (compare(rows, options.rounds, rng, mix) for rows in (MANY, FEW))
    broken = failures(many, few)
    result = {"width": WIDTH, "threads": threads, "rounds": options.rounds, "many": many, "few": few, "bars": BARS}
    print(json.dumps({**result, "failures": broken}, indent=2))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
