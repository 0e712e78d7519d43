"""Bootstrap draws: vectors of whole weights, how often each cluster was picked.

Equal (clusters, draws, seed) always give equal weights, so everything measured over the same clusters shares its draws:
metrics, models, and the two sides of a difference. Recent sets are kept, one byte a weight, because a record has many
metrics over the same clusters; keeping them changes no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from storybench.statistics.statistic import CHUNK, Array

DRAWS = 10_000  # metrics.md 7
KEPT_SETS = 4
KEPT_WEIGHTS = 32 * 2**20  # weights of the largest set that is kept: with four sets, about 128 MB


def story_weights(clusters: int, *, draws: int = DRAWS, seed: int = 0) -> Iterator[Array]:
    """Yield bootstrap weights in chunks of shape (<= 1000, K), float64; rows are Multinomial(K, 1/K) and sum to K."""
    small = clusters * draws <= KEPT_WEIGHTS
    chunks = _kept(clusters, draws, seed) if small else _counts(clusters, draws, seed)
    for counts in chunks:
        yield counts.astype(np.float64)


@lru_cache(maxsize=KEPT_SETS)
def _kept(clusters: int, draws: int, seed: int) -> tuple[Array, ...]:
    return tuple(counts.astype(np.min_scalar_type(counts.max())) for counts in _counts(clusters, draws, seed))


def _counts(clusters: int, draws: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        picks = rng.integers(0, clusters, (size, clusters))  # (B, K)
        picks += np.arange(size)[:, None] * clusters
        yield np.bincount(picks.ravel(), minlength=size * clusters).reshape(size, clusters)
