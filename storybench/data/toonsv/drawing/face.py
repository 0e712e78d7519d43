"""The face that the whole cast shares: dot eyes, blush and a mouth that follows the pose."""

from __future__ import annotations

from dataclasses import dataclass

from storybench.data.toonsv.drawing.canvas import Canvas, Colour, mix, oval
from storybench.data.toonsv.drawing.poses import Pose

INK = (50, 28, 46)
INK_ON_DARK_SKIN = (20, 12, 16)


@dataclass(frozen=True)
class Face:
    """Draws eyes, blush and mouth; handed to a costume, which knows where its face is."""

    canvas: Canvas
    pose: Pose
    skin: Colour

    def __call__(self, x: float, y: float, gap: float = 5.2, mouth: bool = True, eye: float = 1.9) -> None:
        """Draw the face around (x, y), the point between the eyes."""
        c = self.canvas
        ink = INK if sum(self.skin) > 260 else INK_ON_DARK_SKIN
        for side in (-1, 1):
            c.ellipse(x + side * (gap + 2.6), y + 4.2, 2.6, 1.7, mix(self.skin, (255, 84, 104), 0.42), None)
            if self.pose.asleep:
                c.line(oval(x + side * gap, y - 0.5, 2.4, 1.8, 10, 170), 1.2, ink)
            else:
                c.ellipse(x + side * gap, y, eye, eye * 1.3, ink, None)
                c.ellipse(x + side * gap + 0.6, y - 0.9, 0.6, 0.7, (255, 255, 255), None)
        if not mouth:
            return
        if self.pose.cheering:
            c.shape([*oval(x, y + 4.2, 3.2, 4.2, 0, 180)], (150, 30, 50), ink)
        elif self.pose.asleep:
            c.ellipse(x, y + 5.6, 1.2, 1.3, (150, 60, 70), None)
        else:
            c.line(oval(x, y + 3.6, 3.0, 2.6, 20, 160), 1.2, ink)
