"""A finished empty stage for each place, tinted by the weather and calmer in colour than the cast."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from storybench.data.toonsv.drawing.canvas import SCALE
from storybench.data.toonsv.drawing.indoors import indoors
from storybench.data.toonsv.drawing.outdoors import outdoors, rain
from storybench.data.toonsv.world import INDOORS

# (share, colour) that weather mixes into a scene; rooms and sunny days get a little white, so that characters stand out
_TINTS = {"sunny": (0.08, (255, 252, 240)), "cloudy": (0.24, (208, 212, 216)), "rainy": (0.30, (96, 110, 136))}


@lru_cache(maxsize=64)
def backdrop(setting: str, light: str) -> Image.Image:
    """Draw ``setting`` under a weather, or with a wall colour if it is a room. Do not edit the returned picture."""
    if setting in INDOORS:
        return _tint(indoors(setting, light).finish(), 0.06, (255, 252, 246))
    canvas = outdoors(setting, light)
    share, colour = _TINTS[light]
    canvas.image.paste(_tint(canvas.image, share, colour))
    if light == "rainy":
        rain(canvas)
    return canvas.image.reduce(SCALE)


def _tint(image: Image.Image, share: float, colour: tuple[int, int, int]) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    return Image.fromarray((pixels + (np.asarray(colour, np.float32) - pixels) * share).round().astype(np.uint8))
