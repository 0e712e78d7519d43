"""What a model and a judge rely on in ToonSV's pictures: same bytes, true masks, every combination drawable."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from storybench.data.toonsv.drawing import portrait, render
from storybench.data.toonsv.drawing.canvas import smooth
from storybench.data.toonsv.scene import Actor, Scene
from storybench.data.toonsv.world import (
    ACTIONS,
    INDOORS,
    NAMES,
    PROP_COLOURS,
    PROPS,
    SCARF_COLOURS,
    SETTINGS,
    STAND,
    WALL_COLOURS,
    WEATHERS,
)

TRIO = Scene(
    "forest",
    (
        Actor("Mr Plum", "dance", 22, 1, "white", "umbrella", "red"),
        Actor("Zara", "run", 64, -1, "blue", "cake", "yellow"),
        Actor("Pip", "sleep", 106, -1, "red"),
    ),
    "rainy",
    "mint",
)


def _digest() -> str:
    drawn = render(TRIO)
    return hashlib.sha256(drawn.image.tobytes() + drawn.instances.tobytes() + portrait("Bolt").tobytes()).hexdigest()


def test_same_bytes_in_every_call_and_process() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, __file__], check=True, capture_output=True, text=True, env=env).stdout
    assert _digest() == _digest() == other.strip()


def test_drawing_leaves_the_cached_backdrop_alone() -> None:
    empty = Scene(TRIO.setting, (), TRIO.weather, TRIO.wall)
    before = render(empty).image.tobytes()
    render(TRIO)
    assert render(empty).image.tobytes() == before


def test_instances_are_numbered_as_the_actors_and_boxes_are_tight() -> None:
    drawn = render(TRIO)
    assert (drawn.image.size, drawn.image.mode) == ((128, 128), "RGB")
    assert (drawn.instances.shape, drawn.instances.dtype) == ((128, 128), np.uint8)
    assert set(np.unique(drawn.instances)) == {0, 1, 2, 3}
    assert len(drawn.boxes) == 3
    for k, (x0, y0, x1, y1) in enumerate(drawn.boxes, 1):
        ys, xs = np.nonzero(drawn.instances == k)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x0, y0, x1, y1)
        assert abs((x0 + x1) / 2 - TRIO.actors[k - 1].x) < 14


def test_a_mask_is_what_the_actor_alone_changes() -> None:
    actor = Actor("Nora", "stand", 64, 1, "red")
    drawn = render(Scene("kitchen", (actor,), "sunny", "sky"))
    empty = np.asarray(render(Scene("kitchen", (), "sunny", "sky")).image, int)
    changed = np.abs(np.asarray(drawn.image, int) - empty).sum(2) > 0
    mask = drawn.instances > 0
    assert (changed | ~mask).mean() > 0.99  # nearly all of the mask differs from the empty room
    assert (changed & ~mask)[:108].mean() < 0.03  # and above the shadow only soft edges differ outside it


def test_the_nearer_actor_and_a_prop_hide_pixels() -> None:
    alone = render(Scene("beach", (Actor("Otto", "stand", 60, 1, "red"),), "sunny", "sky")).instances == 1
    held = Actor("Otto", "stand", 60, 1, "red", "cake", "blue")
    with_prop = render(Scene("beach", (held,), "sunny", "sky")).instances == 1
    both = render(Scene("beach", (held, Actor("Zara", "stand", 70, -1, "red")), "sunny", "sky")).instances
    assert with_prop.sum() < alone.sum() * 1.02
    assert 0 < (both == 1).sum() < with_prop.sum()
    assert (both == 2).sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_action_and_prop_draws(name: str) -> None:
    for action, prop, facing in itertools.product((STAND, *ACTIONS), (None, *PROPS), (-1, 1)):
        actor = Actor(name, action, 64, facing, "green", prop, "pink" if prop else None)
        drawn = render(Scene("city", (actor,), "cloudy", "lilac"))
        x0, y0, x1, y1 = drawn.boxes[0]
        assert 20 <= x1 - x0 <= 64, (name, action, prop)
        assert 34 <= y1 - y0 <= 90, (name, action, prop)
        assert 4 <= y0 < y1 <= 122, (name, action, prop)


def test_details_change_the_picture() -> None:
    scarves = {
        render(Scene("farm", (Actor("Finn", "sit", 64, 1, s),), "sunny", "sky")).image.tobytes() for s in SCARF_COLOURS
    }
    assert len(scarves) == len(SCARF_COLOURS)
    for prop in PROPS:
        actors = [Actor("Mila", "wave", 64, 1, "red", prop, c) for c in PROP_COLOURS]
        assert len({render(Scene("farm", (a,), "sunny", "sky")).image.tobytes() for a in actors}) == len(PROP_COLOURS)


def test_places_differ_and_show_only_their_own_light() -> None:
    pictures = set()
    for setting in SETTINGS:
        by_light = {(w, c): render(Scene(setting, (), w, c)).image.tobytes() for w in WEATHERS for c in WALL_COLOURS}
        assert len(set(by_light.values())) == (len(WALL_COLOURS) if setting in INDOORS else len(WEATHERS))
        pictures |= set(by_light.values())
    assert len(pictures) == 8 * len(WEATHERS) + 4 * len(WALL_COLOURS)


def test_a_smooth_curve_passes_its_points_once() -> None:
    corners = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]
    closed, opened = smooth(corners, steps=4), smooth(corners, closed=False, steps=4)
    assert closed[::4] == corners
    assert len(closed) == 16
    assert opened[::4] == corners


def test_portraits() -> None:
    assert all(portrait(n).size == (64, 64) and portrait(n).mode == "RGB" for n in NAMES)
    assert len({portrait(n).tobytes() for n in NAMES}) == len(NAMES)


if __name__ == "__main__":  # the other process of the first test
    print(_digest())
