"""From an archive to a row of a board: scored by the board, or of the submitter's own record and labelled so."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from storybench.benchmark import Benchmark
from storybench.board.entry import Archive, Entry, Verification
from storybench.board.filling import add_run, write_row
from storybench.board.row import THUMBS, row_name
from storybench.board.writing import new_row
from storybench.errors import ConfigError, DataError
from storybench.frames import FrameStore
from storybench.records.record import RunRecord
from storybench.submission.claims import Claim
from storybench.submission.report import Report
from storybench.submission.scoring import Found, Opened, Setting, card_facts, open_checked, score_opened
from storybench.submission.unpacking import unpack

EXPLICIT = "explicit"
MAX_WARNINGS, MAX_LINE = 50, 200  # storybench.board.entry
MAX_UNSEEN = 4  # metrics named in one line


@dataclass(frozen=True)
class Scored:
    """A row that was written, what it says, and the report of the check."""

    row: Path
    record: RunRecord
    claims: list[Claim]
    report: Report


def score_archive(
    source: Path,
    board: Path,
    setting: Setting,
    *,
    url: str | None = None,
    explicit: Path | None = None,
    benchmark: str | Benchmark | None = None,
) -> Scored:
    """Check and score an archive, and write its row.

    Args:
        source: The archive.
        board: Folder of the board.
        setting: How.
        url: Where anybody can fetch the archive.
        explicit: The archive of the same model from explicit text.
        benchmark: The version it must be of; None: what it says.

    Raises:
        Refused: If an archive has errors.
        DataError: If it cannot be read or scored.
    """
    check_url(url)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="storybench-submission-")))
        file = stack.enter_context(_open(source))
        opened = open_checked(file, benchmark=benchmark, root=setting.root, progress=setting.progress)
        twin = None
        if explicit is not None:
            other = stack.enter_context(_open(explicit))
            twin = open_checked(other, benchmark=benchmark, text=EXPLICIT, root=setting.root, progress=setting.progress)
        found = score_opened(opened, folder / "scored", setting, explicit=twin)
        entry = _entry(opened, _verified(opened, twin, found, setting.by), url, remarks(found))
        row = add_run(board, entry, found.run_dir, opened.expected.counts)
        return Scored(row, found.record, found.claims, opened.report)


def trust_record(
    source: Path, board: Path, setting: Setting, *, url: str | None = None, benchmark: str | Benchmark | None = None
) -> Scored:
    """Write a row of the submitter's own record, labelled as self-reported; nothing is scored.

    Raises:
        Refused: If the archive has errors.
        DataError: If it holds no record with scores.
    """
    check_url(url)
    with _open(source) as file:
        opened = open_checked(file, benchmark=benchmark, root=setting.root, progress=setting.progress)
        claimed = opened.manifest.record
        if claimed is None or not claimed.scores:
            raise DataError("The archive holds no record with scores: pack it with record=FILE, or let it be scored.")
        by = opened.manifest.card.authors[0]
        record = claimed.model_copy(update={"model": claimed.model.model_copy(update=card_facts(opened.manifest))})
        entry = _entry(opened, Verification(level="self-reported", sampled_by=by, scored_by=by, date=today()), url, [])
        name = row_name(entry.card.name, record.text)
        with tempfile.TemporaryDirectory(prefix="storybench-submission-") as folder:
            unpack(file, opened.manifest, opened.expected, Path(folder))
            with new_row(board, entry.benchmark, name) as row:
                write_row(row, entry, record)
                FrameStore.of_folder(Path(folder)).thumbs(opened.expected.counts, row / THUMBS)
        return Scored(board / entry.benchmark / name, record, [], opened.report)


def check_url(url: str | None) -> None:
    """Raise unless an address can stand in an entry.

    Raises:
        ConfigError: If it is not https.
    """
    try:
        Archive(sha256="0" * 64, size=0, url=url)
    except ValidationError as error:
        raise ConfigError(
            f"url={url}: expected an address that begins with https://, without spaces or quotes."
        ) from error


def today() -> str:
    """Return the time as UTC in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def remarks(found: Found | Scored) -> list[str]:
    """Return what a row says of the claims that came with it."""
    lines = [
        f"claimed {c.metric} {c.claimed:.4f}, found {c.found:.4f}{': ' + c.why if c.why else ''}"
        for c in found.claims
        if not c.holds and c.compared
    ]
    unseen = [c.metric for c in found.claims if not c.compared]
    if unseen:
        more = f" and {len(unseen) - MAX_UNSEEN} more" if len(unseen) > MAX_UNSEEN else ""
        lines.append(f"claimed, and not to be scored from these frames: {', '.join(unseen[:MAX_UNSEEN])}{more}")
    return lines


def _verified(opened: Opened, twin: Opened | None, found: Found, by: str) -> Verification:
    evidence: dict[str, Any] = {"frames": opened.expected.frames}
    if twin is not None:
        evidence["explicit_archive"] = twin.archive.model_dump(mode="json")
    if found.claims:
        compared = [c for c in found.claims if c.compared]
        evidence["claims"] = {"compared": len(compared), "held": sum(c.holds for c in compared)}
    return Verification(
        level="re-scored",
        sampled_by=opened.manifest.card.authors[0],
        scored_by=by,
        date=today(),
        evidence=evidence,
    )


def _entry(opened: Opened, verification: Verification, url: str | None, lines: Sequence[str]) -> Entry:
    said = [f"{p.where}: {p.what}" for p in opened.report.warnings]
    return Entry(
        benchmark=opened.expected.benchmark.name,
        card=opened.manifest.card,
        verification=verification,
        archive=opened.archive.model_copy(update={"url": url}),
        warnings=[line[:MAX_LINE] for line in [*lines, *said]][:MAX_WARNINGS],
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"Cannot read the archive '{path}' ({error.strerror}): give the path of one.") from error
