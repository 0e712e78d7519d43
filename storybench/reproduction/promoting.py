"""From an agreement to the row's verification: written into ``entry.json``, whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storybench.board.entry import Entry, Verification
from storybench.board.row import ENTRY, load_entry
from storybench.errors import ConfigError, DataError
from storybench.frames import write_atomic
from storybench.records.store import load_record
from storybench.reproduction.agreement import Agreement, as_json


def promote(folder: Path, score_key: str | None, found: Agreement, by: str, evidence: dict[str, Any]) -> Entry:
    """Write ``regenerated`` into the entry of a row and return the entry.

    Args:
        folder: Of the row.
        score_key: Of the record that was compared; a row that was replaced meanwhile is not promoted.
        found: What was found; it must agree.
        by: Who drew and scored, as the row will say.
        evidence: What stands beside the agreement: command, commit, packages.

    Raises:
        DataError: If the drawings do not agree, or the folder is no row.
        ConfigError: If ``by`` cannot stand in an entry.
    """
    if not found.agrees:
        raise DataError(f"'{folder}' is not promoted: {found.sentence}")
    entry = load_entry(folder / ENTRY)
    if load_record(folder).score_key != score_key:
        raise DataError(f"'{folder}' is not promoted: the row was replaced while its frames were drawn again.")
    try:
        verification = Verification(
            level="regenerated",
            sampled_by=by,
            scored_by=by,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            evidence={**as_json(found), **evidence},
        )
    except ValidationError as error:
        raise ConfigError(f"by is {by!r}: {error.errors()[0]['msg']}.") from error
    promoted = entry.model_copy(update={"verification": verification})
    write_atomic(folder / ENTRY, (promoted.model_dump_json(indent=2) + "\n").encode())
    return promoted
