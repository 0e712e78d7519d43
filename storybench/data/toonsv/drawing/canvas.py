"""A supersampled drawing surface: flat shapes with soft darker outlines, under a movable frame of reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SCALE = 4  # supersampling: the drawing is this many times larger than the picture
OUTLINE_PX = 1.0


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return ``a`` with ``share`` of it replaced by ``b``."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def darker(colour: Colour, share: float = 0.45) -> Colour:
    """Return ``colour`` moved towards a warm near-black, the outline tone of the whole world."""
    return mix(colour, (44, 24, 48), share)


def smooth(points: Sequence[Point], closed: bool = True, steps: int = 8) -> list[Point]:
    """Sample a Catmull-Rom curve through ``points``."""
    n = len(points)
    out: list[Point] = []
    for i in range(n if closed else n - 1):
        if closed:
            p = [points[(i + k) % n] for k in (-1, 0, 1, 2)]
        else:
            p = [points[min(max(i + k, 0), n - 1)] for k in (-1, 0, 1, 2)]
        for s in range(steps):
            t = s / steps
            w = (
                -0.5 * t + t * t - 0.5 * t**3,
                1 - 2.5 * t * t + 1.5 * t**3,
                0.5 * t + 2 * t * t - 1.5 * t**3,
                0.5 * (t**3 - t * t),
            )
            x, y = (sum(a * q[axis] for a, q in zip(w, p, strict=True)) for axis in (0, 1))
            out.append((x, y))
    if not closed:
        out.append(points[-1])
    return out


def oval(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360) -> list[Point]:
    """Sample the ellipse arc from ``start`` to ``end`` degrees (0 right, 90 down)."""
    n = max(8, int(abs(end - start) / 9))
    angles = (math.radians(start + (end - start) * i / n) for i in range(n + 1))
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


class Canvas:
    """Draws in picture pixels; ``origin`` is where (0, 0) lies. Without ``background`` it is a transparent sprite."""

    def __init__(self, width: int, height: int, origin: Point = (0, 0), background: Colour | None = None) -> None:
        size = (width * SCALE, height * SCALE)
        if background is None:
            self.image = Image.new("RGBA", size)
            self.pen = ImageDraw.Draw(self.image)
        else:
            self.image = Image.new("RGB", size, background)
            self.pen = ImageDraw.Draw(self.image, "RGBA")  # blends translucent fills
        self.frame = (1.0, 0.0, origin[0], 0.0, 1.0, origin[1])
        self.origin = origin

    @contextmanager
    def at(self, x: float, y: float, degrees: float = 0) -> Iterator[None]:
        """Move (0, 0) to (x, y) and turn clockwise by ``degrees`` for the block."""
        kept = self.frame
        a, b, c, d, e, f = kept
        co, si = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        self.frame = (
            a * co + b * si, b * co - a * si, a * x + b * y + c,
            d * co + e * si, e * co - d * si, d * x + e * y + f,
        )  # fmt: skip
        yield
        self.frame = kept

    def where(self, x: float, y: float) -> Point:
        """Return where the local point lies, measured from the canvas's origin."""
        px, py = self._map([(x, y)])[0]
        return px / SCALE - self.origin[0], py / SCALE - self.origin[1]

    def _map(self, points: Sequence[Point]) -> list[Point]:
        a, b, c, d, e, f = self.frame
        return [((a * x + b * y + c) * SCALE, (d * x + e * y + f) * SCALE) for x, y in points]

    def shape(self, points: Sequence[Point], fill: tuple[int, ...], outline: Colour | bool | None = True) -> None:
        """Fill a polygon; ``outline`` True takes a darker tone of the fill, None or False draws no outline."""
        mapped = self._map(points)
        self.pen.polygon(mapped, fill=tuple(fill))
        if outline is not None and outline is not False:
            tone = darker(fill[:3]) if outline is True else outline  # type: ignore[arg-type]
            self.pen.line([*mapped, mapped[0], mapped[1]], fill=tone, width=round(OUTLINE_PX * SCALE), joint="curve")

    def blob(self, points: Sequence[Point], fill: tuple[int, ...], outline: Colour | bool | None = True) -> None:
        """Fill the smooth closed curve through ``points``."""
        self.shape(smooth(points), fill, outline)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, fill: tuple[int, ...], outline: Colour | bool | None = True
    ) -> None:
        """Fill an ellipse."""
        self.shape(oval(cx, cy, rx, ry), fill, outline)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: tuple[int, ...],
        outline: Colour | bool | None = True,
        radius: float = 0,
    ) -> None:
        """Fill a rectangle with rounded corners."""
        if radius <= 0:
            self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)
            return
        r = radius
        corners = ((x1 - r, y0 + r, -90), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180))
        self.shape([p for x, y, a in corners for p in oval(x, y, r, r, a, a + 90)], fill, outline)

    def line(self, points: Sequence[Point], width: float, fill: tuple[int, ...]) -> None:
        """Draw a thick line with round ends and joints."""
        mapped = self._map(points)
        self.pen.line(mapped, fill=tuple(fill), width=max(1, round(width * SCALE)), joint="curve")
        r = width * SCALE / 2
        for x, y in (mapped[0], mapped[-1]):
            self.pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(fill))

    def limb(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a thick line that has an outline."""
        self.line(points, width + 2 * OUTLINE_PX, darker(fill))
        self.line(points, width, fill)

    def gradient(self, top: Colour, bottom: Colour, y0: int, y1: int) -> None:
        """Fill the full width from ``y0`` to ``y1`` with a vertical gradient."""
        rows = (y1 - y0) * SCALE
        t = np.linspace(0, 1, rows)[:, None, None]
        band = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
        band = np.broadcast_to(band.round().astype(np.uint8), (rows, self.image.width, 3))
        self.image.paste(Image.fromarray(np.ascontiguousarray(band)), (0, y0 * SCALE))

    def finish(self) -> Image.Image:
        """Reduce to picture size. Pillow reduces RGBA premultiplied, so edges take no dark fringe."""
        return self.image.reduce(SCALE)
