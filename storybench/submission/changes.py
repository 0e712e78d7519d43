"""What differs between two folders of a board, and which of it a pull request may do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from storybench.board.row import ENTRY, Board, Row
from storybench.errors import StorybenchError
from storybench.submission.archive import CHUNK

Kind = Literal["added", "changed", "removed"]


class Change(NamedTuple):
    """One row that differs."""

    id: str
    kind: Kind
    before: Row | None
    after: Row | None
    files: tuple[str, ...]  # that differ


def changes(base: Path, head: Path) -> list[Change]:
    """Return every row that was added, changed or removed from ``base`` to ``head``, by id."""
    old, new = _rows(base), _rows(head)
    found: list[Change] = []
    for id_ in sorted(old.keys() | new.keys()):
        before, after = old.get(id_), new.get(id_)
        one, other = _digests(before), _digests(after)
        files = tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))
        if before is None or after is None:
            found.append(Change(id_, "added" if before is None else "removed", before, after, files))
        elif files:
            found.append(Change(id_, "changed", before, after, files))
    return found


def is_withdrawal(change: Change) -> bool:
    """Return whether all that a change does is to say that a row no longer counts, and why."""
    if change.files != (ENTRY,) or change.before is None or change.after is None:
        return False
    try:
        before, after = change.before.entry, change.after.entry
    except StorybenchError:
        return False
    return after.withdrawn is not None and before.model_copy(update={"withdrawn": after.withdrawn}) == after


def rule_problems(change: Change) -> Iterator[tuple[str, str, str]]:
    """Yield kind, words and mend for what a pull request may not do to a row.

    Raises:
        StorybenchError: If an entry or a record cannot be read.
    """
    if change.kind == "removed":
        mend = f"put it back, and say why it no longer counts as withdrawn in its {ENTRY}"
        yield "removed", "is removed; rows that people have seen stay, as withdrawn", mend
    if change.after is None or is_withdrawal(change):
        return
    entry = change.after.entry
    if entry.verification.level == "regenerated":
        mend = "say re-scored; whoever keeps the board regenerates rows"
        yield "level", "says it was regenerated, which only the board itself can say", mend
    if entry.verification.level != "self-reported" and entry.archive is None:
        yield "no-archive", f"says it was {entry.verification.level}, and names no archive", "name it, or self-reported"
    if entry.pinned is not None or change.after.record.model.oracle:
        yield "pinned", "is a reference row, which only the board itself adds", "hand in a model's own frames"
    if change.before is not None:
        yield from _replaced(change.before, change.after)


def _replaced(before: Row, after: Row) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a row that takes the place of another."""
    old, new = before.entry, after.entry
    if old.card.version == new.card.version:
        mend = "give the card another version; the latest one counts, never the best"
        yield "version", f"replaces a row of the same version {new.card.version!a}", mend
    if not set(old.card.authors) & set(new.card.authors):
        mend = "call the model by another name, or ask an author of the row"
        yield "authors", "replaces a row of other authors", mend
    if old.withdrawn is not None and new.withdrawn is None and old.card.version == new.card.version:
        yield "withdrawn", "brings back a withdrawn row", "hand in another version"


def _rows(root: Path) -> dict[str, Row]:
    board = Board(root)
    return {row.id: row for benchmark in board.benchmarks() for row in board.rows(benchmark)}


def _digests(row: Row | None) -> dict[str, str]:
    """Return file -> hash of a row; links are not followed."""
    if row is None:
        return {}
    found = {}
    for path in sorted(row.folder.rglob("*")):
        name = path.relative_to(row.folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"
        elif path.is_file():
            total = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    total.update(chunk)
            found[name] = f"{total.hexdigest()} {path.stat().st_mode & 0o111}"
    return found
