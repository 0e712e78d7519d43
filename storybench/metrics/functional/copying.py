"""Is a generated frame the one before it, drawn again?

Copying the previous frame passes every question about antecedents of that frame, so it is counted apart
(metrics.md 3, blind spot).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
PERCENTILE = 1.0  # of true consecutive distances, metrics.md 3
ALARM = 0.05  # share of copies above which reference scores are flagged, metrics.md 3


def consecutive_distances(features: Array) -> Array:
    """Return the Euclidean distances between neighbours of ``features`` (T, D): (T - 1,) float64."""
    steps = np.diff(np.asarray(features, dtype=np.float64), axis=0)  # (T - 1, D)
    return np.linalg.norm(steps, axis=1)


def copy_threshold(true: Array) -> float:
    """Return the distance up to which a pair of frames counts as copied; NaN without true pairs, (n,)."""
    return float(np.percentile(true, PERCENTILE)) if len(true) else float("nan")


def copy_rate(generated: Array, true: Array) -> float:
    """Return the share of generated consecutive distances (n,) within the threshold of the true ones (m,).

    The threshold itself counts as copied, so that a repeated frame is caught where the truth repeats frames too; true
    frames score about 0.01. NaN where either is empty.
    """
    return float(np.mean(generated <= copy_threshold(true))) if len(generated) and len(true) else float("nan")
