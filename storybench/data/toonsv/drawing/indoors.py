"""The four rooms, whose wall takes the story's wall colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from storybench.data.toonsv.drawing.canvas import Canvas, Colour, mix

SIZE = 128
WALLS: dict[str, Colour] = {
    "peach": (255, 206, 174),
    "mint": (178, 230, 196),
    "sky": (172, 212, 246),
    "lilac": (214, 192, 242),
}
_WHITE = (255, 255, 255)
_FLOOR_Y = 94


def indoors(setting: str, wall: str) -> Canvas:
    """Draw a room."""
    canvas = Canvas(SIZE, SIZE, background=_WHITE)
    colour = WALLS[wall]
    canvas.gradient(mix(colour, _WHITE, 0.12), colour, 0, _FLOOR_Y)
    _DRAW[setting](canvas, colour)
    return canvas


def _boards(c: Canvas, tone: Colour) -> None:
    """Draw a plank floor with a skirting board."""
    c.gradient(tone, mix(tone, (120, 80, 60), 0.1), _FLOOR_Y, SIZE)
    for k, y in enumerate((101, 110, 120)):
        c.line([(-2, y), (130, y)], 0.7, mix(tone, (110, 70, 50), 0.22))
        for x in range(10 + 17 * (k % 2), 130, 42):
            c.line([(x, y), (x - 3, y + 9)], 0.7, mix(tone, (110, 70, 50), 0.22))
    c.box(-1, _FLOOR_Y - 4, 129, _FLOOR_Y, (252, 248, 242), None)


def _window(c: Canvas, x: float, y: float, w: float, h: float, curtain: Colour | None = None) -> None:
    c.box(x - 2, y - 2, x + w + 2, y + h + 2, (252, 250, 246), None, radius=1)
    c.box(x, y, x + w, y + h, (226, 238, 244), None)  # pale panes: the weather is not seen indoors
    c.shape([(x + w * 0.2, y + h), (x + w * 0.6, y), (x + w * 0.8, y), (x + w * 0.4, y + h)], (240, 247, 250), None)
    c.box(x + w / 2 - 0.9, y, x + w / 2 + 0.9, y + h, (252, 250, 246), None)
    c.box(x, y + h / 2 - 0.9, x + w, y + h / 2 + 0.9, (252, 250, 246), None)
    if curtain:
        for a, b in ((x - 5, x + 4), (x + w + 5, x + w - 4)):
            c.blob([(a, y - 3), (b, y - 3), ((a + b) / 2, y + h * 0.6), (b, y + h + 6), (a, y + h + 6)], curtain, None)
        c.line([(x - 7, y - 4), (x + w + 7, y - 4)], 1.6, (160, 124, 100))


def _kitchen(c: Canvas, wall: Colour) -> None:
    tile = (240, 236, 230)
    c.box(-1, _FLOOR_Y, 129, 129, tile, None)
    for row, y in enumerate((94, 105, 117)):
        for x in range(-16 + 16 * (row % 2), 130, 32):
            c.shape([(x, y), (x + 16, y), (x + 14, y + 12), (x - 2, y + 12)], (212, 214, 218), None)
    shade = mix(wall, _WHITE, 0.4)
    for y in range(56, 66, 5):
        c.line([(0, y), (128, y)], 0.6, shade)
    _window(c, 52, 18, 26, 24, (246, 210, 120))
    for x in (6, 26, 90):
        c.box(x, 14, x + 19, 40, (250, 244, 232), mix((250, 244, 232), (120, 90, 70), 0.3), radius=1.5)
        c.ellipse(x + 15.5, 34, 1, 1, (176, 140, 104), None)
    counter = (244, 236, 220)
    c.box(-2, 68, 92, 96, counter, None)
    c.box(-2, 65, 94, 69, (186, 142, 108), None)
    for x in (2, 22, 72):
        c.box(x, 72, x + 17, 92, (250, 246, 236), mix(counter, (120, 90, 70), 0.3), radius=1.5)
        c.ellipse(x + 13.5, 77, 1, 1, (176, 140, 104), None)
    c.box(42, 70, 69, 96, (206, 212, 220), (168, 176, 188), radius=1.5)
    c.box(45, 77, 66, 90, (112, 120, 138), None, radius=1.5)
    for knob in (47, 52.5, 58, 63.5):
        c.ellipse(knob, 73.4, 1.2, 1.2, (240, 130, 110), None)
    c.box(47, 55, 62, 64, (224, 124, 108), None, radius=2)
    c.line([(45, 58), (64, 58)], 1.6, (224, 124, 108))
    c.box(98, 46, 124, 97, (226, 236, 240), (180, 196, 206), radius=2.5)
    c.line([(98, 64), (124, 64)], 1, (180, 196, 206))
    for y in (56, 72):
        c.line([(102, y), (102, y + 5)], 1.6, (150, 166, 180))


def _bedroom(c: Canvas, wall: Colour) -> None:
    for x in range(4, 130, 12):
        c.line([(x, 0), (x, 92)], 1.8, mix(wall, _WHITE, 0.35))
    _boards(c, (226, 190, 150))
    _window(c, 16, 18, 24, 28, (150, 170, 222))
    c.box(70, 22, 86, 40, (250, 246, 236), (196, 160, 124), radius=1)
    c.blob([(78, 36), (73, 30), (75, 26.5), (78, 29), (81, 26.5), (83, 30)], (240, 150, 160), None)
    c.box(54, 56, 58, 98, (186, 140, 104), None, radius=2)
    c.box(120, 64, 128, 98, (186, 140, 104), None, radius=2)
    c.box(56, 76, 126, 94, (250, 248, 244), None, radius=3)
    c.box(59, 67, 80, 79, (255, 255, 252), (214, 208, 214), radius=4)
    c.box(74, 71, 127, 93, (146, 166, 220), None, radius=4)
    c.box(74, 71, 82, 93, (202, 214, 244), None, radius=3)
    for x, y in ((90, 78), (102, 84), (114, 77), (122, 87), (92, 89)):
        c.ellipse(x, y, 1.8, 1.8, (226, 232, 250), None)
    c.box(6, 76, 26, 96, (198, 152, 112), None, radius=1.5)
    c.line([(8, 85), (24, 85)], 0.9, (160, 116, 84))
    c.box(14.4, 64, 17.6, 76, (244, 234, 214), None)
    c.shape([(8, 66), (12, 54), (20, 54), (24, 66)], (255, 226, 140), None)
    c.ellipse(62, 115, 46, 9, mix(wall, (230, 120, 140), 0.3), None)
    c.ellipse(62, 115, 38, 6.6, mix(wall, _WHITE, 0.55), None)


def _classroom(c: Canvas, wall: Colour) -> None:
    _boards(c, (232, 204, 160))
    c.box(20, 16, 94, 58, (190, 144, 104), None, radius=1.5)
    c.box(23, 19, 91, 55, (84, 128, 108), None)
    chalk = (222, 236, 226)
    c.line([(31, 44), (36, 28), (41, 44)], 1.5, chalk)
    c.line([(33, 39), (39, 39)], 1.5, chalk)
    for y, r in ((32, 3.6), (40, 4.2)):
        c.line([(48 + r * np.cos(a), y + r * np.sin(a)) for a in np.linspace(-1.6, 1.6, 9)], 1.5, chalk)
    c.line([(48, 28), (48, 44.4)], 1.5, chalk)
    c.line([(74 + 6 * np.cos(a), 36 + 7 * np.sin(a)) for a in np.linspace(0.8, 5.5, 14)], 1.5, chalk)
    c.box(20, 57, 94, 60, (206, 162, 120), None)
    c.ellipse(111, 24, 9, 9, (252, 250, 246), (150, 130, 140))
    c.line([(111, 24), (111, 18)], 1.2, (90, 80, 100))
    c.line([(111, 24), (115, 26)], 1.2, (90, 80, 100))
    for x, tone in ((1, (240, 150, 140)), (7, (150, 190, 230))):
        c.box(x, 26 + x, x + 10, 40 + x, tone, None)
    for x in (4, 48, 92):
        c.box(x, 78, x + 32, 82, (222, 176, 124), None, radius=1)
        c.box(x + 2, 82, x + 4.4, 100, (150, 150, 164), None)
        c.box(x + 27.6, 82, x + 30, 100, (150, 150, 164), None)
        c.box(x + 4.4, 82, x + 27.6, 87, (204, 158, 108), None)
    c.box(98, 72, 108, 78, (230, 120, 110), None)
    c.box(99, 69, 110, 72, (120, 160, 210), None)
    c.ellipse(18, 74.6, 3.2, 3.4, (226, 96, 88), None)


def _library(c: Canvas, wall: Colour) -> None:
    _boards(c, (212, 168, 128))
    rng = np.random.default_rng(21)
    spines = ((206, 128, 118), (226, 186, 120), (138, 170, 140), (132, 152, 192), (182, 142, 178), (236, 222, 196))
    wood, dark = (178, 132, 98), (136, 98, 78)
    for x0, x1 in ((4, 48), (80, 124)):
        c.box(x0 - 3, 34, x1 + 3, 97, wood, None, radius=1.5)
        for y in (37, 57, 77):
            c.box(x0, y, x1, y + 16, dark, None)
            x, k = x0 + 1.0, int(rng.integers(6))
            while x < x1 - 4:
                w, h = rng.uniform(3, 5.2), rng.uniform(10, 14)
                c.box(x, y + 16 - h, min(x + w, x1), y + 16, spines[k % 6], None)
                c.line([(x + 1.4, y + 19 - h), (x + w - 1.4, y + 19 - h)], 0.7, (250, 240, 220))
                x, k = x + w + 0.5, k + 1 + int(rng.integers(3))
    _window(c, 56, 16, 16, 34)
    c.box(57, 80, 71, 84, (150, 106, 80), None, radius=1)
    c.box(62.6, 84, 65.4, 97, (150, 106, 80), None)
    c.box(63.2, 70, 64.8, 80, (226, 180, 80), None)
    c.shape([(57, 71), (60, 63), (68, 63), (71, 71)], (126, 178, 140), None)
    c.ellipse(64, 116, 52, 9.5, (196, 120, 116), None)
    c.ellipse(64, 116, 45, 7, (224, 164, 148), None)


_DRAW: dict[str, Callable[[Canvas, Colour], None]] = {
    "kitchen": _kitchen, "bedroom": _bedroom, "classroom": _classroom, "library": _library,
}  # fmt: skip
