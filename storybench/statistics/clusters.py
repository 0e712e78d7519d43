"""Which stories are independent: the cluster of every story, and what ignoring it would cost (metrics.md 7).

Stories of four or five frames are windows that move by one clip: a clip is in up to T of them, and clips of an episode
resemble each other anyway. What is resampled is therefore the episode. This is the one place that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from storybench.errors import DataError
from storybench.statistics.statistic import Array, Statistic
from storybench.statistics.student import standard_error
from storybench.story import Story


def cluster_of(story: Story) -> str:
    """Return the cluster of a story: its episode where the data set names one, else the story itself."""
    return story.cluster or story.id


def story_clusters(stories: Iterable[Story]) -> dict[str, str]:
    """Return the cluster of every story by its id, in the given order.

    Raises:
        DataError: If two stories share a frame but no cluster, which would count it as two independent ones.
    """
    clusters: dict[str, str] = {}
    owner: dict[str, str] = {}  # frame id -> the first story that has it
    for story in stories:
        clusters[story.id] = cluster_of(story)
        for frame in story.frames:
            first = owner.setdefault(frame.id, story.id) if frame.id else story.id
            if clusters[first] != clusters[story.id]:
                raise DataError(
                    f"Stories {first} and {story.id} share frame {frame.id} but are in clusters {clusters[first]!r} "
                    f"and {clusters[story.id]!r}: give stories that overlap the same cluster."
                )
    return clusters


def without_overlap(stories: Iterable[Story]) -> list[Story]:
    """Return the stories that share no frame with one kept before, for a sensitivity check.

    Of windows that move by one clip these are the aligned ones: the first of an episode, then every T-th. Frames
    without an id are taken for different.
    """
    seen: set[str] = set()
    kept = []
    for story in stories:
        ids = {frame.id for frame in story.frames if frame.id}
        if not ids & seen:
            kept.append(story)
            seen |= ids
    return kept


def cluster_sums(rows: Array, clusters: Sequence[str]) -> Array:
    """Return the rows of stories (n, S) summed by cluster, (K, S), in sorted order of the clusters.

    Raises:
        ValueError: If there is not one cluster a row.
    """
    if len(rows) != len(clusters):
        raise ValueError(f"{len(rows)} rows but {len(clusters)} clusters")
    unique, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(unique), rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def intraclass_correlation(values: Array, clusters: Sequence[str]) -> float:
    r"""Return the correlation of two units of a cluster, from one-way analysis of variance.

    .. math::
        \rho = \frac{MSB - MSW}{MSB + (n_0 - 1) MSW}, \qquad n_0 = \frac{N - \sum n_k^2 / N}{K - 1}

    It may be slightly negative by chance. NaN with fewer than two clusters, none of two units, or no variance.

    Args:
        values: One value a unit, (N,).
        clusters: The cluster of each.

    Reference:
        Donner 1986, unequal cluster sizes.
    """
    y = np.asarray(values, dtype=np.float64)
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    size = np.bincount(index).astype(np.float64)  # (K,)
    n, k = len(y), len(size)
    if k < 2 or n <= k:
        return float("nan")
    mean = np.bincount(index, weights=y) / size
    between = np.sum(size * (mean - y.mean()) ** 2) / (k - 1)
    within = np.sum((y - mean[index]) ** 2) / (n - k)
    n0 = (n - np.sum(size**2) / n) / (k - 1)
    total = between + (n0 - 1) * within
    return float((between - within) / total) if total > 0 else float("nan")


def design_effect(units: int, clusters: int, correlation: float) -> float:
    """Return 1 + (n / K - 1) rho: by how much clustering multiplies the variance of a mean."""
    return 1 + (units / clusters - 1) * correlation


def measured_design_effect(rows: Array, clusters: Sequence[str], statistic: Statistic) -> float:
    """Return the squared ratio of the error over clusters to the error over stories, for any statistic; NaN for 0/0.

    Above 1, intervals over stories are too narrow by its square root.
    """
    alone = standard_error(rows, statistic)
    together = standard_error(cluster_sums(rows, clusters), statistic)
    return (together / alone) ** 2 if alone > 0 else float("nan")
