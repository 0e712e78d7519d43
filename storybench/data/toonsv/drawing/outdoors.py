"""The eight outdoor places, each drawn far to near over a sky that shows the weather."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from storybench.data.toonsv.drawing.canvas import Canvas, Colour, mix, oval, smooth

SIZE = 128
_SKIES: dict[str, tuple[Colour, Colour]] = {
    "sunny": ((112, 194, 246), (214, 240, 252)),
    "cloudy": ((188, 200, 212), (230, 234, 236)),
    "rainy": ((96, 108, 128), (156, 168, 182)),
}
_WHITE = (255, 255, 255)


def outdoors(setting: str, weather: str) -> Canvas:
    """Draw a place under a sky."""
    canvas = Canvas(SIZE, SIZE, background=_WHITE)
    top, bottom = _SKIES[weather]
    if setting == "city" and weather == "sunny":
        top, bottom = (128, 168, 232), (255, 206, 160)  # dusk
    canvas.gradient(top, bottom, 0, 92)
    _sky(canvas, weather)
    _DRAW[setting](canvas)
    return canvas


def rain(canvas: Canvas) -> None:
    """Draw streaks over everything."""
    rng = np.random.default_rng(7)
    for k in range(72):
        x, y = 9 * (k % 16) + rng.uniform(-4, 4) - 4, 30 * (k // 16) + rng.uniform(-12, 12)
        length = rng.uniform(8, 13)
        canvas.line([(x, y), (x - length * 0.34, y + length)], 0.9, (226, 236, 248, 190))


def _sky(c: Canvas, weather: str) -> None:
    if weather == "sunny":
        for r, alpha in ((20, 60), (15.5, 110)):
            c.ellipse(108, 20, r, r, (255, 244, 190, alpha), None)
        c.ellipse(108, 20, 11, 11, (255, 222, 84), None)
        _cloud(c, 30, 20, 0.8, (255, 255, 255))
    elif weather == "cloudy":
        for x, y, s, g in ((20, 16, 1.3, 250), (70, 11, 1.5, 244), (114, 22, 1.3, 250), (50, 32, 0.9, 252)):
            _cloud(c, x, y, s, (g, g, g))
    else:
        for x, y, s, g in (
            (12, 8, 1.7, 92),
            (52, 4, 1.9, 82),
            (96, 8, 1.8, 90),
            (126, 16, 1.3, 80),
            (34, 18, 1.1, 106),
        ):
            _cloud(c, x, y, s, (g, g + 6, g + 18))


def _cloud(c: Canvas, x: float, y: float, s: float, colour: Colour) -> None:
    for lift, tone in ((1.6, mix(colour, (120, 136, 164), 0.28)), (0, colour)):
        for dx, dy, r in ((-12, 2, 6), (-4, -3, 8), (6, -1, 7), (14, 3, 5)):
            c.ellipse(x + dx * s, y + dy * s + lift, r * s, r * s * 0.85, tone, None)
        c.box(x - 13 * s, y + lift, x + 15 * s, y + 7.5 * s + lift, tone, None, radius=3.6 * s)


def _ridge(c: Canvas, heights: Sequence[float], colour: Colour, bottom: float = 128) -> None:
    """Fill below a rolling line through ``heights``, spread over the width."""
    n = len(heights) - 1
    line = smooth([(-4 + 136 * i / n, y) for i, y in enumerate(heights)], closed=False)
    c.shape([*line, (132, bottom), (-4, bottom)], colour, None)


def _tufts(c: Canvas, seed: int, colour: Colour, y0: float, n: int = 16) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(n):
        x, y = rng.uniform(2, 126), rng.uniform(y0, 126)
        for dx in (-1.6, 0, 1.6):
            c.line([(x, y), (x + dx, y - 3)], 0.8, colour)


def _round_tree(c: Canvas, x: float, y: float, s: float, leaf: Colour, trunk: Colour = (150, 112, 84)) -> None:
    c.box(x - 2 * s, y - 16 * s, x + 2 * s, y, trunk, None)
    for dx, dy, r in ((-7, -20, 8), (7, -20, 8), (0, -27, 10)):
        c.ellipse(x + dx * s, y + dy * s, r * s, r * s, leaf, None)
    c.ellipse(x - 3 * s, y - 29 * s, 4 * s, 3.5 * s, mix(leaf, _WHITE, 0.2), None)


def _beach(c: Canvas) -> None:
    c.gradient((92, 190, 214), (158, 224, 226), 66, 96)
    for y, x, w in ((72, 18, 20), (77, 78, 26), (83, 40, 22), (74, 112, 12)):
        c.line([(x, y), (x + w, y)], 1.1, (226, 248, 248))
    c.shape([(24, 64), (40, 64), (37, 69), (27, 69)], (196, 120, 96), None)
    c.shape([(31.5, 44), (31.5, 62), (19, 62)], _WHITE, None)
    c.shape([(33, 48), (33, 62), (43, 62)], (252, 226, 200), None)
    _ridge(c, (90, 93, 89, 92, 90), (240, 250, 246))
    _ridge(c, (93, 96, 92, 95, 93), (246, 226, 176))
    _ridge(c, (110, 106, 112, 108, 114), (238, 214, 160))
    c.line(smooth([(116, 98), (112, 76), (118, 54)], False), 4.4, (176, 138, 100))
    for ex, ey in ((98, 50), (104, 40), (132, 42), (136, 56), (102, 62)):
        mid = ((118 + ex) / 2, min(54, ey) - 4)
        c.blob([(118, 55), (mid[0], mid[1]), (ex, ey), (mid[0] + 1, mid[1] + 6)], (120, 188, 128), None)
    for x, y in ((10, 122), (44, 119), (86, 123), (72, 103)):
        c.ellipse(x, y, 1.6, 1.1, (250, 240, 220), None)
    c.blob([(16, 100), (18, 103), (22, 103.5), (19, 106), (20, 110), (16, 107.5), (12, 110), (13, 106), (10, 103.5),
           (14, 103)], (244, 158, 130), None)  # fmt: skip


def _meadow(c: Canvas) -> None:
    _ridge(c, (78, 66, 72, 60, 70), (176, 220, 168))
    _ridge(c, (80, 84, 74, 82, 76), (158, 212, 138))
    _round_tree(c, 16, 86, 0.9, (126, 188, 112))
    _ridge(c, (90, 86, 90, 86, 90), (150, 208, 116))
    _ridge(c, (106, 102, 106, 100, 106), (136, 198, 104))
    _tufts(c, 3, (112, 176, 88), 92)
    rng = np.random.default_rng(11)
    for k in range(26):
        x, y = rng.uniform(2, 126), rng.uniform(89, 126)
        tone = ((255, 255, 250), (255, 226, 130), (248, 176, 196))[k % 3]
        for dx, dy in ((-1.2, 0), (1.2, 0), (0, -1.2), (0, 1.2)):
            c.ellipse(x + dx, y + dy, 1, 1, tone, None)


def _forest(c: Canvas) -> None:
    c.box(-1, 50, 129, 100, (158, 198, 176), None)
    for x in range(-4, 140, 13):
        h = 26 + 7 * ((x * 7) % 3)
        c.shape([(x - 10, 92), (x, 62 - h), (x + 10, 92)], (140, 186, 164), None)
    for x, s in ((6, 1.1), (34, 0.9), (94, 0.95), (122, 1.15)):
        c.box(x - 3 * s, 80, x + 3 * s, 98, (134, 104, 84), None)
        for k in range(3):
            w, y = (17 - 4 * k) * s, 86 - 17 * k * s
            c.shape([(x - w, y), (x, y - 27 * s), (x + w, y)], mix((82, 144, 110), (120, 176, 130), k / 3), None)
    _ridge(c, (96, 92, 94, 92, 96), (134, 170, 108))
    c.blob([(56, 92), (72, 92), (88, 110), (100, 132), (22, 132), (44, 110)], (206, 186, 144), None)
    _tufts(c, 5, (104, 142, 84), 98, 12)
    for x, y in ((12, 106), (112, 104), (120, 121)):
        c.box(x - 1.4, y - 3, x + 1.4, y + 2, (250, 240, 224), None)
        c.shape(_dome(x, y - 2.6, 4.4, 4), (222, 116, 100), None)


def _dome(x: float, y: float, rx: float, ry: float) -> list[tuple[float, float]]:
    """Return the upper half of an ellipse."""
    return oval(x, y, rx, ry, 180, 360)


def _mountains(c: Canvas) -> None:
    for x, y, w, tone in ((98, 34, 50, (176, 188, 216)), (22, 40, 46, (168, 180, 210)), (60, 24, 54, (150, 164, 200))):
        c.shape([(x - w, 100), (x, y), (x + w, 100)], tone, None)
        c.shape([(x, y), (x + w, 100), (x + w * 0.2, 100)], mix(tone, (96, 108, 150), 0.22), None)
        k = 0.3
        d = (100 - y) * k
        c.shape([(x - w * k, y + d), (x, y), (x + w * k, y + d), (x + w * k * 0.5, y + d - 5),
                 (x + w * k * 0.1, y + d + 3), (x - w * k * 0.4, y + d - 4)], (250, 252, 255), None)  # fmt: skip
    _ridge(c, (88, 84, 90, 84, 88), (228, 236, 246))
    for x, s in ((8, 0.8), (20, 0.6), (116, 0.85), (104, 0.6)):
        for k in range(3):
            r, foot = (11 - 2.5 * k) * s, 94 - 9 * k * s
            c.shape([(x - r, foot), (x, foot - 15 * s), (x + r, foot)], (112, 150, 150), None)
            snow = [(x - r * 0.4, foot - 9 * s), (x, foot - 15 * s), (x + r * 0.4, foot - 9 * s)]
            c.shape(snow, (246, 250, 253), None)
    _ridge(c, (98, 94, 97, 93, 98), (240, 245, 251))
    _ridge(c, (112, 116, 110, 116, 112), (226, 234, 246))


def _city(c: Canvas) -> None:
    rng = np.random.default_rng(4)
    for layer, (tone, base, widths) in enumerate((((178, 168, 204), 50, 13), ((142, 136, 182), 64, 17))):
        x, k = -4.0, 0
        while x < 130:
            w, h = widths + rng.uniform(-2, 5), rng.uniform(-15, 10)
            c.box(x, base + h, x + w, 102, tone, None)
            if k % 3 == 1:
                c.line([(x + w / 2, base + h), (x + w / 2, base + h - 7)], 1.2, tone)
            for wy in np.arange(base + h + 4, 94, 7):
                for wx in np.arange(x + 3, x + w - 3, 4.6):
                    if rng.random() < (0.4 if layer == 0 else 0.62):
                        c.box(wx, wy, wx + 2.2, wy + 3.2, (255, 226, 150) if layer else (226, 206, 204), None)
            x += w + (0 if layer == 0 else 4)
            k += 1
    c.box(-1, 94, 129, 129, (196, 192, 206), None)
    c.box(-1, 94, 129, 96, (222, 218, 228), None)
    c.box(-1, 120, 129, 129, (122, 122, 144), None)
    for x in range(6, 130, 30):
        c.box(x, 123.4, x + 14, 125.2, (244, 232, 190), None)
    for x in (18, 44, 70, 96, 122):
        c.line([(x, 97), (x - 6, 120)], 0.6, (176, 172, 190))
    c.line([(6, 108), (6, 66), (14, 64)], 1.8, (92, 92, 122))
    c.ellipse(15, 66, 3.4, 3, (255, 236, 160), None)


def _desert(c: Canvas) -> None:
    for x, y, w in ((26, 58, 22), (104, 64, 18)):
        c.shape([(x - w, 92), (x - w * 0.66, y), (x + w * 0.6, y), (x + w, 92)], (224, 158, 124), None)
        c.shape([(x - w * 0.78, y + 9), (x - w * 0.72, y + 5), (x + w * 0.68, y + 5),
                (x + w * 0.76, y + 9)], (208, 140, 108), None)  # fmt: skip
    _ridge(c, (86, 80, 88, 82, 86), (242, 200, 140))
    _ridge(c, (92, 96, 90, 96, 90), (246, 212, 148))
    _ridge(c, (108, 102, 108, 112, 104), (240, 200, 134))
    for x, y, s in ((13, 102, 1.55), (117, 99, 1.4), (64, 90, 0.55), (44, 88, 0.4)):
        green = (118, 170, 124)
        c.line([(x, y), (x, y - 28 * s)], 6.4 * s, green)
        c.line([(x, y - 10 * s), (x - 8 * s, y - 11 * s), (x - 8.5 * s, y - 19 * s)], 4.2 * s, green)
        c.line([(x, y - 14 * s), (x + 8 * s, y - 15 * s), (x + 8.5 * s, y - 24 * s)], 4.2 * s, green)
        c.line([(x - 1.4 * s, y - 2), (x - 1.4 * s, y - 27 * s)], 0.8, (150, 196, 150))
    c.ellipse(90, 121, 5, 2.6, (214, 164, 118), None)
    c.ellipse(38, 109, 3.4, 1.8, (214, 164, 118), None)


def _farm(c: Canvas) -> None:
    _ridge(c, (74, 68, 74, 66, 72), (182, 214, 146))
    _ridge(c, (84, 80, 84, 78, 82), (224, 208, 128))
    red = (204, 110, 96)
    c.shape([(8, 94), (8, 62), (16, 48), (32, 40), (48, 48), (56, 62), (56, 94)], red, None)
    c.shape([(4, 63), (13, 46), (32, 37), (51, 46), (60, 63), (56, 64), (48.5, 49), (32, 41.5), (15.5, 49), (8, 64)],
            (148, 96, 96), None)  # fmt: skip
    c.box(22, 68, 42, 94, (248, 236, 224), None)
    c.box(24, 70, 40, 94, (178, 92, 82), None)
    for a, b in (((24, 70), (40, 94)), ((40, 70), (24, 94))):
        c.line([a, b], 1.5, (248, 236, 224))
    c.ellipse(32, 55, 4.4, 4.4, (248, 236, 224), None)
    c.box(92, 52, 106, 94, (196, 200, 208), None)
    c.shape(_dome(99, 52, 7, 7), (164, 170, 184), None)
    _ridge(c, (93, 91, 93, 91, 93), (166, 204, 112))
    for x in range(-6, 140, 16):
        c.box(x, 84, x + 3.4, 102, (250, 244, 232), None, radius=1.4)
    for y in (88, 95):
        c.box(-2, y, 130, y + 2.6, (244, 236, 222), None)
    _ridge(c, (106, 102, 105, 102, 106), (156, 196, 104))
    _tufts(c, 9, (128, 172, 84), 106, 12)


def _playground(c: Canvas) -> None:
    for x, s in ((4, 0.9), (26, 0.7), (100, 0.75), (124, 0.95)):
        _round_tree(c, x, 88, s, (162, 208, 160))
    _ridge(c, (86, 85, 86, 85, 86), (172, 214, 140))
    c.box(-1, 96, 129, 129, (240, 216, 178), None)
    _ridge(c, (96, 98, 96, 98, 96), (240, 216, 178))
    post = (92, 140, 210)
    for x in (8, 50):
        c.line([(x, 98), (x + 5, 44)], 2.4, post)
        c.line([(x + 10, 98), (x + 5, 44)], 2.4, post)
    c.line([(13, 44), (55, 44)], 2.6, post)
    for x in (25, 39):
        c.line([(x, 45), (x, 82)], 0.9, (140, 140, 156))
        c.line([(x + 7, 45), (x + 7, 82)], 0.9, (140, 140, 156))
        c.box(x - 1.4, 81, x + 8.4, 84, (222, 128, 110), None, radius=1)
    c.box(102, 47, 104.6, 100, (226, 176, 96), None)
    c.box(114, 47, 116.6, 100, (226, 176, 96), None)
    for y in range(60, 98, 7):
        c.box(103, y, 116, y + 2, (226, 176, 96), None)
    c.shape([(97, 48), (109, 34), (121, 48)], (238, 150, 96), None)
    c.line(smooth([(103, 62), (92, 70), (80, 88), (68, 98), (62, 98)], False), 6.4, (232, 112, 140))
    c.line(smooth([(103, 60.6), (92, 68.6), (80, 86.6), (68, 96.6), (62, 96.6)], False), 2.4, (246, 176, 190))
    c.ellipse(30, 122, 22, 5, (232, 204, 160), None)
    c.ellipse(100, 118, 20, 4, (232, 204, 160), None)


_DRAW: dict[str, Callable[[Canvas], None]] = {
    "beach": _beach, "meadow": _meadow, "forest": _forest, "mountains": _mountains,
    "city": _city, "desert": _desert, "farm": _farm, "playground": _playground,
}  # fmt: skip
