"""Captioners as observers: what a picture is put into words as, and how well the story's captions fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from storybench.perception.captioning.protocol import Captioner, FitJudge
from storybench.perception.observation import Array, Arrays


@dataclass(frozen=True)
class CaptionObserver:
    """Fills ``caption``; kept as the bytes of the text."""

    captioner: Captioner
    field: str = "caption"
    uses_captions: bool = False

    @property
    def id(self) -> str:
        """The captioner's own."""
        return self.captioner.id

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return the caption of each picture; ``captions`` are not looked at."""
        return [{"caption": np.frombuffer(text.encode(), np.uint8)} for text in self.captioner.caption(images)]

    def value(self, arrays: Arrays) -> str:
        """Return the caption."""
        return arrays["caption"].astype(np.uint8).tobytes().decode()


@dataclass(frozen=True)
class CaptionFitObserver:
    """Fills ``caption_fit``: how well each caption of the story fits a picture, higher is better."""

    judge: FitJudge
    field: str = "caption_fit"
    uses_captions: bool = True

    @property
    def id(self) -> str:
        """The judge's own and ``-fit``: a captioner's words and its fit are kept apart."""
        return f"{self.judge.id}-fit"

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return the fit of ``captions[i]`` to ``images[i]``, (T_i,) float64 each."""
        return [{"fit": fit} for fit in self.judge.fit(images, captions)]

    def value(self, arrays: Arrays) -> Array:
        """Return the fit of each caption, (T,) float64."""
        return np.asarray(arrays["fit"], dtype=np.float64)
