"""Frames to scores: one pass over the pixels, then every metric over the same records, each with floor and ceiling.

Invariants: the score of given frames depends on no order, batch size or thread of the caller. Networks look in batches
of one constant shape, readings are discrete or float32, sums run in float64 over stories sorted by key. Missing frames
are not scored as wrong: the reader raises, and the run says which are missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from storybench.coreference.counterfactual import NameSwap
from storybench.errors import ConfigError, unknown
from storybench.evaluation.equipment import Equipment, equipment
from storybench.evaluation.judging import Judge, Reels, as_ceiling, as_floor
from storybench.evaluation.rows import table_row
from storybench.evaluation.watching import FrameReader, TrueFrames, Watcher
from storybench.metrics.base import StoryMetric
from storybench.metrics.catalogue import BY_NAME, METRICS
from storybench.metrics.record import FrameRecord
from storybench.metrics.reference import NO_EXPLICIT
from storybench.perception.cache import ObservationCache
from storybench.perception.observation import Observer
from storybench.records.score import Score
from storybench.statistics.left_out import LeftOut
from storybench.story import Story

NO_SWAP = "needs the stories drawn again with a name swapped (storybench run ... counterfactual=true)"
NO_STRANGER = "needs more stories of other clusters than a story has frames: they give the floor"
OF_RECORDS = ("mentions", "explicit", "swap", "truth", "stranger", "setting", "setting_labels", "reference")
NO_TRUTH = "needs the true frames, and the data set was opened without pictures"
Panel = dict[str, StoryMetric]
View = Callable[[list[FrameRecord]], list[FrameRecord] | None]


def as_drawn(records: list[FrameRecord]) -> list[FrameRecord]:
    """Return the records as they are."""
    return records


VIEWS: tuple[View, ...] = (as_drawn, as_floor, as_ceiling)


@dataclass(frozen=True)
class Evaluation:
    """Scores by metric id, one row a frame, and what stands beside the scores."""

    scores: dict[str, Score]
    frames: pd.DataFrame
    details: dict[str, Any] = field(default_factory=dict)  # evaluator and its accuracies, chance, parts of a score
    seconds: float = 0.0
    left_out: dict[str, LeftOut] = field(default_factory=dict)  # metric id -> its value without each cluster


def evaluate(
    stories: Sequence[Story],
    frames: FrameReader,
    text: str = "referential",
    *,
    explicit_frames: FrameReader | None = None,
    swapped_frames: FrameReader | None = None,
    swaps: Sequence[NameSwap] = (),
    metrics: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    tools: Equipment | None = None,
    cache: ObservationCache | None = None,
    with_truth: bool = True,
) -> Evaluation:
    """Score generated frames against the stories they were drawn for.

    Args:
        stories: Annotated stories, all of one data set.
        frames: Gives the generated frame k of a story.
        text: Text mode the frames were drawn from; its mentions are scored.
        explicit_frames: The same stories drawn from explicit captions with the same seed, for
            ``conditional_resolution``.
        swapped_frames: Stories drawn again with a name swapped and the same seed, for ``flip_rate``.
        swaps: What was swapped in them.
        metrics: Metric ids; by default all.
        device: Where the networks run.
        seed: Of the bootstrap.
        tools: Other networks than the data set's own.
        cache: What was seen before; by default nothing, and nothing is kept.
        with_truth: Whether to look at the true frames, too: for floors, ceilings and what is calibrated by them.

    Returns:
        Scores; a metric whose network or frames are not here has no value and says why.

    Raises:
        ConfigError: For an unknown metric, or stories of several data sets.
        DataError: If a frame is missing, damaged or of the wrong size, or the stories lack ``text``.
    """
    started = time.perf_counter()
    kinds = [BY_NAME[name] for name in _metric_names(metrics)]
    dataset = _dataset(stories)
    tools = tools or equipment(dataset, device, {need for kind in kinds for need in kind.requires})
    has_truth = with_truth and bool(tools.observers) and all(f.load is not None for s in stories for f in s.frames)
    truth = TrueFrames(stories) if has_truth else None
    reels = Reels(frames, explicit_frames, truth, swapped_frames, {swap.story: swap for swap in swaps})
    reasons = {kind: cannot_run(kind, tools, reels) for kind in kinds}
    with nullcontext(cache) if cache else ObservationCache(None) as seen:
        rows, panels = measure(stories, reels, text, tools, seen, [k for k in kinds if reasons[k] is None])
    scores: dict[str, Score] = {}
    for kind, reason in reasons.items():
        if reason is not None:
            scores[kind.name] = kind.build(tools.instruments).absent(reason)
        else:
            drawn, floor, ceiling = (panel[kind.name] for panel in panels)
            scores[kind.name] = _bounded(drawn, floor, ceiling, seed)
    details = {**tools.details, **_details(panels[0])}
    scored = (metric for name, metric in panels[0].items() if scores[name].value is not None)
    without = {metric.name: found for metric in scored if (found := metric.left_out()) is not None}
    return Evaluation(scores, pd.DataFrame(rows), details, time.perf_counter() - started, without)


def _metric_names(metrics: Sequence[str] | None) -> tuple[str, ...]:
    for name in metrics or ():
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return tuple(METRICS if metrics is None else dict.fromkeys(metrics))


def _dataset(stories: Sequence[Story]) -> str:
    datasets = sorted({story.dataset for story in stories})
    if len(datasets) != 1:
        raise ConfigError(f"Expected stories of one data set to score, got {', '.join(datasets) or 'no story'}.")
    return datasets[0]


def cannot_run(kind: type[StoryMetric], tools: Equipment, reels: Reels) -> str | None:
    """Return why a metric cannot be computed here."""
    for need in kind.requires:
        if need in tools.instruments.missing:
            return tools.instruments.missing[need]
        if need == "explicit" and reels.explicit is None:
            return NO_EXPLICIT
        if need == "swap" and reels.swapped is None:
            return NO_SWAP
        if need in ("truth", "stranger") and reels.truth is None:
            return NO_TRUTH
        if need == "stranger" and reels.truth is not None and not reels.truth.has_strangers:
            return NO_STRANGER
        if need not in OF_RECORDS and need not in tools.instruments.protocols:
            return f"no network here fills {need!r}"
    return None


def _needed(tools: Equipment, kinds: Sequence[type[StoryMetric]]) -> tuple[Observer, ...]:
    """Return the networks that some metric asks for; what reads the frames always looks, for the table of frames."""
    needs = {"reading", *(need for kind in kinds for need in kind.requires)}
    protocols = {tools.instruments.protocols[need] for need in needs if need in tools.instruments.protocols}
    return tuple(o for o in tools.observers if o.field in needs or o.id in protocols)


def measure(
    stories: Sequence[Story],
    reels: Reels,
    text: str,
    tools: Equipment,
    cache: ObservationCache,
    kinds: Sequence[type[StoryMetric]],
    views: Sequence[View] = VIEWS,
) -> tuple[list[dict[str, Any]], list[Panel]]:
    """Look at everything, then return the frames table and, for each view of it, the metrics with all stories added.

    Args:
        stories: Annotated stories.
        reels: The frames.
        text: Text mode whose mentions are judged.
        tools: Networks and what metrics are made from.
        cache: What was seen before.
        kinds: Metrics that can be computed here.
        views: How to read the records: as drawn, as the floor, as the ceiling.
    """
    judge = Judge(stories, reels, text, Watcher(_needed(tools, kinds), cache, tools.size, tools.instruments.features))
    judge.watch()
    panels: list[Panel] = [{kind.name: kind.build(tools.instruments) for kind in kinds} for _ in views]
    rows: list[dict[str, Any]] = []
    for story in stories:
        records = judge.records(story)
        rows += [table_row(record) for record in records]
        for panel, view in zip(panels, views, strict=True):
            if (seen := view(records)) is not None:
                for metric in panel.values():
                    if _has_all(metric, seen):
                        metric.update(seen)
    return rows, panels


def _has_all(metric: StoryMetric, records: Sequence[FrameRecord]) -> bool:
    """Return whether a story has what a metric needs; a floor has no captions and no counterfactual."""
    return all(
        need not in OPTIONAL or any(OPTIONAL[need](record) is not None for record in records)
        for need in metric.requires
    )


OPTIONAL: Mapping[str, Callable[[FrameRecord], object]] = {
    "caption": lambda r: r.seen.caption,
    "caption_fit": lambda r: r.seen.caption_fit,
    "figures": lambda r: r.seen.figures,
    "reading": lambda r: r.seen.reading,
}


def _bounded(metric: StoryMetric, floor: StoryMetric, ceiling: StoryMetric, seed: int) -> Score:
    """Return the score of a metric with what the floor and the ceiling get."""
    score = metric.score(seed=seed)
    low, high = _value(floor), _value(ceiling)
    if not metric.has_floor:
        low = None
    return score.model_copy(update={"floor": metric.guessed() if low is None else low, "ceiling": high})


def _value(metric: StoryMetric) -> float | None:
    if not metric.update_called:
        return None
    value = float(metric.compute())
    return None if math.isnan(value) else value


def _details(panel: Mapping[str, StoryMetric]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for metric in panel.values():
        out |= metric.details()
    return out
