"""Marks in the air that tell an action: shadows, speed lines, sleep's Zzz, a dancer's note."""

from __future__ import annotations

from PIL import Image

from storybench.data.toonsv.drawing.canvas import Canvas

WIDTH, HEIGHT = 96, 128
ORIGIN = (48, 116)
SHADOW_ORIGIN = (24, 6)
_INK = (84, 84, 120)
_STROKES = ((3.0, (255, 255, 255)), (1.3, (126, 132, 168)))  # a white rim keeps marks readable on any backdrop


def shadow(spread: float, airborne: bool) -> Image.Image:
    """Draw the soft ellipse below a figure, smaller when it is off the ground."""
    canvas = Canvas(48, 12, SHADOW_ORIGIN)
    canvas.ellipse(0, 0, spread * (0.8 if airborne else 1.05), 2.6 if airborne else 3.6, (30, 26, 50, 74), None)
    return canvas.finish()


def effect(action: str, top: int, facing: int) -> Image.Image | None:
    """Draw the marks of ``action`` for a figure whose head ends at ``top``; never mirrored, so that Z stays Z."""
    canvas = Canvas(WIDTH, HEIGHT, ORIGIN)
    if action == "sleep":
        for k, size in enumerate((2.2, 3.0, 3.9)):
            x, y = facing * (3 - 7.5 * k), top - 2 - 8 * k  # backwards: what an upright prop leaves free
            z = [(x - size, y - size), (x + size, y - size), (x - size, y + size), (x + size, y + size)]
            canvas.line(z, 3.4, (255, 255, 255))
            canvas.line(z, 1.5, _INK)
    elif action == "run":
        for y, x in ((-44, 21), (-32, 24), (-19, 22)):
            for width, ink in _STROKES:
                canvas.line([(-facing * x, y), (-facing * (x + 8), y)], width, ink)
    elif action == "jump":
        for x in (-9, 0, 9):
            for width, ink in _STROKES:
                canvas.line([(x, -9), (x * 1.15, -4.5)], width, ink)
    elif action == "dance":
        x, y = facing * -12 - 2, top - 12
        for width, ink in ((3.4, (255, 255, 255)), (1.5, _INK)):
            canvas.line([(x, y + 6), (x, y - 4), (x + 6, y - 6), (x + 6, y + 4)], width, ink)
            r = 2.4 + (width - 1.5) / 2
            for dx, dy in ((-1.6, 6.4), (4.4, 4.4)):
                canvas.ellipse(x + dx, y + dy, r, r * 0.8, ink, None)
    else:
        return None
    return canvas.finish()
