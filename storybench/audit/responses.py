"""Every metric on every rung of the ladder: how it answers, and whether that is what it claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import spearmanr

from storybench.audit.claims import CLAIMS, CONSTANT, COPY
from storybench.audit.ladder import CORRUPTIONS, VERSION, SpoiltFrames
from storybench.data.toonsv.dataset import ToonSV
from storybench.evaluation.equipment import equipment
from storybench.evaluation.judging import Reels, as_floor
from storybench.evaluation.scoring import as_drawn, cannot_run, measure
from storybench.evaluation.watching import TrueFrames
from storybench.metrics.base import StoryMetric
from storybench.metrics.catalogue import EVERY
from storybench.perception.cache import ObservationCache

MONOTONE = 0.9  # least rank correlation of a metric with a corruption that it claims to answer to
STILL = 0.2  # largest share of its range that a metric may move with a corruption that it claims to ignore
GAIN = 0.02  # of the range: less than this is no gain
Verdict = Literal["passes", "fails", "no claim"]
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Response:
    """How one metric answers to one corruption."""

    metric: str
    corruption: str
    strengths: tuple[float, ...]
    values: tuple[float | None, ...]
    rank_correlation: float  # of the strength with getting worse, -1 to 1; 0 where nothing moves
    change: float  # at full strength, as a share of the metric's range; below 0 is worse
    claim: Literal["answers", "ignores", "none"]
    verdict: Verdict


@dataclass(frozen=True)
class Audit:
    """All responses, and what they rest on."""

    responses: tuple[Response, ...]
    ranges: dict[str, tuple[float, float]]  # metric -> value on true frames, value of the floor or the guesser
    stories: int
    frames: int
    seed: int
    not_run: dict[str, str]  # metric -> why

    @property
    def failures(self) -> tuple[Response, ...]:
        """Responses that break a claim."""
        return tuple(r for r in self.responses if r.verdict == "fails")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {"ladder_version": VERSION, **asdict(self)}


def audit(
    stories: int,
    *,
    subset: str = "test",
    text: str = "referential",
    seed: int = 0,
    device: str = "cpu",
    metrics: Sequence[str] | None = None,
    corruptions: Sequence[str] | None = None,
    cache: ObservationCache | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Spoil the true frames of ToonSV stories and measure every metric on them.

    Args:
        stories: How many, from the first of the subset.
        subset: Subset of ToonSV.
        text: Text mode whose mentions are judged; explicit twins are the true frames.
        seed: Decides which frames are spoilt, and how.
        device: Where networks run.
        metrics: Metric ids; by default all that make a claim.
        corruptions: Names of the ladder; by default all.
        cache: What networks saw before.
        progress: Called with (corruption, strength) before each rung.
    """
    world = ToonSV(subset)
    told = [world[k] for k in range(stories)]
    scenes = {story.id: world.scenes(k) for k, story in enumerate(told)}
    tools = equipment("toonsv", device)
    truth = TrueFrames(told)
    wanted = [kind for kind in EVERY if kind.name in CLAIMS and (metrics is None or kind.name in metrics)]
    probe = Reels(truth, explicit=truth, truth=truth)
    not_run = {kind.name: reason for kind in wanted if (reason := cannot_run(kind, tools, probe))}
    kinds = [kind for kind in wanted if kind.name not in not_run]
    own = cache or ObservationCache(None)
    values: dict[str, dict[str, list[float]]] = {}
    floors: dict[str, float] = {}
    for name in corruptions or CORRUPTIONS:
        for strength in CORRUPTIONS[name]:
            if progress is not None:
                progress(name, strength)
            reels = Reels(SpoiltFrames(scenes, name, strength, seed), explicit=truth, truth=truth)
            views = [as_drawn, as_floor] if not floors else [as_drawn]
            _, panels = measure(told, reels, text, tools, own, kinds, views)
            if len(panels) > 1:
                floors = {kind.name: _floor(panels[1][kind.name]) for kind in kinds}
            for kind in kinds:
                value = float(panels[0][kind.name].compute())
                values.setdefault(kind.name, {}).setdefault(name, []).append(value)
    if cache is None:
        own.close()
    responses, ranges = [], {}
    for kind in kinds:
        found, span = respond(kind, values[kind.name], floors[kind.name])
        responses += found
        ranges[kind.name] = span
    frames = sum(len(story.frames) for story in told)
    return Audit(tuple(responses), ranges, stories, frames, seed, not_run)


def respond(
    kind: type[StoryMetric], values: Mapping[str, Sequence[float]], floor: float
) -> tuple[list[Response], tuple[float, float]]:
    """Return a metric's responses and its value on true frames beside its floor.

    The range is what lies between the true frames and the floor, or the greatest change that any corruption makes,
    whichever is wider: a distance has no floor among true frames.
    """
    sign = 1.0 if kind.higher_is_better else -1.0
    true = next(iter(values.values()))[0]
    moves = [abs(v - row[0]) for row in values.values() for v in row if not math.isnan(v)]
    span = max([abs(true - floor) if not math.isnan(floor) else 0.0, *moves, np.finfo(np.float64).tiny])
    out = []
    for name, row in values.items():
        strengths = CORRUPTIONS[name]
        better = np.array(row) * sign  # the greater, the better
        known = ~np.isnan(better)
        still = known.sum() < 2 or np.ptp(better[known]) <= 1e-12 * span
        rank = 0.0 if still else float(spearmanr(np.array(strengths)[known], -better[known]).statistic)
        last = better[known][-1] if known.any() else better[0]
        change = float((last - better[0]) / span)
        claim = _claim(kind.name, name)
        widest = float(np.nanmax(np.abs(better - better[0]))) / span
        shown = tuple(None if math.isnan(v) else float(v) for v in row)
        out.append(
            Response(
                kind.name, name, strengths, shown, rank, change, claim, _verdict(claim, name, rank, change, widest)
            )
        )
    return out, (float(true), float(floor))


def _claim(metric: str, corruption: str) -> Literal["answers", "ignores", "none"]:
    said = CLAIMS[metric]
    if corruption in said.answers:
        return "answers"
    return "ignores" if corruption in said.ignores else "none"


def _verdict(claim: str, corruption: str, rank: float, change: float, widest: float) -> Verdict:
    if corruption in (COPY, CONSTANT) and change > GAIN:
        return "fails"  # nobody may gain by copying, whatever is claimed
    if claim == "answers":
        return "passes" if rank >= MONOTONE - 1e-9 and change < 0 else "fails"
    if claim == "ignores":
        return "passes" if widest < STILL else "fails"
    return "no claim"


def _floor(metric: StoryMetric) -> float:
    if metric.chance is not None:
        return metric.chance
    return float(metric.compute()) if metric.update_called else math.nan
