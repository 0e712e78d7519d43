"""Stories and sampling seeds as two sources of variance (metrics.md 7).

A frame's noise follows from seed, story and frame, so two stories share no noise under the same seed: seeds are
replicates *inside* a story, and one-way analysis of variance splits the two. Retraining is a third source that no
number of sampling seeds reveals.

Legend of shapes: n stories, m seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storybench.errors import DataError
from storybench.statistics.statistic import Array, ratio
from storybench.statistics.student import standard_error

ENOUGH_SEEDS = 3  # metrics.md 7


@dataclass(frozen=True)
class VarianceComponents:
    """Variance of a story's value between stories and between seeds, and what follows for the mean over both."""

    mean: float
    story: float  # variance between stories, of a story's expected value
    seed: float  # variance between seeds, within a story
    stories: int
    seeds: int
    standard_error: float  # of the mean over all stories and seeds, over clusters where they were given
    notes: tuple[str, ...] = ()

    def planned_error(self, stories: int, seeds: int) -> float:
        """Return the standard error that so many independent stories and seeds would have."""
        return float(np.sqrt(self.story / stories + self.seed / (stories * seeds)))


def variance_components(table: Array, clusters: Sequence[str] | None = None) -> VarianceComponents:
    r"""Return :math:`\sigma^2_{seed} = MSW` and :math:`\sigma^2_{story} = (MSB - MSW)/m`.

    Args:
        table: A value for each story and seed, (n, m), n and m at least 2.
        clusters: Cluster of each story; with it the standard error allows stories of a cluster to be alike.

    Returns:
        The components; a negative one is 0, with a note.

    Raises:
        DataError: If the table is too small or a cell is missing.

    Reference:
        metrics.md 7: Var = story / n + seed / (n m).
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise DataError(f"Variance components need 2 or more stories and seeds, got a table of shape {values.shape}.")
    if np.isnan(values).any():
        cell = tuple(int(i) for i in np.argwhere(np.isnan(values))[0])
        raise DataError(f"Story {cell[0]} has no value for seed {cell[1]}: score the same stories with every seed.")
    n, m = values.shape
    by_story = values.mean(1)  # (n,)
    between = m * np.sum((by_story - by_story.mean()) ** 2) / (n - 1)
    within = np.sum((values - by_story[:, None]) ** 2) / (n * (m - 1))
    notes = []
    if m < ENOUGH_SEEDS:
        notes.append(f"{m} seeds: use {ENOUGH_SEEDS} or more, the seeds' variance is badly known")
    if between < within:
        notes.append("stories differ no more than seeds do: their variance is set to 0")
    story = max((between - within) / m, 0.0)
    error = np.sqrt(max(between, within) / (n * m)) if clusters is None else _clustered_error(by_story, clusters)
    return VarianceComponents(float(values.mean()), float(story), float(within), n, m, float(error), tuple(notes))


def score_table(scores: Mapping[int, Mapping[str, float]]) -> tuple[tuple[str, ...], Array]:
    """Return the stories in sorted order and the table (n, m) for seeds in sorted order.

    Args:
        scores: Seed -> story -> value.

    Raises:
        DataError: If the seeds do not have the same stories.
    """
    seeds = sorted(scores)
    stories = sorted({story for seed in seeds for story in scores[seed]})
    for seed in seeds:
        missing = [story for story in stories if story not in scores[seed]]
        if missing:
            raise DataError(
                f"Seed {seed} lacks {len(missing)} of {len(stories)} stories, such as {missing[0]}: "
                "complete its run, variances are compared over the same stories only."
            )
    return tuple(stories), np.array([[scores[seed][story] for seed in seeds] for story in stories])


def _clustered_error(by_story: Array, clusters: Sequence[str]) -> float:
    """Return the cluster-robust standard error of the mean over stories."""
    if len(clusters) != len(by_story):
        raise DataError(f"{len(by_story)} stories but {len(clusters)} clusters: give the cluster of every story.")
    unique, index = np.unique(np.asarray(clusters), return_inverse=True)
    rows = np.zeros((len(unique), 2))
    np.add.at(rows, index, np.column_stack([by_story, np.ones(len(by_story))]))
    return standard_error(rows, ratio())
