"""A board of any size for tests and benchmarks: real stories, the real schema, invented models.

No model draws here. Every story of ToonSV gets six invented performances: in performance v, v of its frames show what
a frame of another story should show. An invented model is a choice of one performance a story, by its ability and by
how hard the story is for all. Frames tables and the metrics of a classifier's reading follow from that choice through
the harness's own code; all other metrics are resampled around a real row of the board. The same arguments give the
same files, but for their dates.

    make_board(folder, rows=8, stories=32, benchmark="toonsv-mini-v1", thumbs=True)

The first rows are there at every size: true frames and strangers (``ground_truth``, ``shuffled``), a model with an
explicit twin, a card with markup in every text field, a withdrawn row, two rows that tie exactly, a long title, all
three levels. Pictures cost 20 ms a frame, so only the first ``DRAWN`` stories have their own; later ones borrow theirs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from storybench.benchmark import load_benchmark
from storybench.board.entry import Archive, Entry, ModelCard, Verification
from storybench.board.filling import write_row
from storybench.board.row import FRAMES, THUMBS, Board, row_name
from storybench.coreference.chance import cross_frame_mentions
from storybench.data.toonsv.dataset import ToonSV
from storybench.evaluation.rows import table_row
from storybench.metrics.base import cluster_key
from storybench.metrics.catalogue import BY_NAME
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Observation, Reading
from storybench.records.left_out import save_left_out
from storybench.records.record import RunRecord
from storybench.records.score import Score
from storybench.records.store import load_record
from storybench.statistics import bootstrap
from storybench.statistics.left_out import LeftOut
from storybench.statistics.statistic import leave_one_out
from storybench.story import Frame, Story

REAL = Path(__file__).parents[2] / "leaderboard" / "results" / "toonsv-v1"  # what is resampled
EVALUATOR = "toonsv-perceiver-v1"
READ = (  # metrics of the reading alone: computed, not invented
    "char_acc",
    "char_f1",
    "count_acc",
    "spurious_rate",
    "missing_rate",
    "count_error",
    "setting_acc",
    "antecedent_acc",
    "antecedent_acc_strict",
    "antecedent_acc_plural",
    "antecedent_acc_ambiguous",
)
TEXTS = ("referential", "explicit")
PERFORMANCES = 6  # 0 .. 5 frames of five that show somebody else's scene
THUMB_PX = 96
DRAWN = 32  # stories whose pictures are drawn
GROUPS = 20  # of clusters, that distances leave out
MARKUP = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\"><b>bold</b> **stars** $x^2$"
LONG = "A story visualization model with a title far longer than any column of any table should have to hold, twice"
Array = np.ndarray


def make_board(
    root: Path, rows: int, stories: int, *, benchmark: str = "toonsv-v1", seed: int = 0, thumbs: bool = True
) -> Board:
    """Write a board into ``root`` and return it.

    Args:
        root: Folder of the board; made if it is not there.
        rows: Number of rows, pinned ones and explicit twins among them; 8 or more show every kind.
        stories: Number of stories, the first of the benchmark's.
        benchmark: Name of a ToonSV benchmark version.
        seed: Of the models.
        thumbs: Whether to draw strips.
    """
    version = load_benchmark(benchmark)
    world = ToonSV(version.subset)
    told = [world[k] for k in range(stories)]
    stage = Stage(told, seed)
    strips = stage.strips() if thumbs else {}
    for number, actor in enumerate(actors(rows, stories, seed)):
        folder = root / benchmark / row_name(actor.card.name, actor.text)
        folder.mkdir(parents=True)
        _write_row(folder, actor, stage, benchmark, np.random.default_rng([seed, number]))
        if strips and actor.pinned is None:
            _write_thumbs(folder / THUMBS, actor.chosen, told, strips)
    return Board(root)


@dataclass(frozen=True)
class Actor:
    """An invented model in one text: which performance it gives of each story."""

    card: ModelCard
    text: str
    chosen: Array  # (K,) performance of each story
    ability: float
    level: str = "re-scored"
    pinned: str | None = None
    withdrawn: str | None = None


def actors(rows: int, stories: int, seed: int) -> list[Actor]:
    """Return the models of a board: pinned rows, the special ones, then ordinary ones with a twin now and then."""
    rng = np.random.default_rng([seed, 10**6])
    hard = rng.normal(0.0, 0.8, stories)  # of each story, for every model

    def chosen(ability: float) -> Array:
        wrong = 1 / (1 + np.exp(np.log(ability / (1 - ability)) - hard))
        return rng.binomial(PERFORMANCES - 1, wrong)

    def model(name: str, ability: float, text: str = "referential", **more: str | None) -> Actor:
        title = more.pop("title", None)
        return Actor(_card(name, title), text, chosen(ability), ability, **more)  # type: ignore[arg-type]

    spoilt = dict.fromkeys(("licence", "training_data", "description", "command"), MARKUP)
    spoilt |= {"authors": [MARKUP], "oracle_inputs": [MARKUP], "saw_test_stories": True}
    markup = _card("markup", MARKUP).model_copy(update=spoilt)
    truth, strangers = _card("ground_truth", "true frames"), _card("shuffled", "frames of other stories")
    all_right, all_wrong = np.zeros(stories, int), np.full(stories, PERFORMANCES - 1)
    tie = chosen(0.9)
    found = [
        Actor(truth, "referential", all_right, 0.99, pinned="ceiling"),
        Actor(strangers, "referential", all_wrong, 0.01, pinned="floor"),
        model("upper", 0.94, level="regenerated"),
        model("upper", 0.96, text="explicit", level="regenerated"),
        Actor(markup, "referential", chosen(0.85), 0.85, level="self-reported"),
        model("gone", 0.97, withdrawn="its frames were copies of the true ones <i>(found by a reader)</i>"),
        Actor(_card("twin-a", "Twin A"), "referential", tie, 0.9),
        Actor(_card("twin-b", "Twin B"), "referential", tie, 0.9),
        model("long", 0.8, title=LONG, level="self-reported"),
        Actor(truth, "explicit", all_right, 0.99, pinned="ceiling"),
        Actor(strangers, "explicit", all_wrong, 0.01, pinned="floor"),
    ]
    levels = ("self-reported", "re-scored", "regenerated")
    number = 0
    while len(found) < rows:
        ability = float(np.clip(rng.beta(6, 2), 0.05, 0.98))
        found.append(model(f"model-{number:03d}", ability, level=levels[number % 3]))
        if number % 2 == 0:
            easier = min(ability + 0.02, 0.985)  # to follow a name than a pronoun
            found.append(model(f"model-{number:03d}", easier, text="explicit", level=levels[number % 3]))
        number += 1
    return found[:rows]


class Stage:
    """All performances of all stories: the rows of their frames tables and the sums of their metrics."""

    def __init__(self, stories: Sequence[Story], seed: int) -> None:
        self.stories = stories
        # a seed of its own for each story: a board of fewer stories has the same ones
        self.shown = {s.id: _performances(s, stories, random.Random(f"{seed}/{s.id}")) for s in stories}
        self._tables: dict[str, pa.Table] = {}
        self._records: dict[str, list[list[list[FrameRecord]]]] = {}  # text -> [story][performance][frame]
        self._sums: dict[tuple[str, str], tuple[Array, Array]] = {}

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """Names of the units that a metric leaves out, in the order that metrics keep."""
        return tuple(f"{key:016x}" for key in sorted(cluster_key(s.id) for s in self.stories))

    def table(self, text: str, chosen: Array, rng: np.random.Generator, speed: float) -> pa.Table:
        """Return the frames table of a choice of performances."""
        if text not in self._tables:
            rows = [
                {**table_row(r), "sha256": hashlib.sha256(f"{r.story}/{v}/{r.frame}".encode()).hexdigest()}
                for story in self.records(text)
                for v, performance in enumerate(story)
                for r in performance
            ]
            self._tables[text] = pa.Table.from_pylist(rows)
        frames = len(self.stories[0].frames)
        first = (np.arange(len(self.stories)) * PERFORMANCES + chosen) * frames
        taken = self._tables[text].take(pa.array((first[:, None] + np.arange(frames)).ravel()))
        seconds = np.repeat(speed * rng.uniform(0.9, 1.1, len(self.stories)), frames)
        return taken.append_column("seconds", pa.array(seconds))

    def scored(self, metric: str, text: str, chosen: Array) -> tuple[Score, LeftOut] | None:
        """Return a metric of the reading for a choice of performances; None where it applies to no frame."""
        kind = BY_NAME[metric](EVALUATOR)
        if (metric, text) not in self._sums:
            rows = [[kind.row(performance) for performance in story] for story in self.records(text)]
            order = np.argsort([cluster_key(s.id) for s in self.stories])
            self._sums[metric, text] = np.asarray(rows, dtype=np.float64), order
        sums, order = self._sums[metric, text]
        rows = sums[np.arange(len(chosen)), chosen][order]  # (K, S)
        value = bootstrap.point(rows, kind.statistic)
        if np.isnan(value):
            return None
        without = leave_one_out(rows, kind.statistic)
        return _score(value, without, kind.bounds), LeftOut(value, self.clusters, without, np.ones(len(rows)))

    def records(self, text: str) -> list[list[list[FrameRecord]]]:
        """Return the judged frames of every story in every performance."""
        if text not in self._records:
            self._records[text] = [
                [_judged(story, text, shown) for shown in self.shown[story.id]] for story in self.stories
            ]
        return self._records[text]

    def strips(self) -> dict[tuple[int, int], bytes]:
        """Return (story number below ``DRAWN``, performance) -> WebP of its frames side by side."""
        small = {}
        out = {}
        for number, story in enumerate(self.stories[:DRAWN]):
            for v, frames in enumerate(self.shown[story.id]):
                for f in frames:
                    if f.id not in small:
                        small[f.id] = f.image.resize((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)
                strip = Image.new("RGB", (THUMB_PX * len(frames), THUMB_PX))
                for k, f in enumerate(frames):
                    strip.paste(small[f.id], (k * THUMB_PX, 0))
                buffer = io.BytesIO()
                strip.save(buffer, format="WEBP", quality=85)
                out[number, v] = buffer.getvalue()
        return out


def _performances(story: Story, stories: Sequence[Story], rng: random.Random) -> list[list[Frame]]:
    """Return for each performance the frames that are shown; in the last, none is right."""
    order = rng.sample(range(len(story.frames)), len(story.frames))
    others = [s for s in stories[:DRAWN] if s.id != story.id]
    strangers = [rng.choice(rng.choice(others).frames) for _ in story.frames]
    return [
        [strangers[k] if k in order[:v] else frame for k, frame in enumerate(story.frames)] for v in range(PERFORMANCES)
    ]


def _judged(story: Story, text: str, shown: Sequence[Frame]) -> list[FrameRecord]:
    """Return the records of a story whose frames show what ``shown`` are."""
    out = []
    for frame, other in zip(story.frames, shown, strict=True):
        counts = {c.name: min(other.characters.count(c.name), 2) for c in story.cast}
        reading = Reading(counts, other.setting, {}, dict(other.details))
        out.append(
            FrameRecord(
                story=story.id,
                frame=frame.index,
                cluster=story.id,
                expected=frame.characters,
                setting=frame.setting,
                details=frame.details,
                mentions=cross_frame_mentions(frame.captions[text].mentions),
                seen=Observation(reading=reading),
            )
        )
    return out


def _write_row(folder: Path, actor: Actor, stage: Stage, benchmark: str, rng: np.random.Generator) -> None:
    base = _real(actor)
    speed = float(np.exp(rng.normal(-1.0, 1.0)))
    scores: dict[str, Score] = {}
    left: dict[str, LeftOut] = {}
    for metric, score in base.scores.items():
        if score.value is None:
            scores[metric] = score
            continue
        read = metric in READ
        found = stage.scored(metric, actor.text, actor.chosen) if read else _resampled(score, actor, stage, rng)
        if found is None:
            absent = {"value": None, "low": None, "high": None, "standard_error": None, "n": 0}
            scores[metric] = score.model_copy(update={**absent, "reason": "no frame it applies to"})
            continue
        update = found[0].model_dump(include={"value", "low", "high", "standard_error", "clusters"})
        scores[metric] = score.model_copy(update=update)
        left[metric] = found[1]
    frames = sum(len(s.frames) for s in stage.stories)
    version = load_benchmark(benchmark)  # of whose stories a small board has only the first, and says so nowhere
    told = {"hash": version.texts[actor.text], "stories": len(stage.stories), "frames": frames}
    name = hashlib.sha256(f"{actor.card.name}/{actor.text}".encode()).hexdigest()[:16]
    record = base.model_copy(
        update={
            "fingerprint": name,
            "scores": scores,
            "text": actor.text,
            "split": version.subset,
            "dataset": base.dataset.model_copy(update=told),
            "coverage": base.coverage.model_copy(update={"expected": frames, "ok": frames}),
            "model": base.model.model_copy(update={"name": actor.card.name, "oracle": actor.pinned is not None}),
            "seconds_per_frame": None if actor.pinned else speed,
            "command": f"storybench run model={actor.card.name} text={actor.text}",
        }
    )
    archive = Archive(sha256=hashlib.sha256(name.encode()).hexdigest(), size=23_456_789)
    scored_by = actor.card.authors[0] if actor.level == "self-reported" else "the board"
    entry = Entry(
        benchmark=benchmark,
        card=actor.card,
        verification=Verification(
            level=actor.level,  # type: ignore[arg-type]
            sampled_by="the board" if actor.level == "regenerated" else actor.card.authors[0],
            scored_by=scored_by,
            date="2026-11-20T12:00:00+00:00",
            evidence={"frames_equal": 2490, "frames": 2500} if actor.level == "regenerated" else {},
        ),
        archive=None if actor.level == "self-reported" or actor.pinned else archive,
        pinned=actor.pinned,  # type: ignore[arg-type]
        withdrawn=actor.withdrawn,
    )
    write_row(folder, entry, record)
    save_left_out(left, folder)
    pq.write_table(stage.table(actor.text, actor.chosen, rng, speed), folder / FRAMES, compression="zstd")


def _real(actor: Actor) -> RunRecord:
    """Return the row of the repository's board that an actor is resampled from."""
    name = actor.card.name if actor.pinned else row_name("storygptv", actor.text)
    record = load_record(REAL / name)
    if actor.pinned and actor.text != "referential":  # what explicit text cannot have
        twin = load_record(REAL / row_name("storygptv", actor.text))
        scores = {m: twin.scores[m] if twin.scores[m].value is None else s for m, s in record.scores.items()}
        return record.model_copy(update={"scores": scores})
    return record


def _resampled(score: Score, actor: Actor, stage: Stage, rng: np.random.Generator) -> tuple[Score, LeftOut]:
    """Return a score between floor and ceiling by ability, as the mean of invented contributions of its units."""
    assert score.value is not None
    grouped = not score.fraction or score.protocol.split("/")[0] in ("precision", "recall", "coverage", "fd")
    units = stage.clusters
    if grouped:
        units = tuple(hashlib.sha256(f"{g}/{len(units)}".encode()).hexdigest()[:16] for g in range(GROUPS))
    count = len(units)
    value = score.value
    if actor.pinned is None:
        worst = score.floor if score.floor is not None else (value * 3 if not score.higher_is_better else value * 0.4)
        best = score.ceiling if score.ceiling is not None else value
        value = worst + (best - worst) * actor.ability**0.7
    spread = (score.standard_error or 1e-3) * np.sqrt(count)
    shared = np.random.default_rng(len(score.protocol)).normal(0, 0.6, count)  # units are hard for every model alike
    parts = value + spread * (shared + rng.normal(0, 0.8, count))
    parts += value - parts.mean()
    without = (parts.sum() - parts) / (count - 1)
    bounds = (0.0, 1.0) if score.fraction and 0 <= value <= 1 else (-np.inf, np.inf)
    return _score(value, without, bounds), LeftOut(value, units, without, np.ones(count))


def _score(value: float, without: Array, bounds: tuple[float, float]) -> Score:
    """Return a score with a normal interval of the jackknife's standard error, within the metric's bounds."""
    count = len(without)
    error = float(np.sqrt((count - 1) / count * np.nansum((without - np.nanmean(without)) ** 2)))
    low, high = max(bounds[0], value - 1.96 * error), min(bounds[1], value + 1.96 * error)
    return Score(
        value=value,
        low=low,
        high=high,
        standard_error=error,
        clusters=count,
        n=count,  # this and what follows is the real row's
        higher_is_better=True,
        protocol="",
    )


def _write_thumbs(folder: Path, chosen: Array, stories: Sequence[Story], strips: dict[tuple[int, int], bytes]) -> None:
    """Write a strip a story; equal ones are links to one file a board, since 100,000 copies would fill a disk."""
    folder.mkdir()
    pool = folder.parents[1] / ".strips"
    pool.mkdir(exist_ok=True)
    for number, (story, v) in enumerate(zip(stories, chosen.tolist(), strict=True)):
        one = pool / f"{number % DRAWN}-{v}.webp"
        if not one.exists():
            one.write_bytes(strips[number % DRAWN, v])
        os.link(one, folder / f"{story.id}.webp")


def _card(name: str, title: str | None = None) -> ModelCard:
    number = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16)
    return ModelCard(
        name=name,
        title=title,
        authors=[f"Author {number % 89}", f"Author {number % 97}"],
        licence="Apache-2.0" if number % 3 else "proprietary",
        parameters=10**6 * (1 + number % 900),
        training_data="The train stories of ToonSV.",
        saw_test_stories=False,
        description=json.dumps({"invented": name}),
        links={"paper": "https://example.org/paper", "code": "https://example.org/code"},
        seed=0,
        command=f"storybench run model={name}",
    )
