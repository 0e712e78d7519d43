"""Traces that a picture was not always what it is: a JPEG before it was a PNG, or a smaller picture scaled up.

A picture that was JPEG once hardly changes when it is stored as JPEG again at the same quality: the error over the
quality has a sharp dip there (a JPEG ghost), where that of any other picture falls smoothly. Looked at is the
luminance, so the dip does not depend on how colour was sampled. A ramp or a chessboard may have a dip by chance; a
sample of a model's frames does not. Rates are measured in tests/submission/test_traces.py.

Reference:
    Farid 2009, Exposing Digital Forgeries from JPEG Ghosts.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

QUALITIES = range(46, 100)
BESIDE = (2, 3, 4)  # steps of quality to either side that a dip is compared with; the next one dips along
DIP = 0.9  # below: a ghost. True and generated frames stay above 1.03, frames once JPEG of quality 92 or less below 0.7
TRACE = 0.02  # squared grey levels; errors below it say nothing, as those of a picture of one colour


class Ghost(NamedTuple):
    """The deepest dip of a picture."""

    depth: float  # error at a quality over the error beside it; smooth curves are at 1
    quality: int

    @property
    def is_jpeg(self) -> bool:
        """Whether the picture was JPEG once."""
        return self.depth < DIP


def jpeg_ghost(image: Image.Image) -> Ghost:
    """Return how sharply the error of storing a picture as JPEG dips, and at which quality."""
    if is_one_colour(image):
        return Ghost(1.0, 0)
    grey = image.convert("L")
    pixels = np.asarray(grey, np.float64)
    errors = np.array([_error(grey, pixels, quality) for quality in QUALITIES])
    best = Ghost(np.inf, 0)
    for i in range(max(BESIDE), len(errors) - max(BESIDE)):
        below = float(np.median([errors[i - step] for step in BESIDE]))
        above = float(np.median([errors[i + step] for step in BESIDE]))
        if min(below, above) > TRACE:
            best = min(best, Ghost(float(errors[i]) / min(below, above), QUALITIES[i]))
    return best if np.isfinite(best.depth) else Ghost(1.0, 0)


def is_scaled_up(image: Image.Image) -> bool:
    """Return whether every block of 2 x 2 pixels has one colour, and the picture more than one."""
    pixels = np.asarray(image)
    if pixels.shape[0] % 2 or pixels.shape[1] % 2 or is_one_colour(image):
        return False
    corner = pixels[::2, ::2]
    return all(np.array_equal(corner, pixels[y::2, x::2]) for y, x in ((0, 1), (1, 0), (1, 1)))


def is_one_colour(image: Image.Image) -> bool:
    """Return whether all pixels of a picture are equal."""
    pixels = np.asarray(image)
    return bool((pixels == pixels[:1, :1]).all())


def _error(grey: Image.Image, pixels: np.ndarray, quality: int) -> float:
    """Return the mean squared change of storing ``grey`` as JPEG."""
    buffer = io.BytesIO()
    grey.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as stored:
        return float(np.mean((np.asarray(stored, np.float64) - pixels) ** 2))
