"""One figure in one pose: limbs, scarf and face around the costume of a character."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from storybench.data.toonsv.drawing.canvas import Canvas, Colour, Point, darker
from storybench.data.toonsv.drawing.face import Face
from storybench.data.toonsv.drawing.people import COSTUMES, Costume
from storybench.data.toonsv.drawing.poses import Pose, pose_of, reach

WIDTH, HEIGHT = 96, 128
ORIGIN = (48, 116)  # the point on the ground below the figure
SCARVES: dict[str, Colour] = {
    "red": (226, 34, 52),
    "yellow": (255, 196, 0),
    "green": (34, 160, 74),
    "blue": (36, 92, 222),
    "white": (252, 252, 250),
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure: ``hand`` and ``top`` (of hair or hat) are measured from the point on the ground below it."""

    image: Image.Image
    hand: Point
    top: float
    spread: float  # half the width of its shadow
    reaching_up: bool  # whether the front hand is raised


def draw_figure(name: str, action: str, scarf: str | None, holds: bool) -> Figure:
    """Draw ``name`` looking to the right."""
    costume, pose = COSTUMES[name], pose_of(action, holds)
    canvas = Canvas(WIDTH, HEIGHT, ORIGIN)
    hip, legs = _legs(costume, pose)
    seated = pose.hip is not None
    with canvas.at(0, hip, pose.lean):
        costume.behind(canvas, -hip)
    if not seated:
        for leg in (legs[1], legs[0]):
            _draw_leg(canvas, costume, leg, pose)
    shoulder = 5 - costume.torso
    front = reach((costume.shoulder, shoulder), pose.front_arm, _arm_length(costume, pose.front_arm))
    back = reach((-costume.shoulder, shoulder), pose.back_arm, _arm_length(costume, pose.back_arm))
    with canvas.at(0, hip, pose.lean):
        if not _raised(pose.back_arm):
            _draw_arm(canvas, costume, back)
        costume.clothes(canvas, -hip)
    if seated:  # legs stretched forward lie in front of a skirt or belly
        for leg in (legs[1], legs[0]):
            _draw_leg(canvas, costume, [(x + costume.lap, y) for x, y in leg], pose)
    with canvas.at(0, hip, pose.lean):
        if not _raised(pose.front_arm) and costume.head_over_arm:
            _draw_arm(canvas, costume, front)
        with canvas.at(0, -costume.torso, pose.tilt):
            costume.head(canvas, Face(canvas, pose, costume.skin))
            top = canvas.where(0, -costume.height)[1]
        if scarf is not None:
            _draw_scarf(canvas, costume, SCARVES[scarf])
        if _raised(pose.back_arm):
            _draw_arm(canvas, costume, back)
        if _raised(pose.front_arm) or not costume.head_over_arm:
            _draw_arm(canvas, costume, front)
        hand = canvas.where(*front[-1])
    if pose.asleep:
        hand = (16.0, -6.0)  # the prop lies beside a sleeper
    return Figure(canvas.finish(), hand, top, costume.spread, _raised(pose.front_arm))


def _legs(costume: Costume, pose: Pose) -> tuple[float, tuple[list[Point], list[Point]]]:
    """Return the hip's y and both legs, front one first, such that the lower foot touches the ground."""
    front = reach((costume.hip, 0), pose.front_leg, costume.leg)
    back = reach((-costume.hip, 0), pose.back_leg, costume.leg)
    hip = -max(front[-1][1], back[-1][1]) - 2.5 - pose.lift if pose.hip is None else -pose.hip - costume.seat
    return hip, tuple([(x, y + hip) for x, y in leg] for leg in (front, back))  # type: ignore[return-value]


def _draw_leg(canvas: Canvas, costume: Costume, leg: list[Point], pose: Pose) -> None:
    canvas.limb(leg, costume.leg_width, costume.leg_colour)
    x, y = leg[-1]
    flat = pose.hip is None or pose.asleep
    toes_up = y < leg[1][1] + 1 and pose.hip is None  # a foot that swings back shows its sole
    with canvas.at(x, y, 0 if flat and not toes_up else (50 if toes_up else -70)):
        canvas.ellipse(1.8, 0.2, *costume.foot, costume.shoe)


def _arm_length(costume: Costume, joint: tuple[float, float]) -> float:
    return costume.arm * (1.35 if _raised(joint) else 1.0)  # short toon arms must still clear a big head


def _raised(joint: tuple[float, float]) -> bool:
    return abs(joint[1]) > 115 or abs(joint[0]) > 100


def _draw_arm(canvas: Canvas, costume: Costume, arm: list[Point]) -> None:
    if costume.winged:
        (x0, y0), (x1, y1) = arm[0], arm[-1]
        dx, dy = (x1 - x0) * 0.5, (y1 - y0) * 0.5
        k = 0.55
        points = [(x0, y0), (x0 + dx - dy * k, y0 + dy + dx * k), (x1, y1), (x0 + dx + dy * k, y0 + dy - dx * k)]
        canvas.blob(points, costume.sleeve, darker(costume.skin, 0.5))
        return
    canvas.limb(arm, costume.arm_width, costume.sleeve)
    canvas.ellipse(*arm[-1], 3.0, 3.0, costume.hand)


def _draw_scarf(canvas: Canvas, costume: Costume, colour: Colour) -> None:
    ink, half, y = darker(colour, 0.72), costume.scarf, -costume.torso + costume.scarf_drop
    tail = [(-half + 3, y + 1), (-half + 9.5, y + 1), (-half + 9, y + 14), (-half + 2, y + 13)]
    canvas.shape(tail, colour, ink)
    canvas.line([(-half + 2.8, y + 10.5), (-half + 9, y + 11)], 0.8, ink)
    canvas.blob([(-half, y - 2.5), (0, y - 0.5), (half, y - 2.5), (half + 0.5, y + 2.5), (0, y + 5),
                (-half - 0.5, y + 2.5)], colour, ink)  # fmt: skip
    canvas.ellipse(-half + 6, y + 2, 3.4, 3.2, colour, ink)
