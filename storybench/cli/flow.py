"""One run, from a configuration to its record: what ``run`` and ``demo`` share.

The record is written when a run starts, when it fails and when it is scored, so a run folder always says what it is.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from storybench.cli.config import RunConfig, build
from storybench.cli.paper import Repeats, repeats
from storybench.coreference.counterfactual import TEXT as SWAPPED
from storybench.coreference.counterfactual import VERSION as SWAP_VERSION
from storybench.coreference.counterfactual import Swapped, swap_stories
from storybench.data.loading import frame_size, load_stories, text_mode
from storybench.errors import ConfigError
from storybench.frames import FrameStore, write_atomic
from storybench.generation import ConsoleProgress, bind, frame_counts, generate, seconds_per_frame
from storybench.oracle import is_oracle
from storybench.perception.catalogue import all_assets
from storybench.records.environment import benchmark_version, environment
from storybench.records.fingerprint import FINGERPRINT_VERSION, canonical_json, data_hash, fingerprint
from storybench.records.left_out import LEFT_OUT, save_left_out
from storybench.records.record import Coverage, DatasetInfo, ModelInfo, RunRecord, Status
from storybench.records.score import Score
from storybench.records.store import find_record, save_record
from storybench.story import Story

if TYPE_CHECKING:
    import pandas

    from storybench.visualizer import StoryVisualizer

EXPLICIT = "explicit"  # the text mode whose run is the other half of conditional_resolution
MISSING_NAMED = 20  # stories without frames that a record names


@dataclass(frozen=True)
class Finished:
    """A run that is done: its record, its folder and its stories."""

    record: RunRecord
    run_dir: Path
    stories: Sequence[Story]
    fresh: bool  # whether anything was drawn or scored now
    paper: Repeats | None = None  # the published row that the run repeats

    @property
    def store(self) -> FrameStore:
        """The frames."""
        return FrameStore.of_run(self.run_dir)


@dataclass(frozen=True)
class _Run:
    """Everything about a run that is known before its first frame."""

    config: RunConfig
    text: str
    device: str
    model: StoryVisualizer
    info: ModelInfo
    stories: Sequence[Story]
    dataset: DatasetInfo
    run_dir: Path
    twin_dir: Path | None  # the same run on explicit text; None for explicit text itself and for oracles, blind to text
    swap_dir: Path | None  # the same run with a name swapped; None likewise
    command: str
    started: str

    @property
    def counts(self) -> dict[str, int]:
        """Story id -> frames."""
        return frame_counts(self.stories)

    @property
    def store(self) -> FrameStore:
        """The frames."""
        return FrameStore.of_run(self.run_dir)

    @property
    def explicit(self) -> FrameStore | None:
        """The same stories drawn from explicit text with the same noise, if all of them are there."""
        if self.twin_dir is None:
            return None
        twin = FrameStore.of_run(self.twin_dir)
        return twin if len(twin.finished(self.counts)) == len(self.stories) else None

    @cached_property
    def swapped(self) -> list[Swapped]:
        """Stories with a name swapped before a frame that refers to it."""
        return swap_stories(self.stories, self.text)

    @property
    def counterfactual(self) -> FrameStore | None:
        """The frames of the swapped stories, if all of them are there."""
        if self.swap_dir is None or not self.swap_dir.is_dir():
            return None
        store, counts = FrameStore.of_run(self.swap_dir), frame_counts([s.story for s in self.swapped])
        return store if counts and len(store.finished(counts)) == len(counts) else None

    @property
    def score_key(self) -> str:
        """Names what the scores depend on."""
        beside = {"explicit": self.explicit, "counterfactual": self.counterfactual}
        return score_key(self.store, beside, self.counts, tuple(self.config.metrics))


def execute(config: RunConfig, command: Sequence[str]) -> Finished:
    """Draw what is not drawn, score what is not scored, and return the run.

    Args:
        config: What to run.
        command: The words it was asked for with, for the record.

    Raises:
        StorybenchError: One sentence about what the user must mend; the record then has status ``error``.
    """
    paper = repeats(config)
    run = _prepare(config, command)
    if config.paired and run.twin_dir is not None and run.explicit is None:
        execute(replace(config, text=EXPLICIT, paired=False), command)
    if config.counterfactual and run.swap_dir is not None and run.counterfactual is None:
        _draw_swapped(run)
    record = find_record(run.run_dir)
    whole = len(run.store.finished(run.counts)) == len(run.stories)
    scored = record is not None and record.status == "success" and record.score_key == run.score_key
    scored = scored and (run.run_dir / LEFT_OUT).is_file()  # runs of older versions kept no such table
    if record is not None and scored and whole and not config.rescore:
        return Finished(record, run.run_dir, run.stories, fresh=False, paper=paper)
    if record is not None:
        run = replace(run, started=record.started)
    check = getattr(run.model, "check", None)
    if check is not None and not whole:
        check(run.counts, frame_size(run.stories))
    _write_config(run)
    try:
        _save(run, "started")
        _draw(run)
        run.store.verify(run.counts, frame_size(run.stories))
        record = _score(run)
    except KeyboardInterrupt:
        _save(run, "incomplete", "interrupted")
        raise
    except Exception as error:
        _save(run, "error", str(error) or type(error).__name__)
        raise
    return Finished(record, run.run_dir, run.stories, fresh=True, paper=paper)


def model_info(model: StoryVisualizer) -> ModelInfo:
    """Return what ``model`` says of itself, checked.

    Raises:
        ConfigError: If ``identity()`` is missing or lacks a name.
    """
    identity = getattr(model, "identity", None)
    if not callable(identity) or not callable(getattr(model, "visualize", None)):
        raise ConfigError(
            f"{type(model).__name__} is not a model: expected visualize(stories, *, seed) and identity() "
            "(storybench.visualizer.StoryVisualizer)."
        )
    said = identity()
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
        raise ConfigError(f"{type(model).__name__}.identity() must be a mapping with at least 'name', got {said!r}.")
    canonical_json(said)  # raises on what cannot be hashed
    return ModelInfo.model_validate({**{str(k): v for k, v in said.items()}, "oracle": is_oracle(model)})


def resolve_device(device: str) -> str:
    """Return ``device``; ``auto`` is the first GPU if there is one."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def score_key(
    store: FrameStore, beside: Mapping[str, FrameStore | None], counts: Mapping[str, int], metrics: Sequence[str]
) -> str:
    """Return a hash of the committed frames and of what would score them now; nothing heavy is loaded."""

    def hashes(frames: FrameStore) -> dict[str, list[str]]:
        committed = frames.committed()
        return {i: list(committed[i].sha256) for i in counts if i in committed}

    weights = Path(__file__).resolve().parents[1] / "perception" / "weights"
    key = {
        "frames": hashes(store),
        "beside": {name: None if frames is None else hashes(frames) for name, frames in beside.items()},
        "evaluators": {
            path.relative_to(weights).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(weights.glob("*/manifest.json"))  # a manifest holds the hash of every file beside it
        },
        "found": sorted(asset.id for asset in all_assets() if asset.path.exists()),  # by their users
        "metrics": sorted(metrics),
        "version": benchmark_version(),
    }
    return hashlib.sha256(canonical_json(key).encode()).hexdigest()


def now() -> str:
    """Return the time as UTC in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _prepare(config: RunConfig, command: Sequence[str]) -> _Run:
    """Return the run that ``config`` names, with its model built and its stories loaded."""
    started = now()
    text = text_mode(config.dataset, config.text)
    stories = load_stories(config.dataset, config.subset, config.limit, config.select)
    wants_device = "device" in config.model
    device = resolve_device(config.device) if wants_device else config.device
    node = {**config.model, "device": device} if wants_device and config.model["device"] == "auto" else config.model
    model: StoryVisualizer = build(node, "model")
    bind(model, stories)
    info = model_info(model)
    hashed = _data_hash(config, stories, text)

    def folder(mode: str, data: str) -> Path:
        name = fingerprint(
            dataset=config.dataset["name"],
            data_hash=data,
            subset=config.subset,
            text=mode,
            model=info.model_dump(),
            seed=config.seed,
        )
        return Path(config.run_root) / name

    run_dir = folder(text, hashed)
    explicit = text_mode(config.dataset, EXPLICIT)
    paired = text != explicit and not info.oracle
    twin_dir = folder(explicit, _data_hash(config, stories, explicit)) if paired else None
    swap_dir = folder(f"{SWAPPED}-{SWAP_VERSION}:{text}", hashed) if paired else None
    dataset = DatasetInfo(
        name=config.dataset["name"],
        hash=hashed,
        stories=len(stories),
        frames=sum(len(s.frames) for s in stories),
        select=config.select,
    )
    words = "storybench " + shlex.join(command)
    return _Run(config, text, device, model, info, stories, dataset, run_dir, twin_dir, swap_dir, words, started)


def _data_hash(config: RunConfig, stories: Sequence[Story], text: str) -> str:
    """Return the hash of what is asked; portraits that the user brings decide frames, too."""
    hashed = data_hash(stories, text)
    if config.dataset.get("portraits") is None:
        return hashed
    pictures = [c.portrait().tobytes() for c in stories[0].cast if c.portrait is not None]
    return hashlib.sha256(b"".join([hashed.encode(), *pictures])).hexdigest()


def _draw(run: _Run) -> None:
    """Draw the stories that are not finished."""
    done = len(run.store.finished(run.counts))
    if done:
        print(f"{run.info.name}: {done} of {len(run.stories)} stories are finished and kept", file=sys.stderr)
    if done == len(run.stories):
        return
    with ConsoleProgress(run.info.name, len(run.stories), done) as progress:
        generate(
            run.model,
            run.stories,
            run.store,
            run.text,
            run.config.seed,
            run.config.batch_size,
            progress,
            frame_size(run.stories),
        )


def _draw_swapped(run: _Run) -> None:
    """Draw the stories with a name swapped, with the noise of the run itself; a run folder of its own keeps them."""
    if not run.swapped:
        return
    assert run.swap_dir is not None
    stories = [swapped.story for swapped in run.swapped]
    counts = frame_counts(stories)
    dataset = run.dataset.model_copy(update={"stories": len(stories), "frames": sum(counts.values())})
    other = replace(
        run, stories=stories, text=SWAPPED, dataset=dataset, run_dir=run.swap_dir, twin_dir=None, swap_dir=None
    )
    _write_config(other)
    _save(other, "started")
    _draw(other)
    other.store.verify(counts, frame_size(stories))
    _save(other, "success", "drawn for flip_rate of its twin; not scored by itself")


def _score(run: _Run) -> RunRecord:
    """Score the frames, write ``frames.parquet`` and the final record."""
    from storybench.evaluation import evaluate
    from storybench.perception.cache import ObservationCache, default_folder

    with ObservationCache(default_folder()) as cache:
        evaluation = evaluate(
            run.stories,
            run.store,
            run.text,
            explicit_frames=run.explicit,
            swapped_frames=run.counterfactual,
            swaps=[swapped.swap for swapped in run.swapped] if run.counterfactual is not None else (),
            metrics=tuple(run.config.metrics) or None,
            cache=cache,
        )
    write_frames(evaluation.frames, run.store, run.run_dir)
    save_left_out(evaluation.left_out, run.run_dir)
    return _save(run, "success", scores=evaluation.scores, details=evaluation.details)


def write_frames(frames: pandas.DataFrame, store: FrameStore, run_dir: Path) -> None:
    """Write one row a frame: what the metrics saw, the hash of the file and the time it took."""
    import io

    committed = store.committed()
    table = frames.copy()
    pairs = list(zip(table["story"], table["frame"], strict=True))
    table["sha256"] = [committed[s].sha256[k] for s, k in pairs]
    table["seconds"] = [committed[s].seconds / len(committed[s].sha256) for s, _ in pairs]
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    write_atomic(run_dir / "frames.parquet", buffer.getvalue())


def _save(
    run: _Run,
    status: Status,
    reason: str | None = None,
    scores: Mapping[str, Score] | None = None,
    details: Mapping[str, Any] | None = None,
) -> RunRecord:
    """Write and return the record as things stand."""
    counts = run.counts
    done = run.store.finished(counts)
    expected = sum(counts.values())
    ok = sum(counts[i] for i in done)
    record = RunRecord(
        fingerprint=run.run_dir.name,
        fingerprint_version=FINGERPRINT_VERSION,
        benchmark_version=benchmark_version(),
        status=status,
        reason=reason,
        model=run.info,
        dataset=run.dataset,
        split=run.config.subset,
        text=run.text,
        seed=run.config.seed,
        scores=dict(scores or {}),
        score_key=run.score_key if scores is not None else None,
        details=dict(details or {}),
        coverage=Coverage(
            expected=expected,
            ok=ok,
            fraction=ok / expected,
            missing=[i for i in counts if i not in done][:MISSING_NAMED],
        ),
        seconds_per_frame=seconds_per_frame(run.store, counts),
        batch_size=run.config.batch_size,
        environment=environment(run.device),
        command=run.command,
        started=run.started,
        ended=None if status == "started" else now(),
    )
    save_record(record, run.run_dir)
    return record


def _write_config(run: _Run) -> None:
    """Write the composed configuration once; a run that continues keeps the first."""
    path = run.run_dir / "config.yaml"
    if not path.exists():
        content: dict[str, Any] = asdict(run.config)
        write_atomic(path, OmegaConf.to_yaml(OmegaConf.create(content)).encode())
