"""A checked archive scored, as a finished run's folder.

The networks never run in this process: frames are written anew into a folder of their own, and a child process with an
empty home, no network and nothing of the caller's settings runs ``storybench evaluate`` on them, the command that
anybody can run. What it finds is compared with what the submitter claims; a difference is a remark on the row, for the
numbers of a re-scored row are always those found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from storybench.benchmark import Benchmark, load_benchmark
from storybench.board.entry import Archive
from storybench.errors import DataError
from storybench.records.fingerprint import fingerprint
from storybench.records.record import ModelInfo, RunRecord
from storybench.records.store import load_record, save_record
from storybench.submission.checking import Progress, check_archive
from storybench.submission.claims import Claim, compare_claims
from storybench.submission.expecting import Expectation, expectation
from storybench.submission.manifest import Manifest
from storybench.submission.process import evaluate_folder
from storybench.submission.report import Report
from storybench.submission.unpacking import unpack

BOARD = "the board"


class Refused(DataError):
    """An archive with errors; ``report`` names them all."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Setting:
    """How archives are scored, and what a row says of it."""

    by: str = BOARD
    """Who scores."""
    root: Path | None = None
    """Folder of the data set, for those that are not shipped."""
    device: str = "cpu"
    metrics: tuple[str, ...] = ()
    """Groups of metrics (``configs/metrics``); by default all."""
    progress: Progress | None = None
    """Told how many frames were looked at or written."""


@dataclass(frozen=True)
class Opened:
    """An archive that passed the check, and the file it was read from."""

    file: BinaryIO
    manifest: Manifest
    expected: Expectation
    report: Report

    @property
    def archive(self) -> Archive:
        """Hash and size of the file."""
        return Archive(sha256=self.report.summary["sha256"], size=self.report.summary["bytes"])


@dataclass(frozen=True)
class Found:
    """What scoring an archive found; ``run_dir`` holds record, tables and frames as a run's folder does."""

    record: RunRecord
    run_dir: Path
    claims: list[Claim] = field(default_factory=list)


def open_checked(
    file: BinaryIO,
    *,
    benchmark: str | Benchmark | None = None,
    text: str | None = None,
    root: Path | None = None,
    progress: Progress | None = None,
) -> Opened:
    """Return an open archive after checking it.

    Raises:
        Refused: If it has errors.
    """
    report = check_archive(file, benchmark=benchmark, text=text, root=root, progress=progress)
    if not report.ok or report.manifest is None:
        first = report.errors[0] if report.errors else None
        named = f"; the first: {first.where}: {first.what}" if first else ""
        message = (
            f"The archive cannot be scored ({report.counted}{named}). 'storybench submit check FILE' names them all."
        )
        raise Refused(message, report)
    version = benchmark if isinstance(benchmark, Benchmark) else load_benchmark(report.manifest.benchmark)
    return Opened(file, report.manifest, expectation(version, report.manifest.text, root), report)


def score_opened(opened: Opened, work: Path, setting: Setting, *, explicit: Opened | None = None) -> Found:
    """Score an archive in a clean process.

    Args:
        opened: The archive.
        work: A folder that is not there yet; gets frames, record and tables.
        setting: How.
        explicit: The archive of the same model from explicit text, for ``conditional_resolution``.

    Raises:
        DataError: If the twin is of another model or text, or the child fails.
    """
    run_dir, twin = work / "run", None
    if explicit is not None:
        _check_twin(opened, explicit)
        twin = work / "explicit"
        unpack(explicit.file, explicit.manifest, explicit.expected, twin, setting.progress)
    unpack(opened.file, opened.manifest, opened.expected, run_dir / "frames", setting.progress)
    evaluate_folder(
        opened.expected,
        run_dir,
        work,
        explicit=twin,
        root=setting.root,
        device=setting.device,
        metrics=setting.metrics,
    )
    record = _record(opened, load_record(run_dir))
    save_record(record, run_dir)
    claimed = opened.manifest.record
    return Found(record, run_dir, [] if claimed is None else compare_claims(claimed, record))


def _record(opened: Opened, scored: RunRecord) -> RunRecord:
    """Return the record of a row: what the child found, with what the card and the manifest say of the model."""
    manifest = opened.manifest
    digest = scored.model.sampler["frames"]
    model = ModelInfo.model_validate({**card_facts(manifest), "sampler": {"frames": digest}})
    details = dict(scored.details)
    if manifest.seconds_per_frame is not None:
        details["seconds_per_frame_by"] = "self-reported"
    seed = manifest.card.seed or 0
    named = fingerprint(
        dataset=scored.dataset.name,
        data_hash=scored.dataset.hash,
        subset=scored.split,
        text=scored.text,
        model=model.model_dump(),
        seed=seed,
    )
    return scored.model_copy(
        update={
            "fingerprint": named,
            "model": model,
            "seed": seed,
            "seconds_per_frame": manifest.seconds_per_frame,
            "details": details,
            "command": manifest.card.command or scored.command,
        }
    )


def card_facts(manifest: Manifest) -> dict[str, str]:
    """Return what a record calls the model of a card."""
    return {"name": manifest.card.name, "version": manifest.card.version}


def _check_twin(opened: Opened, twin: Opened) -> None:
    one, other = opened.manifest, twin.manifest
    if (one.card.name, one.card.seed, one.card.version) != (other.card.name, other.card.seed, other.card.version):
        raise DataError(
            f"explicit= is of {other.card.name} version {other.card.version} seed {other.card.seed}, the archive of "
            f"{one.card.name} version {one.card.version} seed {one.card.seed}: both must come from one model and seed."
        )
    if other.benchmark != one.benchmark or other.text == one.text:
        raise DataError(
            f"explicit= is of {other.benchmark} in text {other.text}: expected {one.benchmark} in the explicit text."
        )
