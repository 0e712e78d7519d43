"""Who is who, and where is where, over stories: verification instead of raw similarity.

Figures are matched within each frame to the frame's gold characters, without an acceptance threshold; characters for
whom no figure is left are counted by :class:`CropCoverage`, and pairs are made of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from storybench.metrics.base import Array, StoryMetric, _as_list, cluster_key
from storybench.metrics.functional.matching import match_figures
from storybench.metrics.functional.verification import mann_whitney, pair_similarities
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Figures, Observation
from storybench.statistics import bootstrap

KEY_BITS = 48  # integers that float64 holds exactly
KEYS = 3  # story, frame and setting stand before the embedding in a row of a frame


class Matched(NamedTuple):
    """Figures of a story that stand for a gold character; N of them."""

    characters: Array  # (N,) names
    frames: Array  # (N,) int64
    embeddings: Array  # (N, E)


def figures_of(record: FrameRecord, seen: Observation | None) -> Figures:
    """Return the figures of one picture of a frame.

    Raises:
        ValueError: If no segmenter looked at it.
    """
    if seen is None or seen.figures is None:
        raise ValueError(f"no segmenter looked at frame {record.story}/{record.frame}")
    return seen.figures


def matched_figures(story: Sequence[FrameRecord], pictures: Sequence[Observation | None]) -> Matched:
    """Return the figures that stand for the gold characters of a story in ``pictures``, one picture a record."""
    names: list[str] = []
    frames: list[int] = []
    embeddings: list[Array] = []
    for record, seen in zip(story, pictures, strict=True):
        figures = figures_of(record, seen)
        key = f"{record.story}/{record.frame}"
        found = match_figures(figures.probabilities, figures.names, record.expected, key)
        for name, index in zip(record.expected, found.tolist(), strict=True):
            if index >= 0:
                names.append(name)
                frames.append(record.frame)
                embeddings.append(figures.embeddings[index])
    return Matched(np.array(names, dtype=str), np.array(frames, dtype=np.int64), _stacked(embeddings))


def _stacked(rows: Sequence[Array]) -> Array:
    return np.stack(rows).astype(np.float64) if rows else np.zeros((0, 0))


class CropCoverage(StoryMetric):
    """Share of gold characters for whom the frame has a figure at all; consistency says nothing about the others."""

    name = "crop_coverage"
    group = "consistency"
    unit = "gold characters"
    requires = ("figures",)
    citation = "metrics.md 4.1, crops"
    missing = "no character is expected in any frame"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (gold characters with a figure, gold characters)."""
        found = matched_figures(story, [r.seen for r in story])
        return np.array([len(found.frames), sum(len(r.expected) for r in story)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the share of gold characters."""
        return bootstrap.ratio()(weights, rows)


class IdentityAUC(StoryMetric):
    """Are two drawings of one character more alike than drawings of two, in different frames of a story?

    A constant picture of one character scores exactly 0.5. Blind spot: one of several figures scores above (0.70 to
    0.80 for eight frames of ToonSV), for characters that happen to be in it are rightly found there, and the others
    take what is left; the character metrics, coverage and :class:`SettingAUC` tell.
    """

    name = "identity_auc"
    group = "consistency"
    chance = 0.5
    unit = "pairs of drawings of one character"
    requires = ("figures",)
    citation = "metrics.md 4.1, identity verification; Mann and Whitney 1947"
    missing = "no story draws a character twice and another in a different frame"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (concordant, pairs of a positive and a negative, positives)."""
        found = matched_figures(story, [r.seen for r in story])
        return concordance_row(*pair_similarities(found.embeddings, found.characters, found.frames))

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the area under the curve, pooled over stories."""
        return bootstrap.ratio()(weights, rows)


class SettingAUC(StoryMetric):
    """Are two frames of one place in a story more alike, figures removed, than frames of two places of the episode?

    Negatives may stand in two stories of a cluster, so the state is a row a frame and sums are made per cluster.
    """

    name = "setting_auc"
    group = "consistency"
    chance = 0.5
    unit = "pairs of frames of one place"
    requires = ("figures",)
    citation = "metrics.md 4.1, setting verification; Mann and Whitney 1947"
    missing = "no place is seen twice in a story of an episode that has another"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return story, frame, setting and background of each frame that has a gold setting, (frames, 3 + E)."""
        rows = []
        for r in story:
            if r.setting:
                keys = (exact_key(r.story), float(r.frame), exact_key(r.setting))
                rows.append(np.concatenate([keys, figures_of(r, r.seen).background]))
        return np.stack(rows) if rows else np.zeros((0, KEYS))

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add the frames of one story."""
        rows = self.row(story)
        if len(rows):
            self.clusters.append(torch.full((len(rows),), cluster_key(story[0].cluster), dtype=torch.int64))
            self.rows.append(torch.from_numpy(rows))

    def cluster_rows(self) -> Array:
        """Return (concordant, pairs, positives) per cluster, (K, 3), in the order of cluster keys."""
        if not self.rows:
            return np.zeros((0, 0))
        keys = torch.cat(_as_list(self.clusters)).cpu().numpy()
        rows = torch.cat(_as_list(self.rows)).cpu().numpy()
        out = []
        for key in np.unique(keys):
            mine = rows[keys == key]
            story, frame, setting = mine[:, :KEYS].T
            out.append(concordance_row(*pair_similarities(mine[:, KEYS:], setting, frame, story)))
        return np.stack(out)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the area under the curve, pooled over clusters."""
        return bootstrap.ratio()(weights, rows)


def concordance_row(positives: Array, negatives: Array) -> Array:
    """Return (concordant, pairs, positives); without negatives the positives do not count."""
    found = mann_whitney(positives, negatives)
    return np.array([found.concordant, found.pairs, len(positives) if found.pairs else 0.0])


def exact_key(name: str) -> float:
    """Return a key of a name that float64 holds exactly, the same in every process."""
    return float(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> (64 - KEY_BITS))
