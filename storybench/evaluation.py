"""Frames to scores in one pass: each frame is decoded once, read once, and every metric sees the same reading.

Invariants: the score of given frames depends on no order, batch size or thread of the caller. Frames are read by the
    evaluator one at a time, readings are discrete, sums run in float64 over stories sorted by key. Missing frames are
    not scored as wrong: the reader raises, and the run says which are missing.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import pandas as pd
from PIL import Image

from storybench import metrics as m
from storybench.coreference.chance import cross_frame_mentions
from storybench.errors import ConfigError, DataError, unknown
from storybench.metrics.consistency import detail_space
from storybench.metrics.reference import NO_EXPLICIT, NO_MENTION
from storybench.perception.assets import PerceiverAsset, load_perceiver
from storybench.perception.perceiver import Reading
from storybench.records.score import Score
from storybench.story import Frame, Story

PERCEIVERS = {"toonsv": "toonsv_perceiver"}  # data set -> the network that reads it
FRAME_PX = (128, 128)
METRICS = (
    "char_acc",
    "char_f1",
    "char_f1_macro",
    "count_acc",
    "setting_acc",
    "antecedent_acc",
    "antecedent_acc_strict",
    "antecedent_kappa",
    "conditional_resolution",
    "detail_consistency",
    "frechet",
)  # in the order of printing

SIMPLE: tuple[type[m.StoryMetric], ...] = (  # metrics that need only the evaluator's readings
    m.CharacterAccuracy,
    m.CharacterF1,
    m.CharacterF1Macro,
    m.CountAccuracy,
    m.SettingAccuracy,
    m.AntecedentAccuracy,
    m.AntecedentAccuracyStrict,
    m.ConditionalResolution,
)


class FrameReader(Protocol):
    """Anything that gives decoded frames; :class:`storybench.frames.FrameStore` does."""

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return one RGB picture."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """Scores by metric id, one row a frame, and what stands beside the scores."""

    scores: dict[str, Score]
    frames: pd.DataFrame
    details: dict[str, Any] = field(default_factory=dict)  # evaluator and its accuracies, chance, parts of a score
    seconds: float = 0.0


class TrueFrames:
    """Reads the true pictures of stories: scored like a model, they give the ceiling."""

    def __init__(self, stories: Sequence[Story]) -> None:
        self.stories = {story.id: story for story in stories}

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return the true picture."""
        return self.stories[story_id].frames[frame].image


def evaluate(
    stories: Sequence[Story],
    frames: FrameReader,
    text: str = "referential",
    *,
    explicit_frames: FrameReader | None = None,
    batch_size: int = 32,
    metrics: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    perceiver: PerceiverAsset | None = None,
) -> Evaluation:
    """Score generated frames against the stories they were drawn for.

    Args:
        stories: Annotated stories, all of one data set.
        frames: Gives the generated frame k of a story.
        text: Text mode the frames were drawn from; its mentions are scored.
        explicit_frames: The same stories drawn from explicit captions with the same seed, for
            ``conditional_resolution``.
        batch_size: Stories judged between two updates of the metrics; changes no score.
        metrics: Metric ids; by default all.
        device: Where the evaluator runs.
        seed: Of the bootstrap.
        perceiver: Another evaluator than the shipped one of the data set.

    Returns:
        Scores; of a data set that no evaluator here can read, none has a value and each says why.

    Raises:
        ConfigError: For an unknown metric, or stories of several data sets.
        DataError: If a frame is missing, damaged or not 128 x 128, or the stories lack ``text``.
    """
    started = time.perf_counter()
    names = _metric_names(metrics)
    asset = perceiver or _perceiver_of(stories, device)
    if asset is None:
        return _not_run(stories, names, started)
    chosen = _build(names, asset)
    rows: list[dict[str, Any]] = []
    judged = (_judge(story, frames, explicit_frames, text, asset) for story in stories)
    while batch := list(islice(judged, max(batch_size, 1))):
        for records in batch:
            rows += [_table_row(record) for record in records]
            for metric in chosen.values():
                metric.update(records)
    scores = {name: _score(metric, seed, text, explicit_frames) for name, metric in chosen.items()}
    return Evaluation(scores, pd.DataFrame(rows), _details(chosen, asset), time.perf_counter() - started)


def _metric_names(metrics: Sequence[str] | None) -> tuple[str, ...]:
    for name in metrics or ():
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return tuple(METRICS if metrics is None else dict.fromkeys(metrics))


def _perceiver_of(stories: Sequence[Story], device: str) -> PerceiverAsset | None:
    """Return the shipped evaluator of the stories' data set, if there is one."""
    datasets = sorted({story.dataset for story in stories})
    if len(datasets) != 1:
        raise ConfigError(f"Expected stories of one data set to score, got {', '.join(datasets) or 'no story'}.")
    return load_perceiver(PERCEIVERS[datasets[0]], device=device) if datasets[0] in PERCEIVERS else None


def _not_run(stories: Sequence[Story], names: Sequence[str], started: float) -> Evaluation:
    """Return scores without values: missing is not zero."""
    reason = f"no evaluator here reads data set {stories[0].dataset} (only {', '.join(sorted(PERCEIVERS))})"
    every: tuple[type[m.StoryMetric], ...] = (*SIMPLE, m.AntecedentKappa, m.DetailConsistency, m.Frechet)
    kinds = {kind.name: kind for kind in every}
    scores = {
        name: Score(
            value=None,
            n=0,
            higher_is_better=kinds[name].higher_is_better,
            protocol=f"{name}/{kinds[name].version}@none",
            reason=reason,
        )
        for name in names
    }
    rows = [
        {"story": story.id, "frame": frame.index, "expected": list(frame.characters)}
        for story in stories
        for frame in story.frames
    ]
    return Evaluation(scores, pd.DataFrame(rows), {"not_run": reason}, time.perf_counter() - started)


def _build(names: Sequence[str], asset: PerceiverAsset) -> dict[str, m.StoryMetric]:
    """Return the metrics called ``names``."""
    made: list[m.StoryMetric] = [kind(asset.id) for kind in SIMPLE]
    made.append(m.AntecedentKappa(asset.pronoun_guess, asset.id))
    made.append(m.DetailConsistency(detail_space(asset.model.vocabulary), asset.id))
    made.append(m.Frechet(asset.reference, asset.reference_group, asset.id, asset.manifest["reference"]["id"]))
    by_name = {metric.name: metric for metric in made}
    return {name: by_name[name] for name in names}


def _judge(
    story: Story, frames: FrameReader, explicit: FrameReader | None, text: str, asset: PerceiverAsset
) -> list[m.FrameRecord]:
    """Return the records of one story."""
    records = []
    for frame in story.frames:
        if text not in frame.captions:
            raise DataError(f"Story {story.id} has no text {text!r}; available: {', '.join(sorted(frame.captions))}.")
        mentions = cross_frame_mentions(frame.captions[text].mentions)
        records.append(
            m.FrameRecord(
                story=story.id,
                frame=frame.index,
                cluster=story.cluster or story.id,
                expected=frame.characters,
                setting=frame.setting,
                details=frame.details,
                mentions=mentions,
                reading=_read(frames, story.id, frame, asset),
                explicit=_read(explicit, story.id, frame, asset) if explicit is not None and mentions else None,
            )
        )
    return records


def _read(frames: FrameReader, story_id: str, frame: Frame, asset: PerceiverAsset) -> Reading:
    image = frames.read(story_id, frame.index)
    if image.size != FRAME_PX:
        raise DataError(
            f"Frame {story_id}/{frame.index} is {image.width} x {image.height} pixels, expected "
            f"{FRAME_PX[0]} x {FRAME_PX[1]}: resize them first, the evaluator reads one size only."
        )
    return asset.model.read(image)


def _score(metric: m.StoryMetric, seed: int, text: str, explicit: FrameReader | None) -> Score:
    """Return the score of a metric, or why there is none."""
    if isinstance(metric, m.ConditionalResolution):
        rows = metric.cluster_rows()
        if not len(rows) or explicit is None:
            return metric.absent(NO_EXPLICIT)
        if rows[:, 2].sum() == 0:
            return metric.absent(f"{NO_MENTION} (text {text!r})")
    return metric.score(seed=seed)


def _details(chosen: Mapping[str, m.StoryMetric], asset: PerceiverAsset) -> dict[str, Any]:
    """Return what explains the scores: evaluator, its accuracies, chance, and parts."""
    out: dict[str, Any] = {"evaluator": asset.id, "evaluator_accuracies": dict(asset.accuracies)}
    for metric in chosen.values():
        if isinstance(metric, m.AntecedentKappa):
            out["antecedent_chance"] = metric.guess_accuracy()
        elif isinstance(metric, m.DetailConsistency):
            out["detail_consistency_by_type"] = metric.by_type()
        elif isinstance(metric, m.Frechet):
            found = metric.jackknife()
            out["frechet_bias_corrected"] = None if found is None else found.corrected
            out["frechet_standard_error"] = None if found is None else found.standard_error
    return out


def _table_row(r: m.FrameRecord) -> dict[str, Any]:
    """Return one row of the frames table."""
    expected = Counter(r.expected)
    limited = {name: min(count, 2) for name, count in expected.items()}
    found = {name: count for name, count in r.reading.counts.items() if count}
    mentions = [
        {
            "surface": x.surface,
            "characters": list(x.characters),
            "distance": x.distance,
            "ambiguous": x.ambiguous,
            "resolved": set(x.characters) <= r.reading.characters,
        }
        for x in r.mentions
    ]
    return {
        "story": r.story,
        "frame": r.frame,
        "expected": list(r.expected),
        "predicted": sorted(found),
        "predicted_counts": json.dumps(found, sort_keys=True),
        "correct": set(expected) == set(found),
        "count_correct": limited == found,
        "setting_expected": r.setting,
        "setting_predicted": r.reading.setting,
        "setting_correct": r.setting == r.reading.setting,
        "details_expected": json.dumps(dict(r.details), sort_keys=True),
        "details_read": json.dumps(r.reading.details, sort_keys=True),
        "mentions": json.dumps(mentions),
        "mentions_total": len(mentions),
        "mentions_resolved": sum(x["resolved"] for x in mentions),
        "reason": "; ".join(_reasons(r, limited, found)),
    }


def _reasons(r: m.FrameRecord, expected: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    """Yield what is wrong with a frame in words; nothing for a right one."""
    if dict(expected) != dict(found):
        yield f"expected {_people(expected)}, found {_people(found)}"
    if r.setting != r.reading.setting:
        yield f"expected the setting {r.setting}, found {r.reading.setting}"


def _people(counts: Mapping[str, int]) -> str:
    """Return "Zara and Finn", "Zara twice", "nobody"."""
    names = [name if counts[name] == 1 else f"{name} twice" for name in sorted(counts)]
    if not names:
        return "nobody"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
