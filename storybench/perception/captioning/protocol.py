"""What every captioner can do, whichever network it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

Array = np.ndarray


class FitJudge(Protocol):
    """Says how well captions fit pictures; contrastive models such as CLIP can do no more."""

    @property
    def id(self) -> str:
        """Protocol id: weights and preprocessing."""
        ...

    def fit(self, images: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> list[Array]:
        """Return for picture i how well each of ``captions[i]`` fits it, (T_i,) float64; higher is better."""
        ...


class Captioner(FitJudge, Protocol):
    """Puts a picture into words; its likelihoods also say how well other words fit."""

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Return one caption for each RGB picture, the same whatever pictures stand beside it."""
        ...
