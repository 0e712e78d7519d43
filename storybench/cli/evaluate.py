"""``storybench evaluate``: score frames made elsewhere, without drawing or copying any."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from storybench.board.row import FRAMES
from storybench.cli.config import EvaluateConfig, compose
from storybench.cli.flow import now, resolve_device
from storybench.cli.table import console, print_json, print_runs
from storybench.data.loading import frame_size, load_stories, open_dataset, text_mode
from storybench.frames import FrameStore, write_atomic
from storybench.generation import frame_counts, seconds_per_frame
from storybench.records.environment import benchmark_version, environment
from storybench.records.fingerprint import FINGERPRINT_VERSION, data_hash, fingerprint
from storybench.records.left_out import save_left_out
from storybench.records.record import Coverage, DatasetInfo, ModelInfo, RunRecord
from storybench.records.store import save_record

if TYPE_CHECKING:
    from storybench.evaluation import Evaluation


class ScoredFolder(NamedTuple):
    """A folder of frames, scored."""

    record: RunRecord
    evaluation: Evaluation
    store: FrameStore

    def write_tables(self, folder: Path) -> None:
        """Write the record, one row a frame, and what paired comparisons need, as a run's folder has them."""
        table = self.evaluation.frames.copy()
        table["sha256"] = [self.store.sha256(s, k) for s, k in zip(table["story"], table["frame"], strict=True)]
        table["seconds"] = self.record.seconds_per_frame
        buffer = io.BytesIO()
        table.astype({"seconds": "float64"}).to_parquet(buffer, index=False)
        write_atomic(folder / FRAMES, buffer.getvalue())
        save_left_out(self.evaluation.left_out, folder)
        save_record(self.record, folder)


def main(arguments: Sequence[str]) -> int:
    """Score a folder of frames and print its record."""
    if "--help" in arguments:
        print("usage: storybench evaluate frames=DIR [subset=test] [split=referential] [dataset=toonsv] [out=FILE]")
        print("       ... [tables=DIR]: record.json, frames.parquet and left_out.parquet, as a run has them")
        print("       storybench evaluate frames=DIR protocol=all|NAME[,NAME] [subset=test] [dataset=toonsv]")
        return 0
    from storybench.comparing_protocols import protocols_asked

    asked, words = protocols_asked(arguments)  # not Hydra's: a group of that name holds the protocols themselves
    config = compose("evaluate", words, EvaluateConfig)
    if asked:
        return compare_protocols_of(config, asked)
    scored = scored_folder(config, "storybench " + shlex.join(["evaluate", *arguments]))
    record = scored.record
    if config.tables is not None:
        scored.write_tables(Path(config.tables))
    if config.out is not None:
        write_atomic(Path(config.out), (record.model_dump_json(indent=2) + "\n").encode())
    if config.format == "json":
        print_json(record.model_dump(mode="json"))
    else:
        print_runs([record])
        if config.out is not None:
            print(f"record in {config.out}")
    return 0


def compare_protocols_of(config: EvaluateConfig, asked: Sequence[str]) -> int:
    """Print one folder of frames under several protocols of distribution distances."""
    from storybench.comparing_protocols import compare_protocols
    from storybench.perception.cache import ObservationCache, default_folder
    from storybench.perception.protocols.referring import sub_frames
    from storybench.protocol_scores import protocols_table

    store = FrameStore.of_folder(Path(config.frames))
    stories = load_stories(config.dataset, config.subset, config.limit, config.select)
    store.verify(frame_counts(stories), others_allowed=_is_part(config))
    truth = sub_frames(open_dataset(config.dataset, config.subset)) if config.limit is None else None
    with ObservationCache(default_folder()) as cache:
        scores = compare_protocols(stories, store, asked, resolve_device(config.device), truth=truth, cache=cache)
    if config.format == "json":
        print_json([score.to_dict() for score in scores])
    else:
        console().print(protocols_table(scores), soft_wrap=True)
    return 0


def _is_part(config: EvaluateConfig) -> bool:
    """Return whether a part of a subset is looked at; then the rest of it may lie in the same folder."""
    return config.limit is not None or config.select != "all"


def score_folder(config: EvaluateConfig, command: str) -> RunRecord:
    """Return the record of a folder of frames; see :func:`scored_folder`."""
    return scored_folder(config, command).record


def scored_folder(config: EvaluateConfig, command: str) -> ScoredFolder:
    """Return a folder of frames with its record and its tables.

    Raises:
        DataError: If a frame is missing, broken, of the wrong kind or not expected.
        ConfigError: If a name is unknown.
    """
    started = now()
    text = text_mode(config.dataset, config.text)
    store = FrameStore.of_folder(Path(config.frames))
    stories = load_stories(config.dataset, config.subset, config.limit, config.select)
    counts = frame_counts(stories)
    store.verify(counts, frame_size(stories), others_allowed=_is_part(config))
    model = ModelInfo(name=config.name, version="1", sampler={"frames": store.digest(counts)})
    hashed, total = data_hash(stories, text), sum(counts.values())
    from storybench.evaluation import evaluate
    from storybench.perception.cache import ObservationCache, default_folder

    device = resolve_device(config.device)
    explicit = None if config.explicit_frames is None else FrameStore.of_folder(Path(config.explicit_frames))
    if explicit is not None:
        explicit.verify(counts, frame_size(stories), others_allowed=_is_part(config))
    with ObservationCache(default_folder()) as cache:
        evaluation = evaluate(
            stories,
            store,
            text,
            explicit_frames=explicit,
            metrics=tuple(config.metrics) or None,
            device=device,
            cache=cache,
        )
    record = RunRecord(
        fingerprint=fingerprint(
            dataset=config.dataset["name"],
            data_hash=hashed,
            subset=config.subset,
            text=text,
            model=model.model_dump(),
            seed=0,
        ),
        fingerprint_version=FINGERPRINT_VERSION,
        benchmark_version=benchmark_version(),
        status="success",
        model=model,
        dataset=DatasetInfo(
            name=config.dataset["name"], hash=hashed, stories=len(stories), frames=total, select=config.select
        ),
        split=config.subset,
        text=text,
        seed=0,
        scores=evaluation.scores,
        details=evaluation.details,
        coverage=Coverage(expected=total, ok=total, fraction=1.0),
        seconds_per_frame=seconds_per_frame(store, counts),
        batch_size=1,
        environment=environment(device),
        command=command,
        started=started,
        ended=now(),
    )
    return ScoredFolder(record, evaluation, store)
