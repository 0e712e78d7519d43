"""The board's own rows: runs of this repository's models, put onto the board with their cards.

    python -m leaderboard.own_rows runs/cb483af83b4ebb7c runs/... timed=runs/...

Everybody else's rows come through ``storybench submit``. These are drawn and scored by the maintainers themselves, so
their level is ``regenerated``; when the row is there already, the evidence says how the new run agrees with it. A run
whose machine was busy says little of a model's speed: ``timed=`` names another run of the same model and text, which
may be of few stories, drawn while nothing else ran.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from leaderboard.data import RESULTS
from storybench.benchmark import Benchmark, benchmark_names, load_benchmark
from storybench.board.entry import Entry, ModelCard, Verification
from storybench.board.filling import add_run
from storybench.board.row import row_name
from storybench.cli.flow import now
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError, DataError
from storybench.generation import frame_counts
from storybench.records.record import RunRecord
from storybench.records.store import RECORD, load_record

CARDS = Path(__file__).parent / "cards"
PINNED: Mapping[str, Literal["ceiling", "floor"]] = {"ground_truth": "ceiling", "shuffled": "floor"}
WHO = "the storybench authors"


def main(runs: Sequence[str]) -> int:
    """Put each run onto the board and say where it is."""
    timed = [load_record(Path(word.removeprefix("timed="))) for word in runs if word.startswith("timed=")]
    for word in runs:
        if not word.startswith("timed="):
            print(add_own_row(Path(word), timed))
    return 0


def add_own_row(run_dir: Path, timed: Sequence[RunRecord] = (), root: Path = RESULTS) -> Path:
    """Put a finished run of one of our own models onto the board and return the row's folder.

    Args:
        run_dir: The run.
        timed: Runs that say how fast models draw.
        root: The board's folder.

    Raises:
        ConfigError: If the model has no card here, or no benchmark version asks for these stories.
        DataError: If the run is not scored.
    """
    record = load_record(run_dir)
    card = own_card(record)
    benchmark = benchmark_of(record)
    evidence: dict[str, Any] = {"frames": record.coverage.ok, "fingerprint": record.fingerprint}
    before = root / benchmark.name / row_name(card.name, record.text) / RECORD
    if before.is_file():
        evidence["against_the_row_before"] = agreement(load_record(before), record)
    for other in timed:
        if (other.model, other.text) == (record.model, record.text):
            record = record.model_copy(update={"seconds_per_frame": other.seconds_per_frame})
            evidence["timed_on_frames"] = other.dataset.frames
    verification = Verification(level="regenerated", sampled_by=WHO, scored_by=WHO, date=now(), evidence=evidence)
    entry = Entry(benchmark=benchmark.name, card=card, verification=verification, pinned=PINNED.get(record.model.name))
    return add_run(root, entry, run_dir, frame_counts(ToonSV(benchmark.subset)), record)


def own_card(record: RunRecord) -> ModelCard:
    """Return the card of one of our models, with the run's own seed and command.

    Raises:
        ConfigError: If it has none.
    """
    path = CARDS / f"{record.model.name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CARDS.glob("*.yaml")))
        raise ConfigError(f"Model {record.model.name!r} has no card here ({known}): use storybench submit instead.")
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)
    return ModelCard.model_validate({**content, "seed": record.seed, "command": record.command})


def benchmark_of(record: RunRecord) -> Benchmark:
    """Return the benchmark version whose stories a run drew.

    Raises:
        DataError: If there is none.
    """
    for name in benchmark_names():
        benchmark = load_benchmark(name)
        if record.dataset.hash == benchmark.texts.get(record.text):
            return benchmark
    raise DataError(f"No benchmark version asks for the stories of run {record.fingerprint}: draw a whole one.")


def agreement(before: RunRecord, after: RunRecord) -> dict[str, Any]:
    """Return how many scores of two records of one row are equal, and the largest difference of the others."""
    both = [m for m, score in after.scores.items() if m in before.scores and score.value is not None]
    pairs = [(before.scores[m].value, after.scores[m].value) for m in both if before.scores[m].value is not None]
    gaps = [abs(new - old) for old, new in pairs if old is not None and new is not None]
    return {
        "same_fingerprint": before.fingerprint == after.fingerprint,
        "metrics": len(gaps),
        "equal": sum(gap == 0 for gap in gaps),
        "largest_difference": max(gaps, default=0.0),
        "commit_before": before.environment.git_commit,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
