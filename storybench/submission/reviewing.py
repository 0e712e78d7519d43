"""A pull request to the board, reviewed: what it changes, whether it may, and whether its numbers are those of its
frames.

Both boards are data. Code, data set and networks are those of the installation that reviews, never of the request.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from storybench.board.entry import Archive
from storybench.board.row import THUMBS, Board, Row
from storybench.errors import StorybenchError
from storybench.frames import FrameStore
from storybench.submission.board_checks import check_board
from storybench.submission.changes import Change, changes, is_withdrawal, rule_problems
from storybench.submission.claims import Claim, compare_claims
from storybench.submission.fetching import find_archive
from storybench.submission.report import Findings, Problem, Report, shown
from storybench.submission.scoring import Found, Opened, Refused, Setting, open_checked, score_opened

AGAIN = "write the row with storybench submit score from the archive that it names"
STRIP_DIFFERENCE = 6.0  # of 255, mean over a strip: two WebP encoders differ by less than 2, two stories by 30
FRAME_COLUMNS = ("story", "frame", "expected", "predicted", "correct", "count_correct", "reason")


@dataclass(frozen=True)
class RowReview:
    """One changed row."""

    change: Change
    problems: tuple[Problem, ...] = ()
    report: Report | None = None
    """Of the check of its archive."""
    claims: list[Claim] = field(default_factory=list)
    """Its scores beside those found."""

    @property
    def is_withdrawal(self) -> bool:
        """Whether the row only stops counting."""
        return is_withdrawal(self.change)


@dataclass(frozen=True)
class Review:
    """Everything a pull request does to a board."""

    base: Board
    head: Board
    rows: tuple[RowReview, ...]
    problems: tuple[Problem, ...]
    """Of the folder as a whole: orphans, contradictions."""

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        everything = [*self.problems, *(p for row in self.rows for p in row.problems)]
        return not any(p.severity == "error" for p in everything)


def review(base: Path, head: Path, setting: Setting, *, archives: Path | None = None) -> Review:
    """Return what a pull request does.

    Args:
        base: The board as it is.
        head: The board as it would be.
        setting: How archives are scored.
        archives: Folder with ``<sha256>.zip``; others are fetched.
    """
    before = {(p.where, p.what) for p in check_board(base)}
    problems = tuple(p for p in check_board(head) if (p.where, p.what) not in before)
    rows = tuple(_review_row(change, head, setting, archives) for change in changes(base, head))
    return Review(Board(base), Board(head), rows, problems)


def _review_row(change: Change, head: Path, setting: Setting, archives: Path | None) -> RowReview:
    findings = Findings()
    try:
        for kind, what, mend in rule_problems(change):
            findings.error(kind, change.id, what, mend)
        row = change.after
        if row is None or is_withdrawal(change) or row.entry.verification.level == "self-reported":
            return RowReview(change, findings.problems())
        if row.entry.archive is None:
            return RowReview(change, findings.problems())
        report, claims = _score_again(row, row.entry.archive, head, setting, archives, findings)
        return RowReview(change, findings.problems(), report, claims)
    except Refused as error:
        for problem in error.report.errors:
            findings.error(problem.kind, f"{change.id} archive {problem.where}", problem.what, problem.mend)
        return RowReview(change, findings.problems(), error.report)
    except StorybenchError as error:
        findings.error("review", change.id, str(error).rstrip("."), AGAIN)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:  # data of others in a trusted reader
        findings.error("review", change.id, f"cannot be read ({type(error).__name__}: {str(error)[:200]})", AGAIN)
    return RowReview(change, findings.problems())


def _score_again(
    row: Row, named: Archive, head: Path, setting: Setting, archives: Path | None, findings: Findings
) -> tuple[Report, list[Claim]]:
    """Score the archive of a row and say where the row differs from what is found."""
    with tempfile.TemporaryDirectory(prefix="storybench-review-") as folder, ExitStack() as stack:
        work = Path(folder)
        opened = _opened(named, row.folder.parent.name, row.record.text, setting, archives, work, stack)
        twin = _twin_archive(row, head)
        explicit = None
        if twin is not None:
            explicit = _opened(twin, row.folder.parent.name, None, setting, archives, work, stack)
        found = score_opened(opened, work / "scored", setting, explicit=explicit)
        claims = compare_claims(row.record, found.record)
        for kind, what in _differences(row, opened, found, claims):
            findings.error(kind, row.id, what, AGAIN)
        return opened.report, claims


def _opened(
    archive: Archive,
    benchmark: str,
    text: str | None,
    setting: Setting,
    archives: Path | None,
    work: Path,
    stack: ExitStack,
) -> Opened:
    file = stack.enter_context(find_archive(archive, archives, work).open("rb"))
    return open_checked(file, benchmark=benchmark, text=text, root=setting.root)


def _twin_archive(row: Row, head: Path) -> Archive | None:
    """Return the explicit archive that a row was scored beside, with the address that its own row gives."""
    stated = row.entry.verification.evidence.get("explicit_archive")
    if stated is None:
        return None
    archive = Archive.model_validate(stated)
    if archive.url is not None:
        return archive
    for other in Board(head).rows(row.folder.parent.name):
        named = other.entry.archive
        if named is not None and named.sha256 == archive.sha256:
            return named
    return archive


def _differences(row: Row, opened: Opened, found: Found, claims: list[Claim]) -> Iterator[tuple[str, str]]:
    """Yield kind and words for where a row is not what its archive gives."""
    if row.entry.card != opened.manifest.card:
        yield "card", "has another card than its archive"
    for claim in claims:
        if not claim.compared:
            yield "scores", f"has {shown(claim.metric)}, which its archive does not give ({claim.why[:100]})"
        elif not claim.holds:
            yield "scores", f"says {shown(claim.metric)} is {claim.claimed:.4f}, scoring gives {claim.found:.4f}"
    for metric, score in found.record.scores.items():
        claimed = row.record.scores.get(metric)
        if score.value is not None and (claimed is None or claimed.value is None):
            yield "scores", f"leaves out {metric}, which scoring gives"
    yield from _table_differences(row, found)
    yield from _strip_differences(row, opened, found)


def _table_differences(row: Row, found: Found) -> Iterator[tuple[str, str]]:
    """Yield where the table of frames, or that of clusters, is not what scoring gives."""
    mine, other = row.frames(), Row(found.run_dir).frames()
    for column in FRAME_COLUMNS:
        if column in other:
            told = [str(x) for x in mine[column]] if column in mine else []
            wrong = sum(a != str(b) for a, b in zip(told, other[column], strict=len(told) == len(other)))
            if len(told) != len(other) or wrong > len(other) // 100:
                yield "frames", f"has another column {column!r} of its frames in {wrong or 'all'} rows"
    left, again = row.left_out(), Row(found.run_dir).left_out()
    for metric, values in again.items():
        if metric not in left or left[metric].units != values.units:
            yield "left-out", f"has other clusters under {metric}"
        elif not np.allclose(left[metric].without, values.without, rtol=1e-3, atol=1e-3, equal_nan=True):
            yield "left-out", f"has other values without each cluster under {metric}"


def _strip_differences(row: Row, opened: Opened, found: Found) -> Iterator[tuple[str, str]]:
    """Yield where the strips are not of the frames of the archive."""
    with tempfile.TemporaryDirectory(prefix="storybench-strips-") as folder:
        made = FrameStore.of_run(found.run_dir).thumbs(opened.expected.counts, Path(folder))
        wrong = [path.stem for path in made if not _alike(path, row.folder / THUMBS / path.name)]
    if wrong:
        yield "strips", f"has no strip, or one of other pictures, of {len(wrong)} stories, the first {wrong[0]}"


def _alike(one: Path, other: Path) -> bool:
    try:
        pictures = []
        for path in (one, other):
            with Image.open(io.BytesIO(path.read_bytes()), formats=("WEBP",)) as image:
                if image.height * image.width > 1 << 22:
                    return False
                pictures.append(np.asarray(image.convert("RGB"), np.float64))
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return False
    return pictures[0].shape == pictures[1].shape and np.abs(pictures[0] - pictures[1]).mean() < STRIP_DIFFERENCE
