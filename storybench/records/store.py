"""Records on disk: ``<run_root>/<fingerprint>/record.json``, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from storybench.errors import DataError
from storybench.frames import write_atomic
from storybench.records.migration import migrated
from storybench.records.record import SCHEMA_VERSION, RunRecord

RECORD = "record.json"


def save_record(record: RunRecord, run_dir: Path) -> Path:
    """Write ``record`` into its run folder and return the file."""
    path = run_dir / RECORD
    write_atomic(path, (record.model_dump_json(indent=2) + "\n").encode())
    return path


def load_record(path: Path) -> RunRecord:
    """Return the record of a file or of a run folder.

    Raises:
        DataError: If there is none, it is not a record, or its schema is newer than this storybench.
    """
    file = path / RECORD if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"No record at '{file}'. Make one with: storybench run model=NAME")
    try:
        content = json.loads(file.read_bytes())
        version = int(content["schema_version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"'{file}' is not a run record: expected a JSON object with 'schema_version'. "
            "Remove it and run the same command again; finished frames are kept."
        ) from error
    if version > SCHEMA_VERSION:
        raise DataError(
            f"'{file}' has record schema {version}, newer than {SCHEMA_VERSION}, the newest this storybench reads: "
            "upgrade storybench, or choose another run_root."
        )
    try:
        return RunRecord.model_validate(migrated(content, version))
    except (AttributeError, TypeError) as error:  # a step of the migration met something else than it expects
        raise DataError(f"'{file}' is not a valid run record of schema {version}: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"'{file}' is not a valid run record: {where}: {first['msg']}.") from error


def find_record(run_dir: Path) -> RunRecord | None:
    """Return the record of a run folder, or None if it has none yet."""
    return load_record(run_dir) if (run_dir / RECORD).is_file() else None
