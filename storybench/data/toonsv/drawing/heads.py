"""The cast's heads: face, hair and hat, drawn with the neck at (0, 0) and looking to the right, y down."""

from __future__ import annotations

import math

from storybench.data.toonsv.drawing.canvas import Canvas, Colour, darker, oval
from storybench.data.toonsv.drawing.face import Face

_LIGHT = (255, 222, 194)


def _cloud(c: Canvas, cx: float, cy: float, ring: float, puff: float, colour: Colour, n: int = 11) -> None:
    """Draw a round mass of curls: outlined puffs on a ring, then a plain disc over their inner edges."""
    for i in range(n):
        a = 2 * math.pi * i / n
        c.ellipse(cx + ring * math.cos(a), cy + ring * math.sin(a), puff, puff, colour)
    c.ellipse(cx, cy, ring + puff * 0.45, ring + puff * 0.45, colour, None)


def zara(c: Canvas, face: Face) -> None:
    """Brown face in a big pink afro."""
    pink = (246, 92, 168)
    _cloud(c, -1, -18, 13.5, 5.6, pink)
    for x, y in ((-9, -27), (2, -31), (10, -25), (-13, -17)):
        c.line(oval(x, y, 2.6, 2.2, 180, 330), 1.1, (255, 156, 206))
    skin = (150, 90, 56)
    c.ellipse(2.5, -11, 11, 10.8, skin)
    for cx, cy in ((-5.5, -19.5), (0.5, -22), (7, -21), (11.5, -18)):
        c.ellipse(cx, cy, 4, 3.2, pink, None)
    face(4, -10.5)


def mila(c: Canvas, face: Face) -> None:
    """Light face, blonde fringe and two long pigtails."""
    blonde = (255, 210, 84)
    for side, x in ((-1, -16), (1, 15.5)):
        with c.at(x, -14, side * -10):
            c.blob([(0, -5), (5, 0), (5.4, 9), (2, 19), (0, 21.5), (-3, 18), (-5.4, 9), (-5, 0)], blonde)
            c.line([(0, 3), (0.5, 14)], 0.9, darker(blonde, 0.25))
    c.ellipse(0, -15, 14.6, 14.4, blonde)
    c.ellipse(1.5, -12.5, 12, 11.8, _LIGHT)
    c.blob([(-12.5, -12), (-13, -20), (-6, -28), (3, -29), (11, -25), (14, -17), (12.5, -13), (8, -19), (3, -21.5),
            (-3, -20.5), (-8, -17)], blonde, None)  # fmt: skip
    for x in (-14.5, 14):
        c.ellipse(x, -18, 3.1, 3.1, (142, 84, 214))
    face(3, -11.5)


def nora(c: Canvas, face: Face) -> None:
    """Old face, round glasses, grey hair with a bun on top."""
    grey = (190, 192, 204)
    c.ellipse(-2, -31, 7.2, 6.4, grey)
    c.line(oval(-2, -31, 3.4, 2.8, 150, 330), 1, darker(grey, 0.3))
    c.ellipse(-0.5, -15, 14.8, 14, grey)
    c.ellipse(2, -12.2, 11.8, 11.6, (244, 204, 174))
    c.blob([(-10.5, -11), (-12.5, -18), (-6, -26), (3, -27.5), (11, -24), (14, -15), (9.5, -19), (3, -22), (-4, -19)],
           grey, None)  # fmt: skip
    face(3.5, -11.5)
    ink = (70, 62, 84)
    for side in (-1, 1):
        c.line(oval(3.5 + side * 5.4, -11.5, 4.7, 4.7), 1.2, ink)
    c.line([(2.8, -12.2), (4.2, -12.2)], 1.2, ink)


def finn(c: Canvas, face: Face) -> None:
    """Freckled boy with spiky orange hair."""
    orange = (255, 128, 30)
    c.ellipse(1, -12, 13.5, 12.4, (255, 214, 182))
    c.shape([(-13.5, -8), (-19, -15), (-14, -17), (-18, -25), (-10.5, -24), (-10, -32), (-3, -27), (2, -34), (6, -27),
             (13, -31), (12.5, -24), (18, -22), (14.5, -15), (13.5, -10), (10, -17), (6, -15), (2, -19), (-3, -15.5),
             (-7, -18.5), (-10, -12)], orange)  # fmt: skip
    face(3, -9.8, gap=5.4)
    for x, y in ((-3.8, -6.6), (-1.6, -5.4), (8.6, -5.4), (10.4, -6.8)):
        c.ellipse(x, y, 0.7, 0.7, (206, 120, 70), None)


def otto(c: Canvas, face: Face) -> None:
    """Long face, black moustache, brown flat cap."""
    skin, cap, black = (238, 188, 146), (134, 96, 66), (40, 30, 34)
    c.ellipse(-10, -13, 2.6, 3.4, skin)
    c.box(-10.5, -27, 12, 1.5, skin, radius=10)
    face(3, -14.5, gap=4.8, mouth=False)
    c.ellipse(4.4, -11, 2.9, 2.5, (240, 158, 120))
    c.blob([(4, -8.6), (8, -9), (12.6, -6.4), (14.5, -9), (13, -3.6), (7.5, -3.4), (4, -5.4), (0, -3.4), (-5.4, -3.6),
            (-7, -9), (-5, -6.4), (0, -9)], black, None)  # fmt: skip
    c.box(-11, -23, -8.4, -14, black, None, radius=1)
    c.blob([(-13, -22), (-12, -29), (-3, -33), (8, -31), (14, -25), (13, -21.5), (0, -22.5)], cap)
    c.blob([(4, -24.5), (13, -24.5), (19, -20.5), (12, -20), (4, -21.5)], darker(cap, 0.3))


def plum(c: Canvas, face: Face) -> None:
    """Rosy face with a monocle, white whiskers and a tall black top hat."""
    skin, black = (255, 204, 178), (48, 42, 56)
    c.ellipse(-10.5, -8.5, 4.4, 6.5, (236, 236, 240))
    c.ellipse(1, -11, 13, 11.6, skin)
    face(3.5, -11, gap=5)
    c.ellipse(4, -7.8, 2.3, 2, (248, 150, 132), None)
    c.line(oval(8.5, -11, 4.6, 4.8), 1.4, (226, 170, 40))
    c.line([(12.6, -8.6), (13.2, -1)], 0.8, (226, 170, 40))
    c.shape([(-10, -18), (-11.5, -40), (0, -42), (12.5, -40), (11, -18)], black)
    c.shape([(-10.2, -19), (-10.6, -24.5), (11.4, -24.5), (11.1, -19)], (176, 66, 160), None)
    c.blob([(-18, -19), (-10, -18.5), (0, -20.5), (11, -18.5), (18, -19), (12, -15.5), (0, -16.5), (-12, -15.5)], black)


def pip(c: Canvas, face: Face) -> None:
    """Face of the chick, which is one ball with its body; a tuft on top."""
    yellow = (255, 230, 112)
    for angle in (-32, 0, 30):
        with c.at(0, -9, angle):
            c.blob([(0, 2), (-2.4, -5), (0.5, -12), (2.6, -4)], (255, 184, 40))
    c.ellipse(0, -3, 8, 6.5, yellow, None)
    face(3.5, 1.5, gap=7, mouth=False, eye=2.3)
    c.blob([(1, 2.4), (6, 1.4), (13, 5), (6, 8.4), (1, 7)], (255, 132, 24))
    c.line([(1.5, 5), (11, 5)], 0.9, (190, 80, 20))


def bolt(c: Canvas, face: Face) -> None:
    """Boxy head with a dark visor, round glowing eyes and an antenna."""
    blue, steel = (122, 198, 242), (84, 112, 156)
    c.line([(0, -20), (0, -28)], 1.8, steel)
    c.ellipse(0, -28.5, 3.2, 3.2, (255, 92, 92))
    for side in (-1, 1):
        c.box(side * 15 - 2.2, -15, side * 15 + 2.2, -6, steel, radius=1.5)
    c.box(-14.5, -22, 14.5, 1, blue, radius=5)
    c.box(-9.5, -17.5, 12.5, -4, (34, 42, 70), radius=4)
    glow = (140, 255, 230)
    for x in (-3.4, 6.6):
        if face.pose.asleep:
            c.line([(x - 2.6, -10.2), (x + 2.6, -10.2)], 1.4, glow)
        else:
            c.ellipse(x, -11.4, 3, 3, glow, None)
    if not face.pose.asleep:
        c.line(oval(1.6, -8.2, 2.4, 1.8, 20, 160), 1, glow)


def robin(c: Canvas, face: Face) -> None:
    """Dark face under an orange hood, with a swept white and cyan fringe."""
    orange = (250, 128, 24)
    c.blob([(-13.5, -1), (-16, -12), (-17, -24), (-22, -33), (-8, -32), (4, -31), (14, -22), (15, -10), (11, -1),
           (0, 2)], orange)  # fmt: skip
    c.ellipse(2, -12, 11.6, 12, darker(orange, 0.6), None)
    c.ellipse(2.8, -11, 10.8, 10.8, (104, 64, 46), None)
    face(4.5, -9.5, gap=5)
    c.blob([(-8.5, -12), (-8, -20), (0, -25.5), (9, -24), (15, -17.5), (17, -19), (14.5, -12.5), (8, -15), (2, -15),
            (-4, -12.5)], (246, 250, 252), (120, 140, 160))  # fmt: skip
    c.blob([(2, -25), (9, -24), (15, -17.5), (16.5, -18.2), (14.3, -12.9), (9, -16), (5, -20)], (44, 208, 226), None)
