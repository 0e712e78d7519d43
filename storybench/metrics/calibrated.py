"""Consistency over stories, on the scale from strangers (0) to true stories (1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from storybench.metrics.base import Array, StoryMetric, _as_list
from storybench.metrics.functional import calibrated as functional
from storybench.metrics.functional.verification import pair_similarities
from storybench.metrics.identity import figures_of, matched_figures
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation
from storybench.records.score import Score
from storybench.statistics import bootstrap

GENERATED, TRUE = 0.0, 1.0


class CalibratedConsistency(StoryMetric):
    """How near the similarity within generated stories comes to that within true ones, strangers being 0.

    Frames more alike than the truth lose as much as frames less alike; nothing is clipped. Refused where truth and
    strangers are less than two standard errors apart.
    """

    group = "consistency"
    bounds = (-float("inf"), 1.0)
    chance = 0.0
    requires = ("figures", "truth", "stranger")
    missing = "no pair of frames to compare in generated, true and strangers' frames"

    similarities_of: list[Tensor]

    def __init__(self, evaluator: str = "none") -> None:
        super().__init__(evaluator)
        self.add_state("similarities_of", default=[], dist_reduce_fx="cat")

    def similarities(self, story: Sequence[FrameRecord], pictures: Sequence[Observation | None]) -> Array:
        """Return the similarities of the pairs of a story in ``pictures``, one picture a record, (P,)."""
        raise NotImplementedError

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return sum and number of similarities of generated, true and strangers' frames."""
        return np.array([x for kind in self._kinds(story) for x in (kind.sum(), len(kind))], dtype=np.float64)

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add all judged frames of one story."""
        super().update(story)
        generated, true, _ = self._kinds(story)
        both = [*([GENERATED, x] for x in generated), *([TRUE, x] for x in true)]
        self.similarities_of.append(torch.tensor(both, dtype=torch.float64).reshape(-1, 2))

    def _kinds(self, story: Sequence[FrameRecord]) -> list[Array]:
        kinds: list[list[Observation | None]] = [
            [r.seen for r in story],
            [r.truth for r in story],
            [r.stranger for r in story],
        ]
        none = np.zeros(0)  # a run without true frames is told so, not stopped
        return [none if any(p is None for p in pictures) else self.similarities(story, pictures) for pictures in kinds]

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the calibrated consistency."""
        return functional.calibrated_consistency(*functional.mean_similarities(weights, rows))

    def count(self, sums: Array) -> int:
        """Return the number of pairs in generated frames."""
        return int(sums[1])

    def compute(self) -> Tensor:
        """Return the value, NaN where it is undefined or refused."""
        refused = len(self.rows) > 0 and self.refusal() is not None
        return torch.tensor(float("nan"), dtype=torch.float64) if refused else super().compute()

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return value, BCa interval over clusters, and the number of pairs; or why the scale does not hold."""
        reason = self.refusal() if self.rows else None
        if reason is not None:
            return self.absent(reason, self.count(self.cluster_rows().sum(0)))
        return super().score(seed=seed, draws=draws)

    def refusal(self) -> str | None:
        """Return why the scale does not hold: its ends are less than two standard errors apart."""
        rows = self.cluster_rows()
        ends = functional.mean_similarities(np.ones((1, len(rows))), rows)
        span, error = float(ends.real[0] - ends.floor[0]), functional.separation_error(rows)
        if np.isnan(span):
            return self.missing
        if np.isnan(error):
            return "needs two or more independent stories to know how far truth and strangers are apart"
        if span <= 0 or span < functional.SEPARATION_SE * error:
            return (
                f"true stories ({float(ends.real[0]):.3f}) and strangers ({float(ends.floor[0]):.3f}) are less than "
                f"{functional.SEPARATION_SE:g} standard errors ({error:.3f}) apart: the scale has no ends"
            )
        return None

    def details(self) -> dict[str, Any]:
        """Return the three mean similarities, and how far generated similarities are distributed from true ones."""
        rows = self.cluster_rows()
        if not len(rows):
            return {}
        ends = functional.mean_similarities(np.ones((1, len(rows))), rows)
        kind, value = torch.cat(_as_list(self.similarities_of)).cpu().numpy().T
        generated, true = np.sort(value[kind == GENERATED]), np.sort(value[kind == TRUE])
        distance = wasserstein_distance(generated, true) if len(generated) and len(true) else float("nan")
        parts = {
            "generated": float(ends.generated[0]),
            "true": float(ends.real[0]),
            "strangers": float(ends.floor[0]),
            "wasserstein_to_true": float(distance),
        }
        return {f"{self.name}_parts": {name: None if np.isnan(x) else x for name, x in parts.items()}}


class IdentityConsistency(CalibratedConsistency):
    """Calibrated similarity of the drawings of one character in two frames of a story."""

    name = "identity_consistency"
    unit = "pairs of drawings of one character"
    citation = "metrics.md 4.1, calibrated consistency of identity"

    def similarities(self, story: Sequence[FrameRecord], pictures: Sequence[Observation | None]) -> Array:
        """Return the similarities of figures matched to the same gold character in two frames."""
        found = matched_figures(story, pictures)
        return pair_similarities(found.embeddings, found.characters, found.frames).same


class SettingConsistency(CalibratedConsistency):
    """Calibrated similarity, figures removed, of two frames of a story with the same gold setting."""

    name = "setting_consistency"
    unit = "pairs of frames of one place"
    citation = "metrics.md 4.1, calibrated consistency of the setting"

    def similarities(self, story: Sequence[FrameRecord], pictures: Sequence[Observation | None]) -> Array:
        """Return the similarities of backgrounds of frames with the same gold setting."""
        placed = [(r, seen) for r, seen in zip(story, pictures, strict=True) if r.setting]
        if not placed:
            return np.zeros(0)
        backgrounds = np.stack([figures_of(r, seen).background for r, seen in placed])
        settings = np.array([r.setting for r, _ in placed], dtype=str)
        return pair_similarities(backgrounds, settings, np.array([r.frame for r, _ in placed])).same
