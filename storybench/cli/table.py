"""Records as tables for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from storybench.records.record import RunRecord
from storybench.records.score import Score

OWN_UNIT = ("frechet",)  # metrics that are no fractions
MIN_WIDTH = 80
NO_TERMINAL_WIDTH = 180


def console() -> Console:
    """Return a console on stdout, wide enough for a table when it is no terminal."""
    plain = Console()
    return plain if plain.is_terminal and plain.width >= MIN_WIDTH else Console(width=NO_TERMINAL_WIDTH)


def print_json(value: Any) -> None:
    """Print JSON alone on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_runs(records: Sequence[RunRecord], notes: dict[str, str] | None = None) -> None:
    """Print one record as metric rows, several as a row a run.

    Args:
        records: What to show, in order.
        notes: Fingerprint -> what the row is, such as ``ceiling``.
    """
    if len(records) == 1:
        console().print(_one(records[0]))
    else:
        screen = console()
        screen.print(_many(records, notes or {}, screen.width))


def cell(metric: str, score: Score) -> str:
    """Return a score for people: percent with its half interval, or why there is none."""
    if score.value is None:
        return "not run"
    scale, digits = (1.0, 2) if metric.startswith(OWN_UNIT) else (100.0, 1)
    text = f"{score.value * scale:.{digits}f}"
    if score.low is None or score.high is None:
        return text
    return f"{text} [{score.low * scale:.{digits}f}, {score.high * scale:.{digits}f}]"


def short_cell(metric: str, score: Score | None) -> str:
    """Return a score in few characters: value and half width of its interval."""
    if score is None or score.value is None:
        return "-"
    scale, digits = (1.0, 2) if metric.startswith(OWN_UNIT) else (100.0, 1)
    if score.low is None or score.high is None:
        return f"{score.value * scale:.{digits}f}"
    return f"{score.value * scale:.{digits}f} ±{(score.high - score.low) / 2 * scale:.{digits}f}"


def heading(records: Sequence[RunRecord]) -> str:
    """Return what all records share: data set, subset, text, seed, if they do."""
    parts = []
    for label, values in (
        ("", {r.dataset.name for r in records}),
        ("subset ", {r.split for r in records}),
        ("text ", {r.text for r in records}),
        ("seed ", {str(r.seed) for r in records}),
        ("", {f"{r.dataset.stories} stories" for r in records}),
    ):
        if len(values) == 1:
            parts.append(label + values.pop())
    return ", ".join(parts)


def _one(record: RunRecord) -> Table:
    """Return a record's scores, a row a metric."""
    oracle = " (oracle: sees the true frames)" if record.model.oracle else ""
    table = Table(title=f"{record.model.name}{oracle}: {heading([record])}", box=SIMPLE_HEAD, title_justify="left")
    table.add_column("metric", no_wrap=True)
    table.add_column("value [95 % interval]", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("better")
    table.add_column("protocol", overflow="fold")
    for metric, score in record.scores.items():
        protocol = score.protocol if score.value is not None else f"{score.protocol}: {score.reason}"
        table.add_row(
            metric, cell(metric, score), str(score.n), "higher" if score.higher_is_better else "lower", protocol
        )
    speed = "-" if record.seconds_per_frame is None else f"{record.seconds_per_frame:.3f} s a frame"
    table.caption = f"coverage {record.coverage.fraction:.0%} of {record.coverage.expected} frames, {speed}"
    table.caption_justify = "left"
    return table


def _many(records: Sequence[RunRecord], notes: dict[str, str], width: int) -> Table:
    """Return several records: a row a run if there is room for a column a metric, else a row a metric."""
    metrics = list(dict.fromkeys(metric for record in records for metric in record.scores))
    lines = [["model", *(_metric_heading(records, metric) for metric in metrics), "s/frame"]]
    for record, label in zip(records, _labels(records, notes), strict=True):
        cells = [short_cell(metric, record.scores.get(metric)) for metric in metrics]
        speed = "-" if record.model.oracle or record.seconds_per_frame is None else f"{record.seconds_per_frame:.2f}"
        lines.append([label, *cells, speed])
    dim = [False, *(record.model.oracle for record in records)]
    needed = sum(
        max(len(part) for cell in column for part in cell.split("\n")) + 2 for column in zip(*lines, strict=True)
    )
    if needed > width:
        lines = [[cell.replace("\n", "") for cell in column] for column in zip(*lines, strict=True)]
        lines[0] = [cell.replace(" (", "\n(").replace(", ", "\n") for cell in lines[0]]
        dim = [False] * len(lines)
    table = Table(title=heading(records), box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for number, title in enumerate(lines[0]):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for line, is_dim in zip(lines[1:], dim[1:], strict=True):
        table.add_row(*line, style="dim" if is_dim else None)
    table.caption = "percent ± half of the 95 % interval (bootstrap over stories); frechet in squared feature units"
    table.caption_justify = "left"
    return table


def _metric_heading(records: Sequence[RunRecord], metric: str) -> str:
    """Return a metric's name, broken after underscores, with an arrow to the better side."""
    down = any(not r.scores[metric].higher_is_better for r in records if metric in r.scores)
    return f"{metric} {'↓' if down else '↑'}".replace("_", "_\n")


def _labels(records: Sequence[RunRecord], notes: dict[str, str]) -> list[str]:
    """Return what tells each run from the others: its model, and subset, text and seed where they vary."""
    labels = []
    for record in records:
        parts = [record.model.name]
        for name, value in (("subset", "split"), ("text", "text"), ("seed", "seed")):
            if len({getattr(r, value) for r in records}) > 1:
                parts.append(f"{name} {getattr(record, value)}")
        note = notes.get(record.fingerprint, "oracle" if record.model.oracle else "")
        labels.append(", ".join(parts) + (f" ({note})" if note else ""))
    return labels
