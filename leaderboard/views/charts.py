"""Charts: dots with whiskers, and quality against time. Colour never tells anything alone: shape or a label does too.

Backgrounds are transparent and colours come from the theme, so that a chart is right on light and dark pages. Shares
are drawn in percent.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from leaderboard.data import CEILING, FLOOR, REFERENCE, WITHDRAWN
from storybench.board.entry import LEVELS

ROW_PX = 26  # height of a row of dots
AROUND_PX = 130  # height of axis and legend, which Streamlit counts as part of a chart
MAX_ROWS = 30  # what a chart of dots can show; a table shows the rest
KINDS = [*LEVELS, CEILING, FLOOR, WITHDRAWN, REFERENCE]
SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right"]
NAME_LETTERS = 36  # of a name beside a point
GREY = "#808898"  # seen on white and on black
LABELLED = 8  # points that a chart of points names all


def whiskers(points: pd.DataFrame, title: str) -> alt.Chart | alt.LayerChart:
    """Return values with their intervals, one row a label, top to bottom as given.

    Args:
        points: Columns label, value, low, high (NaN without an interval), kind (a word) and text (for the tooltip).
        title: Of the axis.
    """
    shown = points.head(MAX_ROWS)
    y = alt.Y("label:N", sort=shown["label"].tolist(), title=None, axis=alt.Axis(labelLimit=260, labelOverlap=False))
    base = alt.Chart(shown).encode(y=y, color=_kind(shown))
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)), x2="high:Q", tooltip=_tip("label", "text")
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("value:Q", title=title, scale=alt.Scale(zero=False)), shape=_shape(shown), tooltip=_tip("label", "text")
    )
    return _finish(alt.layer(rule, dots), rows=len(shown))


def pareto(points: pd.DataFrame, front: pd.DataFrame, title: str) -> alt.Chart | alt.LayerChart:
    """Return quality against seconds a frame on a logarithmic axis, the front as a line and by name.

    Args:
        points: Columns label, seconds, value, low, high, kind, text.
        front: The part of them that nothing beats, cheapest first.
        title: Of the quality axis.
    """
    ends = [float(points["seconds"].min()) / 1.3, float(points["seconds"].max()) * 1.3]
    scale = alt.Scale(type="log", domain=ends, nice=False)
    x = alt.X("seconds:Q", title="seconds a frame (log)", scale=scale, axis=alt.Axis(format=".2~g"))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False, padding=10, nice=False))
    base = alt.Chart(points).encode(x=x)
    rule = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title=title, scale=alt.Scale(zero=False, padding=10, nice=False)),
        y2="high:Q",
        color=_kind(points),
    )
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        y=y, color=_kind(points), shape=_shape(points), tooltip=_tip("label", "text", "seconds")
    )
    line = alt.Chart(front).mark_line(interpolate="step-after", strokeDash=[5, 3], strokeWidth=1.5).encode(x=x, y=y)
    named = points if len(points) <= LABELLED else front
    named = named.assign(name=_front_names(named, front))
    cheap = named["seconds"] <= _middle(points["seconds"])  # names grow towards the middle, so that none is cut off
    names = [
        alt.Chart(part).mark_text(align=align, dx=dx, dy=-10).encode(x=x, y=y, text="name:N", color=_kind(points))
        for part, align, dx in ((named[cheap], "left", 9), (named[~cheap], "right", -9))
        if not part.empty
    ]
    return _finish(alt.layer(line, rule, dots, *names), height=360)


def differences(points: pd.DataFrame) -> dict[str, alt.Chart | alt.LayerChart]:
    """Return unit -> paired differences around a line at zero; right of it the compared model is better.

    Args:
        points: Columns row, metric, label, value, low, high, verdict, unit and text.
    """
    labels = points["label"].unique().tolist()
    return {str(unit): _differences(part, labels, str(unit)) for unit, part in points.groupby("unit", sort=False)}


def _differences(part: pd.DataFrame, labels: list[str], title: str) -> alt.Chart | alt.LayerChart:
    ends = part[["low", "high", "value"]].to_numpy()
    reach = 1.05 * max(abs(float(np.nanmin(ends))), abs(float(np.nanmax(ends))), 1e-9)
    scale = alt.Scale(domain=[-reach, reach], nice=True)
    colour = alt.Color(
        "label:N", title=None, scale=alt.Scale(domain=labels), legend=_legend() if len(labels) > 1 else None
    )
    y = alt.Y("row:N", sort=part["row"].tolist(), title=None, axis=alt.Axis(labelLimit=300, labelOverlap=False))
    base = alt.Chart(part).encode(y=y, color=colour)
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3], color=GREY, strokeWidth=1.5)
    rule = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title, scale=scale), x2="high:Q")
    verdicts = alt.Scale(domain=VERDICTS, range=SHAPES_OF)
    shape = alt.Shape("verdict:N", title=None, scale=verdicts, legend=_legend(GREY))
    dots = base.mark_point(filled=True, size=100, opacity=1).encode(
        x=alt.X("value:Q", title=title, scale=scale),
        shape=shape,
        tooltip=_tip("label", "metric", "text", "verdict"),
    )
    layers = alt.layer(zero.encode(x=alt.X("zero:Q", title=title, scale=scale)), rule, dots)
    return _finish(layers, rows=len(part))


VERDICTS = ["better", "worse", "no difference established"]
SHAPES_OF = ["triangle-right", "triangle-left", "circle"]


def curve(points: pd.DataFrame, x_title: str, y_title: str) -> alt.Chart | alt.LayerChart:
    """Return values over a small whole number, with intervals: columns x, value, low, high and text."""
    x = alt.X("x:O", title=x_title, axis=alt.Axis(labelAngle=0))
    base = alt.Chart(points.assign(kind="this model")).encode(x=x)
    scale = alt.Scale(zero=False)
    rule = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=y_title, scale=scale), y2="high:Q", color=alt.Color("kind:N", legend=None)
    )
    dots = base.mark_line(point=alt.OverlayMarkDef(filled=True, size=80)).encode(
        y=alt.Y("value:Q", title=y_title, scale=scale), color=alt.Color("kind:N", legend=None), tooltip=_tip("text")
    )
    return _finish(alt.layer(rule, dots), height=240)


def _middle(seconds: pd.Series) -> float:
    """Return the middle of a logarithmic axis."""
    return float((seconds.min() * seconds.max()) ** 0.5)


def _front_names(named: pd.DataFrame, front: pd.DataFrame) -> list[str]:
    on_front = set(front["label"])
    short = [label if len(label) <= NAME_LETTERS else f"{label[:NAME_LETTERS]}…" for label in named["label"]]
    return [f"{s} (front)" if label in on_front else s for s, label in zip(short, named["label"], strict=True)]


def _kind(points: pd.DataFrame) -> Any:
    return alt.Color("kind:N", title=None, **_by_kind(points))


def _shape(points: pd.DataFrame) -> Any:
    return alt.Shape("kind:N", title=None, **_by_kind(points, SHAPES))


def _by_kind(points: pd.DataFrame, shapes: list[str] | None = None) -> dict[str, Any]:
    """Return scale and legend of the kinds of rows: a kind looks alike on every chart, whoever else is on it."""
    kinds = list(dict.fromkeys(points["kind"]))
    domain = KINDS if set(kinds) <= set(KINDS) else kinds
    scale = alt.Scale(domain=domain, range=shapes[: len(domain)]) if shapes else alt.Scale(domain=domain)
    return {"scale": scale, "legend": _legend(values=kinds) if len(kinds) > 1 else None}


def _legend(colour: str | None = None, values: list[str] | None = None) -> Any:
    """Return a legend above the chart; ``colour`` for symbols that no colour channel fills."""
    more: dict[str, Any] = {"symbolFillColor": colour, "symbolStrokeColor": colour} if colour else {}
    more |= {"values": values} if values else {}
    return alt.Legend(orient="top", columns=3, labelLimit=240, symbolOpacity=1, **more)


def _tip(*fields: str) -> list[Any]:
    return [alt.Tooltip(f"{field}:{'Q' if field == 'seconds' else 'N'}") for field in fields]


def _finish(chart: Any, *, rows: int | None = None, height: int | None = None) -> Any:
    if rows is not None:
        height = rows * ROW_PX + AROUND_PX
    if height is not None:
        chart = chart.properties(height=height)
    return chart.configure(background="transparent").configure_view(strokeWidth=0)
