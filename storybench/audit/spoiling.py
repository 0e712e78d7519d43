"""What can be done to a true frame of ToonSV: the scene is changed and drawn anew, or its pixels are.

Drawing anew keeps everything else of the picture exactly as it was, which no inpainting does. Each function takes a
generator of its own for each frame, so that the same frame is spoilt in the same way at every strength.
"""

from __future__ import annotations

import colorsys
from dataclasses import replace
from itertools import pairwise

import numpy as np
from PIL import Image, ImageFilter

from storybench.data.toonsv import world
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Actor, Scene

HUE_TURN = (0.25, 0.75)  # of the circle: far enough that nobody keeps their colours
MIN_GAP_PX, MARGIN_PX = 20, 14


def swap_identity(scene: Scene, rng: np.random.Generator) -> Scene:
    """Replace everybody by somebody of the same pronoun who is not there; by anybody else where there is none."""
    taken = {actor.character for actor in scene.actors}
    actors = []
    for actor in scene.actors:
        free = [n for n in world.NAMES if n not in taken]
        alike = [n for n in free if world.PRONOUN[n] == world.PRONOUN[actor.character]]
        name = str(rng.choice(alike or free))
        taken.add(name)
        actors.append(replace(actor, character=name))
    return replace(scene, actors=tuple(actors))


def drop_character(scene: Scene, rng: np.random.Generator) -> Scene:
    """Take one character away."""
    if not scene.actors:
        return scene
    gone = int(rng.integers(len(scene.actors)))
    return replace(scene, actors=tuple(a for k, a in enumerate(scene.actors) if k != gone))


def add_character(scene: Scene, rng: np.random.Generator) -> Scene:
    """Put somebody who is not there into the widest gap."""
    free = [n for n in world.NAMES if n not in {a.character for a in scene.actors}]
    edges = [MARGIN_PX - MIN_GAP_PX, *sorted(a.x for a in scene.actors), world.SIZE_PX - MARGIN_PX + MIN_GAP_PX]
    gaps = [(right - left, (left + right) // 2) for left, right in pairwise(edges)]
    place = min(max(max(gaps)[1], MARGIN_PX), world.SIZE_PX - MARGIN_PX)
    newcomer = Actor(str(rng.choice(free)), world.STAND, place, 1, str(rng.choice(world.SCARF_COLOURS)))
    return replace(scene, actors=tuple(sorted((*scene.actors, newcomer), key=lambda a: a.x)))


def swap_background(scene: Scene, rng: np.random.Generator) -> Scene:
    """Play it in another place of the same kind, so that weather and walls stay visible."""
    kind = world.OUTDOORS if scene.setting in world.OUTDOORS else world.INDOORS
    return replace(scene, setting=str(rng.choice([s for s in kind if s != scene.setting])))


def recolour(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Turn the hue of every character, each by its own angle; shapes and place stay."""
    drawn = render(scene)
    pixels = np.asarray(drawn.image, dtype=np.float64) / 255.0  # (H, W, 3)
    out = pixels.copy()
    assert drawn.instances is not None
    for k in range(1, len(scene.actors) + 1):
        mask = drawn.instances == k
        out[mask] = _turned(pixels[mask], float(rng.uniform(*HUE_TURN)))
    return Image.fromarray(np.round(out * 255).astype(np.uint8))


def blur(scene: Scene, sigma_px: float) -> Image.Image:
    """Blur the whole frame."""
    return render(scene).image.filter(ImageFilter.GaussianBlur(sigma_px))


def constant() -> Scene:
    """Return the one picture that a lazy model draws for everything."""
    return Scene("meadow", (Actor("Zara", world.STAND, 64, 1, "red"),), "sunny", "mint")


def _turned(rgb: np.ndarray, turn: float) -> np.ndarray:
    """Return colours (N, 3) in [0, 1] with their hue turned; greys become coloured, so that nobody is left as is."""
    found = np.array([colorsys.rgb_to_hsv(*colour) for colour in rgb]).reshape(-1, 3)
    saturation = np.maximum(found[:, 1], 0.25)
    return np.array(
        [colorsys.hsv_to_rgb((h + turn) % 1, s, v) for (h, _, v), s in zip(found, saturation, strict=True)]
    ).reshape(-1, 3)
