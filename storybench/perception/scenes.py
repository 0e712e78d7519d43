"""Random ToonSV scenes to train the perceiver on: everything independent of everything else.

A story correlates who is where and does what, and an evaluator trained on stories would read the habit instead of the
picture. Here characters, places, actions and details are drawn independently, the same character may stand twice
(models draw that), and a place may be empty. No test story is involved: scenes come from their own seeds.
"""

from __future__ import annotations

import numpy as np

from storybench.data.toonsv import world
from storybench.data.toonsv.scene import Actor, Scene

CAST_SIZES = (0, 1, 2, 3, 4)
CAST_SIZE_SHARE = (0.06, 0.2, 0.3, 0.34, 0.1)
DUPLICATE_SHARE = 0.25  # of scenes with two or more actors
MARGIN_PX, MIN_GAP_PX = 12, 20
PROP_SHARE = 0.4


def random_scene(rng: np.random.Generator) -> Scene:
    """Return one scene drawn from ``rng``."""
    names = _names(rng)
    props = [str(p) for p in rng.permutation(world.PROPS)]
    actions = (world.STAND, *world.ACTIONS)
    actors = []
    for name, x in zip(names, _places(rng, len(names)), strict=True):
        holds = rng.random() < PROP_SHARE
        actors.append(
            Actor(
                character=name,
                action=str(rng.choice(actions)),
                x=x,
                facing=int(rng.choice((-1, 1))),
                scarf=str(rng.choice(world.SCARF_COLOURS)),
                prop=props.pop() if holds else None,
                prop_colour=str(rng.choice(world.PROP_COLOURS)) if holds else None,
            )
        )
    return Scene(
        setting=str(rng.choice(world.SETTINGS)),
        actors=tuple(actors),
        weather=str(rng.choice(world.WEATHERS)),
        wall=str(rng.choice(world.WALL_COLOURS)),
    )


def _names(rng: np.random.Generator) -> list[str]:
    size = int(rng.choice(CAST_SIZES, p=CAST_SIZE_SHARE))
    names = [str(n) for n in rng.permutation(world.NAMES)[:size]]
    if size >= 2 and rng.random() < DUPLICATE_SHARE:
        names[1] = names[0]
        names = [names[i] for i in rng.permutation(size)]
    return names


def _places(rng: np.random.Generator, count: int) -> list[int]:
    """Return increasing x centres at least ``MIN_GAP_PX`` apart."""
    free = world.SIZE_PX - 2 * MARGIN_PX - MIN_GAP_PX * max(count - 1, 0)
    offsets = np.sort(rng.uniform(0, free, count))
    return [int(MARGIN_PX + MIN_GAP_PX * i + offset) for i, offset in enumerate(offsets)]
