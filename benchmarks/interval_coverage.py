"""How often intervals hold the truth: ours over clusters, beside the naive one that takes frames for independent.

A benchmark is drawn many times from a world whose truth is known: episodes differ in how hard they are, clips of an
episode resemble each other, and stories are windows of four clips that move by one, so a clip is drawn in up to four
stories. Each time two models are scored by accuracy and by the micro F1 of seven characters, and their difference in F1
is taken. Worlds: 500 stories that share nothing, and 17, 31 and 50 episodes (FlintstonesSV test, PororoSV test,
metrics.md 9). Plain BCa stands beside for the reader.

Prints one JSON object, and writes it with ``--out FILE``; exits with status 1 if a coverage of ours lies outside
92 to 98 %. Run: ``python benchmarks/interval_coverage.py`` (minutes).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storybench.metrics.functional.characters import micro_f1
from storybench.statistics.bootstrap import interval, method_for, paired_difference, point, ratio

SIMULATIONS, DRAWS, NAIVE_DRAWS = 500, 2_000, 500
LOW, HIGH = 0.92, 0.98
WINDOW = 4  # clips a story
EPISODE_STORIES = (69, 229)  # four-frame stories an episode, FlintstonesSV test (metrics.md 7)
PREVALENCE = np.array([0.4, 0.35, 0.2, 0.2, 0.1, 0.05, 0.02])
RIGHT, HIT, FALSE_ALARM = 0.7, 0.8, 0.08  # of the first model, on average
BETTER = 0.2  # share of the first model's misses that the second one's hit rate mends
CLIP_CORRELATION = 0.2


class World(NamedTuple):
    """What a simulated benchmark is made of."""

    clusters: int
    are_episodes: bool  # else every cluster is one story
    correlation: float  # between clips of a cluster


WORLDS = {
    "500_stories": World(500, False, 0.2),
    "17_episodes": World(17, True, 0.05),
    "31_episodes": World(31, True, 0.05),
    "50_episodes": World(50, True, 0.05),
}


def beta(rng: np.random.Generator, mean: np.ndarray, correlation: float) -> np.ndarray:
    """Return probabilities around ``mean`` whose 0/1 draws have the given correlation."""
    strength = (1 - correlation) / correlation
    mean = np.clip(mean, 1e-6, 1 - 1e-6)
    return rng.beta(mean * strength, (1 - mean) * strength)


def simulate(rng: np.random.Generator, world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cluster of each frame (N,), whether it is right (N,), and tp, fp, fn of two models (N, 2, 7, 3)."""
    low, high = np.log(EPISODE_STORIES)
    stories = np.exp(rng.uniform(low, high, world.clusters)).astype(int) if world.are_episodes else None
    clips = np.full(world.clusters, WINDOW) if stories is None else stories + WINDOW - 1
    cluster = np.repeat(np.arange(world.clusters), clips)  # (clips,)

    def clipwise(mean: np.ndarray) -> np.ndarray:
        """Return a probability for each clip; clips of a cluster are alike."""
        of_cluster = beta(rng, np.broadcast_to(mean, (world.clusters, *mean.shape)), world.correlation)
        return beta(rng, of_cluster[cluster], CLIP_CORRELATION)

    right, hit, alarm = (clipwise(np.array(x)) for x in (RIGHT, HIT, FALSE_ALARM))
    gold = rng.random((len(cluster), len(PREVALENCE))) < clipwise(PREVALENCE)  # (clips, 7)
    times = np.ones(len(cluster), dtype=int)
    if world.are_episodes:
        times = np.concatenate([np.minimum(np.minimum(k := np.arange(n) + 1, k[::-1]), WINDOW) for n in clips])
    frame = np.repeat(np.arange(len(cluster)), times)  # clip of each frame, (N,)
    hits = np.stack([hit, 1 - (1 - hit) * (1 - BETTER)], axis=-1)[frame, :, None]  # (N, 2, 1)
    truth = gold[frame, None]  # (N, 1, 7)
    seen = rng.random((len(frame), 2, len(PREVALENCE))) < np.where(truth, hits, alarm[frame, None, None])
    table = np.stack([seen & truth, seen & ~truth, ~seen & truth], axis=-1).astype(np.float64)
    return cluster[frame], (rng.random(len(frame)) < right[frame]).astype(np.float64), table


def true_f1(hit: float) -> float:
    """Return the F1 of expected sums."""
    tp, fn, fp = hit * PREVALENCE.sum(), (1 - hit) * PREVALENCE.sum(), FALSE_ALARM * (1 - PREVALENCE).sum()
    return 2 * tp / (2 * tp + fp + fn)


def f1(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the micro F1 of rows (K, 21)."""
    return micro_f1((weights @ rows).reshape(len(weights), -1, 3))


def f1_gain(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return how much better the second model is, of rows (K, 42)."""
    half = rows.shape[1] // 2
    return f1(weights, rows[:, half:]) - f1(weights, rows[:, :half])


def over_clusters(cluster: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return sums per cluster, (K, S), of frames sorted by cluster."""
    return np.add.reduceat(values, np.flatnonzero(np.diff(cluster, prepend=-1)), axis=0)


def naive(rng: np.random.Generator, frames: np.ndarray, statistic) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap over frames, drawn as counts of the distinct rows."""
    codes = frames @ (len(PREVALENCE) + 1.0) ** np.arange(frames.shape[1])  # a number for each possible row
    _, at, count = np.unique(codes, return_index=True, return_counts=True)
    distinct = frames[at]
    weights = rng.multinomial(len(frames), count / len(frames), size=NAIVE_DRAWS).astype(np.float64)
    low, high = np.quantile(statistic(weights, distinct), [0.025, 0.975])
    return float(low), float(high)


def trial(rng: np.random.Generator, world: World) -> dict[str, dict[str, tuple[float, tuple[float, float]]]]:
    """Return for each quantity its truth and the interval of each method."""
    cluster, right, table = simulate(rng, world)
    n = len(cluster)
    models = [table[:, m].reshape(n, -1) for m in range(2)]  # (N, 21) each
    pooled = [table[:, m].sum(1) for m in range(2)]  # (N, 3): all a naive bootstrap needs of a micro F1
    accuracy, first, second = (over_clusters(cluster, x) for x in (np.column_stack([right, np.ones(n)]), *models))
    truths = (RIGHT, true_f1(HIT), true_f1(1 - (1 - HIT) * (1 - BETTER)))
    gain = paired_difference(first, second, f1, draws=DRAWS)
    both = np.concatenate([first, second], axis=1)
    unit, share = (0.0, 1.0), ratio()
    frames = (np.column_stack([right, np.ones(n)]), pooled[0], np.concatenate(pooled, axis=1))
    found = {}
    for name, truth, rows, statistic, ours, plain in (
        ("accuracy", truths[0], accuracy, share, interval(accuracy, share, draws=DRAWS, bounds=unit), frames[0]),
        ("f1", truths[1], first, f1, interval(first, f1, draws=DRAWS, bounds=unit), frames[1]),
        ("f1_difference", truths[2] - truths[1], both, f1_gain, (gain.low, gain.high), frames[2]),
    ):
        assert ours[0] <= point(rows, statistic) <= ours[1]
        ways = {
            "ours": tuple(ours),
            "plain_bca": tuple(interval(rows, statistic, draws=DRAWS, method="bca")),
            "naive": naive(rng, plain, statistic),
        }
        found[name] = {way: (truth, ends) for way, ends in ways.items()}
    return found


def measure(world: World, simulations: int) -> dict[str, object]:
    """Return coverage and mean width of every method for every quantity."""
    rng = np.random.default_rng(world.clusters)
    trials = [trial(rng, world) for _ in range(simulations)]
    out: dict[str, object] = {"interval": method_for(world.clusters)}
    for name in trials[0]:
        out[name] = {}
        for way in trials[0][name]:
            truth = trials[0][name][way][0]
            ends = np.array([t[name][way][1] for t in trials])  # (simulations, 2)
            held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
            out[name][way] = {"coverage": round(float(held), 3), "width": round(float(np.diff(ends).mean()), 4)}
    return out


def main() -> int:
    """Measure all worlds and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--out", type=Path, help="also write the record here")
    args = parser.parse_args()
    start = time.perf_counter()
    worlds = {name: measure(WORLDS[name], args.simulations) for name in args.worlds}
    coverages = [w[q]["ours"]["coverage"] for w in worlds.values() for q in ("accuracy", "f1", "f1_difference")]
    result = {
        "simulations": args.simulations,
        "monte_carlo_se": round(float(np.sqrt(0.95 * 0.05 / args.simulations)), 4),
        "draws": DRAWS,
        "worlds": worlds,
        "limits": [LOW, HIGH],
        "seconds": round(time.perf_counter() - start, 1),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    return int(not all(LOW <= c <= HIGH for c in coverages))


if __name__ == "__main__":
    sys.exit(main())
