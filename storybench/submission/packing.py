"""A folder of frames as one archive: the same frames give the same bytes, and only what passes the check is written.

Frames are stored as they are, byte for byte, uncompressed, with a fixed date: pictures do not shrink, and a compressor
of another version would give other bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storybench.benchmark import benchmark_names, load_benchmark
from storybench.board.entry import ModelCard
from storybench.errors import ConfigError, DataError
from storybench.records.environment import benchmark_version
from storybench.records.record import RunRecord
from storybench.submission.checking import Progress, check_archive
from storybench.submission.expecting import Expectation
from storybench.submission.manifest import MANIFEST, FrameFile, Manifest
from storybench.submission.report import Findings, Report, shown

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can state
_MODE = 0o100644 << 16
_FRAME = re.compile(r"(0|[1-9][0-9]{0,3})\.(png|webp)")


@dataclass(frozen=True)
class Packed:
    """What :func:`pack` did: the report, and the archive if it passed."""

    report: Report
    path: Path | None


def pack(
    folder: Path,
    card: ModelCard,
    expected: Expectation,
    out: Path,
    *,
    record: RunRecord | None = None,
    seconds_per_frame: float | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Write the frames of a folder as an archive, if it passes the check.

    Args:
        folder: Holds ``<story id>/<k>.png`` (or lossless ``.webp``), or a folder ``frames`` with them.
        card: Of the model.
        expected: Benchmark version and text.
        out: The archive; an existing one is replaced, whole.
        record: The submitter's own record.
        seconds_per_frame: Drawing time; by default the record's.
        progress: Told how many frames were looked at.

    Raises:
        DataError: If there is no such folder.
    """
    frames = folder / "frames" if (folder / "frames").is_dir() else folder
    if not frames.is_dir():
        raise DataError(f"No folder of frames at '{folder}': expected <folder>/<story id>/<k>.png with k from 0.")
    findings = Findings()
    files = _collected(frames, expected, findings)
    if not any(files.values()):
        raise DataError(f"No frames in '{folder}': expected <folder>/<story id>/<k>.png with k from 0.")
    if seconds_per_frame is None and record is not None:
        seconds_per_frame = record.seconds_per_frame
    manifest = Manifest(
        schema_version=1,
        benchmark=expected.benchmark.name,
        text=expected.text,
        data_hash=expected.data_hash,
        ids_sha256=expected.ids_sha256,
        card=card,
        frames={story: [_frame_file(story, path) for path in paths] for story, paths in files.items() if paths},
        seconds_per_frame=seconds_per_frame,
        created=_created(record, files),
        packed_by=f"storybench {benchmark_version()}",
        record=record,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _write(file, manifest, files)
            file.flush()
            os.fsync(file.fileno())
        report = check_archive(temporary, expected=expected, progress=progress)
        found = (*findings.problems(), *report.problems)
        report = Report(tuple(sorted(found, key=lambda p: p.severity)), report.manifest, report.summary)
        if not report.ok:
            return Packed(report, None)
        temporary.chmod(0o644)
        os.replace(temporary, out)
        return Packed(report, out)
    finally:
        temporary.unlink(missing_ok=True)


def benchmark_of(record: RunRecord) -> str:
    """Return the benchmark version that a run is about.

    Raises:
        ConfigError: If it is about none: a part of a version, other stories, another text.
    """
    for name in benchmark_names():
        if record.dataset.hash == load_benchmark(name).texts.get(record.text, ""):
            return name
    raise ConfigError(
        f"Run {record.fingerprint} is not of a benchmark version ({record.dataset.name} {record.split}, text "
        f"{record.text}, {record.dataset.stories} stories): draw one of {', '.join(benchmark_names())} whole, or give "
        "benchmark=."
    )


def _collected(frames: Path, expected: Expectation, findings: Findings) -> dict[str, list[Path]]:
    """Return story -> its pictures in order, after saying what else lies there; hidden files are not looked at."""
    files: dict[str, list[Path]] = {}
    mend = "a folder of frames holds <story id>/<k>.png and nothing else"
    for story in sorted(p for p in frames.iterdir() if not p.name.startswith(".")):
        if not story.is_dir():
            findings.error("unknown-file", shown(story.name), "is not a folder of a story", mend)
        elif story.name not in expected.counts:
            what = f"is no story of {expected.benchmark.name}"
            findings.error("extra-story", shown(story.name), what, "take its folder away")
        else:
            files[story.name] = [path for _, path in sorted(_pictures(story, findings))]
    for story_id, count in expected.counts.items():
        there = {path.stem for path in files.get(story_id, [])}
        for k in range(count):
            if story_id in files and str(k) not in there:
                findings.error("missing-frame", f"{story_id}/{k}.png", "is missing", "draw it, then pack again")
    return files


def _pictures(story: Path, findings: Findings) -> Iterator[tuple[int, Path]]:
    for path in story.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_symlink() or not path.is_file() or not _FRAME.fullmatch(path.name):
            mend = "frames are called 0.png, 1.png, ... and are files"
            findings.error("unknown-file", shown(f"{story.name}/{path.name}"), "is not a frame", mend)
        else:
            yield int(path.stem), path


def _frame_file(story: str, path: Path) -> FrameFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FrameFile(file=f"frames/{story}/{path.name}", sha256=digest)


def _created(record: RunRecord | None, files: dict[str, list[Path]]) -> str:
    """Return when the frames were made: the end of the run, else the date of the newest file."""
    if record is not None and record.ended is not None:
        return record.ended
    newest = max(path.stat().st_mtime for paths in files.values() for path in paths)
    return datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")


def _write(file: object, manifest: Manifest, files: dict[str, list[Path]]) -> None:
    """Write the archive: the manifest first, then the frames in order."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:  # type: ignore[call-overload]
        archive.writestr(_info(MANIFEST), manifest.to_bytes())
        for story, paths in files.items():
            for path in paths:
                archive.writestr(_info(f"frames/{story}/{path.name}"), path.read_bytes())


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system, info.external_attr = 3, _MODE
    return info
