"""Puts cached layers together: the backdrop, then each actor's shadow, held prop, figure and marks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from storybench.data.toonsv.drawing import effects, props
from storybench.data.toonsv.drawing.backdrops import backdrop
from storybench.data.toonsv.drawing.figure import ORIGIN as FIGURE_ORIGIN
from storybench.data.toonsv.drawing.figure import draw_figure
from storybench.data.toonsv.scene import Actor, Scene
from storybench.data.toonsv.world import INDOORS, SIZE_PX
from storybench.story import FramePixels

GROUND_Y = 116
PORTRAIT_PX = 64
PORTRAIT_GROUND = (238, 236, 232)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A cropped picture, its alpha, the pixels more than half covered, and its place from the actor's foot point."""

    colour: Image.Image
    alpha: Image.Image
    solid: np.ndarray
    x: int
    y: int


@dataclass(frozen=True)
class _Body:
    """A character's layer, its front hand and the top of its head from the foot point, and half its shadow's width."""

    layer: _Layer
    hand: tuple[int, int]  # as if looking right
    top: int
    spread: float
    reaching_up: bool


@dataclass(frozen=True)
class _Sprite:
    """The layers of an actor in drawing order; ``body`` says which one is the character itself."""

    layers: tuple[_Layer, ...]
    body: int


def render(scene: Scene) -> FramePixels:
    """Draw a scene.

    Args:
        scene: What to draw; later actors stand in front of earlier ones.

    Returns:
        The picture, the visible pixels of each actor (k for the k-th) and the tight box around them.
    """
    image = backdrop(scene.setting, scene.wall if scene.setting in INDOORS else scene.weather).copy()
    instances = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    sprites = [_sprite(a.character, a.action, a.scarf, a.facing, a.prop, a.prop_colour) for a in scene.actors]
    for actor, sprite in zip(scene.actors, sprites, strict=True):
        _paste(image, sprite.layers[0], actor.x)
    for k, (actor, sprite) in enumerate(zip(scene.actors, sprites, strict=True), 1):
        for index, layer in enumerate(sprite.layers[1:], 1):
            _paste(image, layer, actor.x)
            _stamp(instances, layer, actor.x, k if index == sprite.body else 0)
    boxes = tuple(_box(instances == k) for k in range(1, len(scene.actors) + 1))
    return FramePixels(image=image, instances=instances, boxes=boxes)


@lru_cache(maxsize=16)
def portrait(name: str) -> Image.Image:
    """Draw ``name`` standing alone, without scarf or prop, 64 by 64 pixels. Do not edit the returned picture."""
    layers = _sprite(name, "stand", None, 1, None, None).layers
    side = max(PORTRAIT_PX, 8 - min(layer.y for layer in layers))  # small ones keep their size, tall ones shrink to fit
    image = Image.new("RGB", (side, side), PORTRAIT_GROUND)
    for layer in layers:
        _paste(image, layer, side // 2, side - 5)
    return image if side == PORTRAIT_PX else image.resize((PORTRAIT_PX, PORTRAIT_PX), Image.Resampling.LANCZOS)


def draw_actor(image: Image.Image, actor: Actor, ground_y: int = GROUND_Y) -> None:
    """Draw one actor with its shadow onto ``image``."""
    for layer in _sprite(
        actor.character, actor.action, actor.scarf, actor.facing, actor.prop, actor.prop_colour
    ).layers:
        _paste(image, layer, actor.x, ground_y)


@lru_cache(maxsize=8192)
def _sprite(name: str, action: str, scarf: str | None, facing: int, prop: str | None, colour: str | None) -> _Sprite:
    """Return the layers of one actor; their pictures are shared between sprites, so that the cache stays small."""
    body = _body(name, action, scarf, facing, prop is not None)
    layers = [_shadow_layer(body.spread, action == "jump"), body.layer]
    if prop is not None:
        x, y = body.hand
        overhead = prop in props.OVERHEAD
        rise = _rise(y, body.top - (7 if action == "sleep" else 0)) if overhead else int(body.reaching_up)
        layer = _prop_layer(prop, colour or "red", rise, facing)
        layers.insert(1 if overhead else 2, replace(layer, x=layer.x + facing * x, y=layer.y + y))
    mark = _effect_layer(action, body.top, facing)
    if mark is not None:
        layers.append(mark)
    return _Sprite(tuple(layers), layers.index(body.layer))


def _rise(hand: int, top: int) -> int:
    """Return how far above the hand a prop clears the head and stays in the frame, in steps: figures share pictures."""
    clear = max(15, (hand - top + 5) // 3 * 3)
    return min(clear, GROUND_Y + hand - props.TALLEST_PX)


@lru_cache(maxsize=2048)
def _body(name: str, action: str, scarf: str | None, facing: int, holds: bool) -> _Body:
    figure = draw_figure(name, action, scarf, holds)
    x, y = figure.hand
    layer = _layer(figure.image, FIGURE_ORIGIN, facing)
    return _Body(layer, (round(x), round(y)), round(figure.top), figure.spread, figure.reaching_up)


@lru_cache(maxsize=2048)
def _prop_layer(name: str, colour: str, rise: int, facing: int) -> _Layer:
    return _layer(props.prop(name, colour, rise), props.ORIGIN, facing)


@lru_cache(maxsize=256)
def _effect_layer(action: str, top: int, facing: int) -> _Layer | None:
    image = effects.effect(action, top, facing)
    return None if image is None else _layer(image, effects.ORIGIN, 1)


@lru_cache(maxsize=64)
def _shadow_layer(spread: float, airborne: bool) -> _Layer:
    return _layer(effects.shadow(spread, airborne), effects.SHADOW_ORIGIN, 1)


def _layer(image: Image.Image, origin: tuple[int, int], facing: int) -> _Layer:
    """Crop a sprite, mirrored about the actor's foot point if it looks left."""
    x0, y0, x1, y1 = image.getbbox() or (0, 0, 1, 1)
    image = image.crop((x0, y0, x1, y1))
    x, y = x0 - origin[0], y0 - origin[1]
    if facing < 0:
        image, x = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), origin[0] - x1
    alpha = image.getchannel("A")
    return _Layer(image.convert("RGB"), alpha, np.asarray(alpha) > 127, x, y)


def _paste(image: Image.Image, layer: _Layer, x: int, ground_y: int = GROUND_Y) -> None:
    image.paste(layer.colour, (x + layer.x, ground_y + layer.y), layer.alpha)


def _stamp(instances: np.ndarray, layer: _Layer, x: int, value: int) -> None:
    """Write ``value`` where the layer is solid, within the frame."""
    x0, y0 = x + layer.x, GROUND_Y + layer.y
    left, top = max(0, -x0), max(0, -y0)
    target = instances[max(0, y0) : max(0, y0 + layer.solid.shape[0]), max(0, x0) : max(0, x0 + layer.solid.shape[1])]
    solid = layer.solid[top : top + target.shape[0], left : left + target.shape[1]]
    target[solid] = value


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the tight half-open box of a mask, all zeros if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return (0, 0, 0, 0)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
