"""The cast's costumes: proportions and colours, and how head and clothes are drawn.

Every piece is drawn in the figure's own frame: clothes with the hip at (0, 0), a head with the neck at (0, 0), y down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storybench.data.toonsv.drawing import heads
from storybench.data.toonsv.drawing.canvas import Canvas, Colour, darker
from storybench.data.toonsv.drawing.face import Face

_WHITE = (255, 252, 246)


def _nothing(canvas: Canvas, drop: float) -> None:
    """Draw nothing behind the legs."""


@dataclass(frozen=True)
class Costume:
    """How one character is built. Lengths in pixels; ``height`` is that of head with hair and hat above the neck."""

    skin: Colour
    sleeve: Colour
    leg_colour: Colour
    shoe: Colour
    clothes: Callable[[Canvas, float], None]
    head: Callable[[Canvas, Face], None]
    behind: Callable[[Canvas, float], None] = _nothing
    leg: float = 13
    torso: float = 21
    height: float = 34
    shoulder: float = 8
    hip: float = 4.5
    seat: float = 0
    lap: float = 3
    arm: float = 17
    arm_width: float = 4.6
    leg_width: float = 5
    foot: tuple[float, float] = (4.6, 2.9)
    scarf: float = 9.5
    scarf_drop: float = 1
    spread: float = 15
    winged: bool = False
    head_over_arm: bool = False
    hand_colour: Colour | None = None

    @property
    def hand(self) -> Colour:
        """Colour of the hands: the skin unless told."""
        return self.hand_colour or self.skin


def _skirt(c: Canvas, top: float, hem: float, drop: float, length: float, colour: Colour, torso: float) -> None:
    """Draw a bell from the shoulders to ``length`` below the hip, but never below the ground ``drop`` below it."""
    low = min(length, drop - 1)
    c.blob([(-top, -torso + 1), (0, -torso), (top, -torso + 1), (top + 1.5, -torso * 0.5), (hem, low - 1),
            (0, low + 0.8), (-hem, low - 1), (-top - 1.5, -torso * 0.5)], colour)  # fmt: skip


def _zara(c: Canvas, drop: float) -> None:
    _skirt(c, 7.5, 14, drop, 6, (222, 40, 48), 21)
    for x, y in ((-5, -9), (3, -11), (-1, -3), (7, -3), (-9, -1), (3, 3), (-6, 3.4), (10, 2)):
        if y < drop - 3:
            c.ellipse(x, y, 1.6, 1.6, _WHITE, None)


def _mila(c: Canvas, drop: float) -> None:
    violet = (142, 84, 214)
    c.box(-8, -20, 8, -2, _WHITE, radius=4)
    low = min(6, drop - 1)
    c.blob([(-7.5, -12), (0, -12.5), (7.5, -12), (13, low - 1), (0, low + 0.8), (-13, low - 1)], violet)
    for side in (-1, 1):
        c.line([(side * 5, -12), (side * 5.5, -19)], 3, violet)
    c.box(-3.5, -6, 4.5, 0, (178, 132, 238), radius=2)


def _nora(c: Canvas, drop: float) -> None:
    teal = (20, 150, 150)
    _skirt(c, 8.5, 12.5, drop, 9, teal, 20)
    low = min(8, drop - 2)
    c.line([(1.5, -17), (1.5, low)], 1, darker(teal))
    for y in (-9, -3, 3):
        if y < low:
            c.ellipse(4.4, y, 1.3, 1.3, (255, 220, 120), None)
    c.box(-10, -3, -5, 2, (16, 128, 130), radius=1.5)


def _finn(c: Canvas, drop: float) -> None:
    c.box(-8.5, -4, 8.5, min(4.5, drop), (50, 108, 214), radius=2.5)
    c.box(-8.5, -14, 8.5, 0, (66, 178, 66), radius=4)
    for y in (-8.2, -3.4):
        c.box(-7.9, y, 7.9, y + 2.2, (222, 246, 190), None)


def _otto(c: Canvas, drop: float) -> None:
    blue, mustard = (52, 92, 176), (222, 164, 36)
    c.box(-8, -26, 8, -4, mustard, radius=4)
    c.box(-7.8, -9, 7.8, min(4, drop), blue, radius=2.5)
    c.box(-5.2, -17, 5.8, -6, blue, radius=1.5)
    for side in (-1, 1):
        c.line([(0.3 + side * 4.6, -16), (0.3 + side * 5.6, -25)], 2.4, blue)
        c.ellipse(0.3 + side * 4, -15, 1.2, 1.2, (255, 214, 90), None)
    c.box(-2.6, -11, 3.4, -6.5, (86, 128, 208), radius=1)


def _plum_tails(c: Canvas, drop: float) -> None:
    low = min(6, drop - 6)
    c.shape([(-16, -8), (-15, low), (-7, low), (-4, -4), (4, -4), (8, low), (14, low), (16, -8)], (104, 36, 104))


def _plum(c: Canvas, drop: float) -> None:
    plum = (134, 46, 128)
    c.ellipse(0, -10.5, 17, 14, plum)
    c.blob([(-1, -23), (7, -23), (10, -12), (8, 0), (3, 2.5), (-2, 0), (-4, -11)], (250, 240, 224))
    c.blob([(3, -17), (-1.5, -19), (-1.5, -14.5)], (230, 70, 90), None)
    c.blob([(3, -17), (7.5, -19), (7.5, -14.5)], (230, 70, 90), None)
    for y in (-10, -4.5):
        c.ellipse(3, y, 1.3, 1.3, plum, None)


def _pip(c: Canvas, drop: float) -> None:
    yellow = (255, 230, 112)
    c.blob([(-16, -20), (-20, -27), (-14, -21)], yellow)
    c.blob([(-15, -10), (-23, -13), (-17, -3)], yellow)
    c.ellipse(0, -17, 18.5, 18.5, yellow)
    c.ellipse(3, -9.5, 11.5, 9, (255, 246, 190), None)


def _bolt(c: Canvas, drop: float) -> None:
    blue = (122, 198, 242)
    c.box(-11, -17, 11, 1, blue, radius=4)
    c.box(-6, -10, 7, -3, (232, 246, 255), radius=2)
    c.ellipse(-2.2, -6.5, 1.7, 1.7, (255, 92, 92), None)
    c.ellipse(3, -6.5, 1.7, 1.7, (90, 214, 120), None)


def _robin_cape(c: Canvas, drop: float) -> None:
    low = min(9, drop - 1)
    c.blob([(-8, -20), (0, -22), (8, -20), (13, -6), (15, low), (5, low - 2), (-6, low), (-17, low - 1), (-13, -6)],
           (226, 98, 14))  # fmt: skip


def _robin(c: Canvas, drop: float) -> None:
    orange = (250, 128, 24)
    c.box(-6.5, -17, 8, min(3, drop), (58, 66, 92), radius=3)
    c.box(-6.2, -6, 7.7, -3, (240, 206, 120), None)
    c.blob(
        [(-9, -20), (0, -21), (9, -20), (12, -11), (7, -8.5), (3, -13), (-1, -10), (-4, 2), (-14, 4), (-12, -9)], orange
    )


COSTUMES: dict[str, Costume] = {
    "Zara": Costume((150, 90, 56), (150, 90, 56), (150, 90, 56), (255, 214, 80), _zara, heads.zara, height=38),
    "Mila": Costume((255, 222, 194), _WHITE, _WHITE, (142, 84, 214), _mila, heads.mila, height=30, torso=20),
    "Nora": Costume((244, 204, 174), (20, 150, 150), (92, 92, 112), (86, 56, 48), _nora, heads.nora, height=37,
                    torso=20, leg=12),
    "Finn": Costume((255, 214, 182), (66, 178, 66), (255, 214, 182), (232, 64, 50), _finn, heads.finn, height=32,
                    torso=14, leg=10, arm=13, shoulder=8, scarf=9, spread=13, arm_width=4.2),
    "Otto": Costume((238, 188, 146), (222, 164, 36), (52, 92, 176), (92, 58, 40), _otto, heads.otto, height=32,
                    torso=26, leg=19, arm=20, shoulder=7.5, scarf=9, spread=14, hip=4),
    "Mr Plum": Costume((255, 204, 178), (134, 46, 128), (66, 60, 76), (40, 34, 44), _plum, heads.plum, _plum_tails,
                       height=42, torso=23, leg=9, arm=16, shoulder=12.5, hip=6, scarf=11, spread=19, seat=1,
                       hand_colour=(255, 250, 244)),
    "Pip": Costume((255, 230, 112), (250, 206, 60), (255, 140, 30), (255, 140, 30), _pip, heads.pip, height=24,
                   torso=26, leg=9, arm=15, shoulder=15, hip=5, scarf=15.5, scarf_drop=13, spread=16, winged=True,
                   leg_width=2.6, foot=(4.2, 2.2), seat=1),
    "Bolt": Costume((122, 198, 242), (150, 164, 182), (150, 164, 182), (84, 112, 156), _bolt, heads.bolt, height=30,
                    torso=17, leg=8, arm=14, shoulder=11.5, hip=5, scarf=11, scarf_drop=0, spread=15, arm_width=3.4,
                    leg_width=4.4, foot=(5, 3.2), hand_colour=(84, 112, 156)),
    "Robin": Costume((104, 64, 46), (58, 66, 92), (52, 50, 72), (120, 72, 40), _robin, heads.robin, _robin_cape,
                     height=35, hand_colour=(104, 64, 46)),
}  # fmt: skip
