"""Peers' metrics over features of whole frames: within a story (VBench) or against the true frame (the others)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storybench.metrics.base import Array, StoryMetric
from storybench.metrics.functional import peers as functional
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation
from storybench.perception.peers import CLIP_B32, CLIP_L14, DINO_B16, DREAMSIM, LPIPS_ALEX
from storybench.statistics import bootstrap


class FrameFeatures(StoryMetric):
    """A mean over frames of something made of the features that :attr:`evaluator` names."""

    group = "peers"
    bounds = (-1.0, 1.0)
    fraction = False

    def features(self, story: Sequence[FrameRecord], pictures: Sequence[Observation | None]) -> Array:
        """Return the features of ``pictures``, one picture a record, (frames, D) float64.

        Raises:
            ValueError: If the network did not look at one.
        """
        rows = []
        for record, seen in zip(story, pictures, strict=True):
            if seen is None or self.evaluator not in seen.features:
                raise ValueError(f"{self.evaluator} did not look at frame {record.story}/{record.frame}")
            rows.append(np.asarray(seen.features[self.evaluator], dtype=np.float64))
        return np.stack(rows)

    def values(self, story: Sequence[FrameRecord]) -> Array:
        """Return the value of each frame that has one, (n,)."""
        raise NotImplementedError

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (sum of values, frames)."""
        values = self.values(sorted(story, key=lambda r: r.frame))
        return np.array([values.sum(), len(values)], dtype=np.float64)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean over frames."""
        return bootstrap.ratio()(weights, rows)


class VBenchSubject(FrameFeatures):
    """VBench's subject consistency: DINO features of whole frames, each with the one before and with the first."""

    name = "vbench_subject"
    bounds = (0.0, 1.0)
    unit = "frames after the first"
    requires = (DINO_B16,)
    citation = "VBench, subject_consistency.py; metrics.md 4.2"
    missing = "no story has two or more frames"

    def values(self, story: Sequence[FrameRecord]) -> Array:
        """Return the consistency of the frames after the first."""
        return functional.vbench_consistency(self.features(story, [r.seen for r in story]))


class VBenchBackground(VBenchSubject):
    """VBench's background consistency: the same over CLIP features of whole frames, figures and all."""

    name = "vbench_background"
    requires = (CLIP_B32,)
    citation = "VBench, background_consistency.py; metrics.md 4.2"


class ClipImage(FrameFeatures):
    """CLIP-I: cosine of the generated and the true frame in CLIP's picture space."""

    name = "clip_i"
    requires = (CLIP_L14, "truth")
    citation = "Ruiz et al. 2023, section 4; metrics.md 4.2"

    def values(self, story: Sequence[FrameRecord]) -> Array:
        """Return the cosine of each frame."""
        return functional.cosine(*self._both(story))

    def _both(self, story: Sequence[FrameRecord]) -> tuple[Array, Array]:
        return self.features(story, [r.seen for r in story]), self.features(story, [r.truth for r in story])


class DinoImage(ClipImage):
    """The same over DINO features."""

    name = "dino_i"
    requires = (DINO_B16, "truth")


class DreamSim(ClipImage):
    """DreamSim: one minus the cosine of its embeddings of the generated and the true frame."""

    name = "dreamsim"
    higher_is_better = False
    bounds = (0.0, 2.0)
    requires = (DREAMSIM, "truth")
    citation = "Fu et al. 2023, dreamsim/model.py; metrics.md 4.2"

    def values(self, story: Sequence[FrameRecord]) -> Array:
        """Return the distance of each frame."""
        return functional.dreamsim_distance(*self._both(story))


class Lpips(ClipImage):
    """LPIPS of the generated and the true frame; the features are made so that their squared distance is it."""

    name = "lpips"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    requires = (LPIPS_ALEX, "truth")
    citation = "Zhang et al. 2018, eq. 1; metrics.md 4.2"

    def values(self, story: Sequence[FrameRecord]) -> Array:
        """Return the distance of each frame."""
        return functional.squared_distance(*self._both(story))
