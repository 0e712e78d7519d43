"""The nine poses, as angles of a two-joint skeleton that looks to the right.

A limb angle is measured from straight down, positive towards where the figure looks: 90 is level ahead, 180 is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

Joint = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """Angles and moods of one pose; ``hip`` overrides the height that the feet give, ``lift`` is added to it."""

    front_arm: Joint
    back_arm: Joint
    front_leg: Joint
    back_leg: Joint
    lean: float = 0
    tilt: float = 0
    lift: float = 0
    hip: float | None = None
    asleep: bool = False
    cheering: bool = False


POSES: dict[str, Pose] = {
    "stand": Pose((18, 24), (-18, -12), (3, 2), (-3, -2)),
    "walk": Pose((38, 62), (-42, -26), (34, 24), (-30, -48), lean=3),
    "run": Pose((46, 98), (-70, -10), (76, 22), (-34, -100), lean=15, tilt=-6, lift=3),
    "jump": Pose((130, 158), (-130, -158), (48, -46), (-14, -84), lift=15, cheering=True),
    "sit": Pose((34, 66), (-32, -20), (86, 88), (76, 84), lean=-5, tilt=4, hip=5),
    "sleep": Pose((44, 66), (-10, 30), (124, 22), (112, 14), lean=12, tilt=24, hip=5, asleep=True),
    "wave": Pose((20, 34), (-122, -164), (3, 2), (-6, -4), tilt=5),
    "dance": Pose((132, 152), (-66, -50), (58, 62), (-4, -6), lean=-10, tilt=-6),
    "cheer": Pose((146, 166), (-146, -166), (10, 6), (-10, -6), cheering=True),
}
# A held prop is shown in front of the body, so the lowered arms bend further forward than they do when empty.
HOLDING_ARM: dict[str, Joint] = {"stand": (30, 82), "walk": (36, 86), "wave": (30, 82), "sit": (36, 84)}


def pose_of(action: str, holds: bool) -> Pose:
    """Return the pose of ``action``, with the front arm ready for a prop if ``holds``."""
    pose = POSES[action]
    return replace(pose, front_arm=HOLDING_ARM[action]) if holds and action in HOLDING_ARM else pose


def reach(start: tuple[float, float], joint: Joint, length: float) -> list[tuple[float, float]]:
    """Return start, elbow and end of a limb of two halves."""
    points = [start]
    for angle in joint:
        x, y = points[-1]
        a = math.radians(angle)
        points.append((x + math.sin(a) * length / 2, y + math.cos(a) * length / 2))
    return points
