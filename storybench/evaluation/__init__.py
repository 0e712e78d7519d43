"""Frames to scores: one pass over the pixels, then every metric over what was seen."""

from storybench.evaluation.scoring import Evaluation, evaluate
from storybench.evaluation.watching import FrameReader, TrueFrames
from storybench.metrics.catalogue import METRICS

__all__ = ["METRICS", "Evaluation", "FrameReader", "TrueFrames", "evaluate"]
