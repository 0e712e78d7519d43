"""Time of 10,000 bootstrap draws of a micro F1 over 2,309 stories, beside scipy's bootstrap and a plain loop.

All three recompute the F1 of seven characters for every draw. Ours and the loop use the same draws, so their intervals
must agree to rounding; scipy draws its own. The loop resamples rows by index, as papers' scripts do, and is timed on a
tenth of the draws. A second metric over the same stories shares ours.

Prints one JSON object; exits with status 1 if ours takes 2 s or more or an interval differs. Run:
``python benchmarks/bootstrap.py``.
"""

import json
import sys
import time

import numpy as np
from scipy import stats

from storybench.metrics.functional.characters import micro_f1
from storybench.statistics.bootstrap import DRAWS, interval, story_weights

STORIES, CHARACTERS, FRAMES = 2_309, 7, 5
LIMIT_S, LOOP_SHARE = 2.0, 10
SCIPY_BATCH = 100  # draws that scipy holds at once; all of them would take 4 GB


def rows_of_stories() -> np.ndarray:
    """Return (tp, fp, fn) of each character, then frames: (2309, 22)."""
    rng = np.random.default_rng(0)
    skill = rng.beta(8, 2, (STORIES, 1))  # stories differ
    gold = rng.binomial(FRAMES, [0.4, 0.35, 0.2, 0.2, 0.1, 0.05, 0.02], (STORIES, CHARACTERS))
    tp, fp = rng.binomial(gold, skill), rng.binomial(FRAMES - gold, 0.06)
    sums = np.stack([tp, fp, gold - tp], axis=-1).reshape(STORIES, -1)
    return np.column_stack([sums, np.full(STORIES, FRAMES)]).astype(np.float64)


def f1_of_sums(sums: np.ndarray) -> np.ndarray:
    """Return the F1 of sums (..., 22)."""
    return micro_f1(sums[..., :-1].reshape(*sums.shape[:-1], CHARACTERS, 3))


def statistic(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the F1 of every draw."""
    return f1_of_sums(weights @ rows)


def main() -> int:
    """Time all and print."""
    rows = rows_of_stories()
    start = time.perf_counter()
    ours = interval(rows, statistic)
    first = time.perf_counter() - start
    start = time.perf_counter()
    interval(rows, statistic)
    second = time.perf_counter() - start

    start = time.perf_counter()
    theirs = stats.bootstrap(
        (np.arange(STORIES),), lambda i, axis=-1: f1_of_sums(rows[i].sum(-2)), vectorized=True, method="BCa",
        n_resamples=DRAWS, batch=SCIPY_BATCH, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    scipy_s = time.perf_counter() - start

    draws = DRAWS // LOOP_SHARE
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    looped = [f1_of_sums(rows[rng.integers(0, STORIES, STORIES)].sum(0)) for _ in range(draws)]
    loop_s = (time.perf_counter() - start) * LOOP_SHARE
    shared = np.concatenate([statistic(w, rows) for w in story_weights(STORIES, draws=draws)])
    same_draws = float(np.abs(np.array(looped) - shared).max())

    width = ours.high - ours.low
    apart = max(abs(ours.low - theirs.low), abs(ours.high - theirs.high)) / width
    result = {
        "stories": STORIES,
        "draws": DRAWS,
        "ours_s": round(first, 2),
        "second_metric_s": round(second, 2),
        "scipy_s": round(scipy_s, 2),
        "loop_s": round(loop_s, 2),
        "times_faster_than_scipy": round(scipy_s / first, 1),
        "times_faster_than_loop": round(loop_s / first, 1),
        "interval": [round(ours.low, 5), round(ours.high, 5)],
        "scipy_interval": [round(float(theirs.low), 5), round(float(theirs.high), 5)],
        "ends_apart_in_widths": round(float(apart), 4),
        "largest_difference_to_loop_on_the_same_draws": same_draws,
        "limit_s": LIMIT_S,
    }
    print(json.dumps(result, indent=2))
    # 0.05 widths: an end of 10,000 draws has a Monte Carlo error of about 0.01 widths
    return int(first >= LIMIT_S or apart > 0.05 or same_draws > 1e-12)


if __name__ == "__main__":
    sys.exit(main())
