"""Records as tables for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storybench.records.record import RunRecord
from storybench.records.score import Score

HEADLINE = (
    "char_acc",
    "char_f1",
    "count_acc",
    "setting_acc",
    "antecedent_acc",
    "conditional_resolution",
    "flip_rate",
    "identity_auc",
    "setting_auc",
    "detail_consistency",
    "assignment_acc",
    "frechet",
    "cider",
)  # what several runs are compared by; a record holds all
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
        screen = console()
        screen.print(_one(records[0]))
        for reason, metrics in not_run(records[0]).items():
            screen.print(f"[dim]not run: {', '.join(metrics)}: {escape(reason)}[/dim]", highlight=False, soft_wrap=True)
    else:
        screen = console()
        screen.print(_many(records, notes or {}, screen.width))


def cell(score: Score) -> str:
    """Return a score for people: percent with its interval, or why there is none."""
    if score.value is None:
        return "not run"
    if score.low is None or score.high is None:
        return number(score, score.value)
    return f"{number(score, score.value)} [{number(score, score.low)}, {number(score, score.high)}]"


def short_cell(score: Score | None) -> str:
    """Return a score in few characters: value and half width of its interval."""
    if score is None or score.value is None:
        return "-"
    if score.low is None or score.high is None:
        return number(score, score.value)
    half = (score.high - score.low) / 2
    return f"{number(score, score.value)} ±{number(score, half)}"


def number(score: Score, value: float | None) -> str:
    """Return a value in the unit of ``score``: percent for a share, three digits or so for what has its own unit."""
    if value is None:
        return ""
    return f"{value * 100:.1f}" if score.fraction else f"{value:{_form(score)}}"


def _form(score: Score) -> str:
    """Return the digits that a score in its own unit is shown with, the same for its bounds and interval."""
    return ".2f" if abs(score.value or 0) >= 0.995 else ".3f"


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
    table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("ceiling", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("better")
    table.add_column("protocol", overflow="fold")
    for metric, score in record.scores.items():
        if score.value is not None:
            bounds = number(score, score.floor), number(score, score.ceiling)
            better = "higher" if score.higher_is_better else "lower"
            table.add_row(metric, cell(score), *bounds, str(score.n), better, score.protocol)
    speed = "-" if record.seconds_per_frame is None else f"{record.seconds_per_frame:.3f} s a frame"
    table.caption = f"coverage {record.coverage.fraction:.0%} of {record.coverage.expected} frames, {speed}"
    table.caption_justify = "left"
    return table


def not_run(record: RunRecord) -> dict[str, list[str]]:
    """Return reason -> metrics that have no value because of it."""
    reasons: dict[str, list[str]] = {}
    for metric, score in record.scores.items():
        if score.value is None:
            reasons.setdefault(score.reason or "no reason given", []).append(metric)
    return reasons


def _many(records: Sequence[RunRecord], notes: dict[str, str], width: int) -> Table:
    """Return several records: a row a run if there is room for a column a metric, else a row a metric."""
    metrics = _columns(records)
    lines = [["model", *(_metric_heading(records, metric) for metric in metrics), "s/frame"]]
    for record, label in zip(records, _labels(records, notes), strict=True):
        cells = [short_cell(record.scores.get(metric)) for metric in metrics]
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
    table.caption = "percent ± half of the 95 % interval; frechet and cider in their own units; the record holds all"
    table.caption_justify = "left"
    return table


def _columns(records: Sequence[RunRecord]) -> list[str]:
    """Return the metrics to compare by: those that some run has, and of many the headline ones."""
    found = [m for r in records for m, score in r.scores.items() if score.value is not None]
    metrics = list(dict.fromkeys(found))
    return metrics if len(metrics) <= len(HEADLINE) else [m for m in metrics if m in HEADLINE]


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
