"""Can the frames of a story be put back to their captions?

A Hungarian match of T frames to T captions by how well they fit; chance is 1/T. The solver breaks ties by position, so
identical frames in their own order would all come out right (metrics.md 4.1): frames and captions are shuffled first,
and the share of right frames is averaged over shuffles.
"""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.optimize import linear_sum_assignment

Array = np.ndarray
PERMUTATIONS = 16  # metrics.md 4.1


def assignment_accuracy(fit: Array, story: str = "", permutations: int = PERMUTATIONS) -> float:
    """Return the share of frames that the best match gives their own caption, in [0, 1]; NaN without frames.

    Shuffles are drawn from the story's name. Each draw of a frame order is used in all its rotations before the next
    is drawn, so that every frame stands in every place equally often and ties cost little more than their chance.

    Args:
        fit: (T, T) float64, frame t with caption t' at [t, t'], higher is better.
        story: Name of the story, the seed.
        permutations: Number of shuffles averaged.

    Raises:
        ValueError: If ``fit`` is not square.
    """
    size = len(fit)
    if fit.shape != (size, size):
        raise ValueError(f"expected one caption a frame, got a table of {fit.shape}")
    if not size:
        return float("nan")
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(story.encode()).digest()[:8], "big"))
    right = 0
    for draw in range(permutations):
        if draw % size == 0:
            order, captions = rng.permutation(size), rng.permutation(size)
        frames = np.roll(order, draw % size)
        rows, columns = linear_sum_assignment(fit[np.ix_(frames, captions)], maximize=True)
        right += int(np.sum(frames[rows] == captions[columns]))
    return right / (size * permutations)
