"""Things to hold: each is drawn around the hand that holds it, in one main colour."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from storybench.data.toonsv.drawing.canvas import Canvas, Colour, darker, mix, oval

WIDTH, HEIGHT = 72, 104
ORIGIN = (36, 84)  # the hand
COLOURS: dict[str, Colour] = {
    "red": (232, 48, 60),
    "yellow": (255, 206, 28),
    "green": (50, 172, 84),
    "blue": (48, 110, 232),
    "pink": (255, 128, 190),
}
TALLEST_PX = 23  # how far an overhead prop reaches above where it begins
OVERHEAD = ("umbrella", "balloon", "kite")  # drawn behind the figure: they rise from the hand on a stick or string
_WHITE = (255, 254, 248)
_WOOD = (126, 82, 52)
_STRING = (96, 84, 96)


def prop(name: str, colour: str, rise: int) -> Image.Image:
    """Draw a prop with the hand at ``ORIGIN``; ``rise`` is how far above the hand an overhead one begins.

    For the others ``rise`` is 1 in a raised hand, else 0: a raised guitar is held upright.
    """
    canvas = Canvas(WIDTH, HEIGHT, ORIGIN)
    _DRAW[name](canvas, COLOURS[colour], rise)
    return canvas.finish()


def _umbrella(c: Canvas, colour: Colour, rise: int) -> None:
    x, y = -9, -rise  # the canopy leans over the head
    c.line([(0.6, 4), (x, y - 10)], 1.8, _WOOD)
    c.line(oval(-1.6, 4, 2.4, 2.6, 0, 180), 1.8, _WOOD)
    hem = [p for k in range(4) for p in oval(x - 15 + 10 * k, y, 5, 2.4, 180, 360)]
    c.shape([*hem, *oval(x, y, 20, 16, 0, -180)], colour)
    for k, share in ((-1, 0.28), (1, 0.28)):
        c.shape([(x + k * 5 - 5, y - 1.8), (x, y - 15.6), (x + k * 5 + 5, y - 1.8)], mix(colour, _WHITE, share), None)
    c.line([(x, y - 15), (x, y - 18)], 1.8, _WOOD)


def _balloon(c: Canvas, colour: Colour, rise: int) -> None:
    x, y = 7, -rise - 6
    c.line([(0, 2), (2, y * 0.35), (x - 2, y * 0.7), (x, y + 10)], 0.9, _STRING)
    c.shape([(x - 2.4, y + 13.5), (x, y + 10), (x + 2.4, y + 13.5)], colour)
    c.blob([(x, y + 11.5), (x - 7.4, y + 4), (x - 9, y - 4), (x, y - 12), (x + 9, y - 4), (x + 7.4, y + 4)], colour)
    with c.at(x - 3.8, y - 5.4, 28):
        c.ellipse(0, 0, 1.7, 3, mix(colour, _WHITE, 0.75), None)


def _kite(c: Canvas, colour: Colour, rise: int) -> None:
    x, y = 6, -rise - 8
    c.line([(0, 2), (3, y * 0.5), (x, y)], 0.9, _STRING)
    tail = [(x, y + 11), (x + 5, y + 15), (x + 3, y + 20), (x + 8, y + 25)]
    c.line(tail, 0.9, _STRING)
    for tx, ty in tail[1:]:
        c.shape([(tx - 3, ty - 1.8), (tx, ty), (tx - 3, ty + 1.8)], colour, None)
        c.shape([(tx + 3, ty - 1.8), (tx, ty), (tx + 3, ty + 1.8)], colour, None)
    left, right, top, low = (x - 10, y - 2), (x + 10, y - 2), (x, y - 14), (x, y + 12)
    c.shape([top, right, low, left], colour)
    c.shape([top, right, (x, y - 2)], mix(colour, _WHITE, 0.4), None)
    c.shape([low, left, (x, y - 2)], mix(colour, _WHITE, 0.4), None)
    c.line([top, low], 0.8, darker(colour))
    c.line([left, right], 0.8, darker(colour))
    c.line([top, right, low, left, top], 1, darker(colour))


def _book(c: Canvas, colour: Colour, rise: int) -> None:
    with c.at(2, -2):
        c.shape([(-12, -7), (0, -4.6), (12, -7), (12, 7), (0, 9), (-12, 7)], colour)
        c.shape([(-10.4, -8), (0, -5), (0, 6.5), (-10.4, 4.4)], _WHITE, (150, 130, 120))
        c.shape([(10.4, -8), (0, -5), (0, 6.5), (10.4, 4.4)], _WHITE, (150, 130, 120))
        for side in (-1, 1):
            for y in (-4, -0.8):
                c.line([(side * 2.4, y + 0.4), (side * 8, y - 1)], 0.9, (176, 164, 170))
        c.shape([(-12, 4.4), (0, 6.6), (12, 4.4), (12, 7.6), (0, 9.6), (-12, 7.6)], colour)


def _ball(c: Canvas, colour: Colour, rise: int) -> None:
    x, y, r = 3, -2, 8.6
    c.ellipse(x, y, r, r, colour)
    c.shape([*oval(x, y - 1, r - 0.6, 3.6, 190, 350), *oval(x, y + 2.4, r - 0.8, 3.2, -10, -170)], _WHITE, None)
    c.line(oval(x, y, r, r), 1, darker(colour))
    c.ellipse(x - 3, y - 5, 1.8, 1.3, mix(colour, _WHITE, 0.7), None)


def _cake(c: Canvas, colour: Colour, rise: int) -> None:
    with c.at(3, -1):
        c.ellipse(0, 3.4, 12, 2.6, (240, 240, 246))
        c.box(-9, -8, 9, 3.4, colour, radius=2.5)
        c.blob([(-9, -8.5), (0, -11), (9, -8.5), (9, -4), (6.4, -2.4), (4, -5), (1, -2), (-2, -5), (-5, -2),
               (-8.6, -4)], _WHITE, darker(colour, 0.3))  # fmt: skip
        c.box(-1.4, -17, 1.4, -10, (110, 196, 240), None)
        c.blob([(0, -23), (2.3, -19), (0, -16.6), (-2.3, -19)], (255, 176, 40), (226, 96, 20))


def _guitar(c: Canvas, colour: Colour, rise: int) -> None:
    with c.at(*((1, -3, 10) if rise else (-5, 0, 60))):
        c.limb([(0, -2), (0, -24)], 2.4, _WOOD)
        c.box(-2.8, -29, 2.8, -23, _WOOD, radius=1)
        c.blob([(-5.6, -7), (0, -8.4), (5.6, -7), (5, -1.5), (8.4, 4), (6, 10), (0, 11.6), (-6, 10), (-8.4, 4),
               (-5, -1.5)], colour)  # fmt: skip
        c.ellipse(0, 1, 2.9, 2.9, darker(colour, 0.8), None)
        c.line([(0, -22), (0, 7)], 0.8, (250, 240, 220))
        c.line([(-3, 7), (3, 7)], 1.4, _WOOD)


def _flower(c: Canvas, colour: Colour, rise: int) -> None:
    c.line([(0, 6), (0.5, -4), (2, -12)], 1.9, (56, 140, 64))
    c.blob([(0.4, -2), (5, -6), (8, -4), (4, -1)], (92, 184, 84))
    for x, y in ((0, -5.4), (5.2, -1.7), (3.2, 4.4), (-3.2, 4.4), (-5.2, -1.7)):
        c.ellipse(2 + x, -15 + y, 4.3, 4.3, colour)
    c.ellipse(2, -15, 3.6, 3.6, (150, 84, 36) if colour == COLOURS["yellow"] else (255, 220, 90), None)


_DRAW: dict[str, Callable[[Canvas, Colour, int], None]] = {
    "umbrella": _umbrella, "balloon": _balloon, "book": _book, "ball": _ball,
    "kite": _kite, "cake": _cake, "guitar": _guitar, "flower": _flower,
}  # fmt: skip
