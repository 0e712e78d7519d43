"""Draws everything there is to see on one sheet: ``python -m storybench.data.toonsv.drawing.contact_sheet OUT.png``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from storybench.data.toonsv.drawing.render import draw_actor, portrait, render
from storybench.data.toonsv.scene import Actor, Scene
from storybench.data.toonsv.world import (
    ACTIONS,
    INDOORS,
    NAMES,
    OUTDOORS,
    PROP_COLOURS,
    PROPS,
    SCARF_COLOURS,
    STAND,
    WALL_COLOURS,
    WEATHERS,
)

_CELL_W, _CELL_H = 88, 116
_PAPER = (240, 236, 226)


def cast_sheet() -> Image.Image:
    """Draw each character's portrait and nine poses, one row a character."""
    poses = (STAND, *ACTIONS)
    sheet = Image.new("RGB", (72 + _CELL_W * len(poses), _CELL_H * len(NAMES)), _PAPER)
    for row, name in enumerate(NAMES):
        sheet.paste(portrait(name), (4, row * _CELL_H + 44))
        for column, action in enumerate(poses):
            cell = Image.new("RGB", (_CELL_W, 128), _PAPER)
            scarf = SCARF_COLOURS[(row + column) % len(SCARF_COLOURS)]
            held = (row + column) % 3 == 2
            prop = PROPS[(row * 3 + column) % len(PROPS)] if held else None
            colour = PROP_COLOURS[(row + column * 2) % len(PROP_COLOURS)] if held else None
            facing = -1 if column % 4 == 3 else 1
            draw_actor(cell, Actor(name, action, _CELL_W // 2, facing, scarf, prop, colour))
            sheet.paste(cell.crop((0, 124 - _CELL_H, _CELL_W, 124)), (72 + column * _CELL_W, row * _CELL_H))
    return sheet


def place_sheet() -> Image.Image:
    """Draw every place in every light with one to three actors."""
    scenes = [(s, w) for s in OUTDOORS for w in WEATHERS] + [(s, w) for s in INDOORS for w in WALL_COLOURS]
    columns = 6
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (130 * columns, 130 * rows), _PAPER)
    for k, (setting, light) in enumerate(scenes):
        indoor = setting in INDOORS
        scene = Scene(
            setting, _sample_actors(k), WEATHERS[0] if indoor else light, light if indoor else WALL_COLOURS[0]
        )
        sheet.paste(render(scene).image, (130 * (k % columns) + 1, 130 * (k // columns) + 1))
    return sheet


def _sample_actors(k: int) -> tuple[Actor, ...]:
    """Return one to three actors that vary with ``k`` over names, actions and props."""
    xs = ((64,), (40, 88), (22, 64, 106))[k % 3]
    actors = []
    for i, x in enumerate(xs):
        j = k * 2 + i * 5
        held = (k + i) % 2 == 0
        actors.append(
            Actor(
                character=NAMES[(k + i * 4) % len(NAMES)],
                action=(STAND, *ACTIONS)[j % 9],
                x=x,
                facing=-1 if i == len(xs) - 1 and i else 1,
                scarf=SCARF_COLOURS[j % 5],
                prop=PROPS[(k + i * 3) % 8] if held else None,
                prop_colour=PROP_COLOURS[(k + i) % 5] if held else None,
            )
        )
    return tuple(actors)


def main(path: str) -> None:
    """Write the sheet, twice enlarged, to ``path``."""
    parts = (cast_sheet(), place_sheet())
    sheet = Image.new("RGB", (max(p.width for p in parts), sum(p.height for p in parts) + 8), _PAPER)
    y = 0
    for part in parts:
        sheet.paste(part, ((sheet.width - part.width) // 2, y))
        y += part.height + 8
    # the palette comes from the small sheet (quicker); k-means keeps rare colours such as teal their own
    palette = sheet.quantize(192, kmeans=1, dither=Image.Dither.NONE)
    sheet = sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.BICUBIC)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
