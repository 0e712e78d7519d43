"""Where an export is written: a folder that appears whole, or stays as it was.

Everything is written into a hidden folder beside the target, which then takes its place: a rename where there was
nothing, two renames where an earlier export is replaced. An export is known by its marker file; a folder that holds
other things is never touched.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from storybench.errors import ConfigError, DataError

MARKER = ".storybench-export.json"
MARK = {"made_by": "storybench leaderboard export", "schema": 1}


def check_target(out: Path) -> None:
    """Raise ConfigError if ``out`` is neither absent, nor an empty folder, nor an earlier export."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"out='{out}' is a file: give a folder that does not exist yet.")
    if any(out.iterdir()) and not _is_export(out):
        raise ConfigError(
            f"out='{out}' holds files that are no earlier export ({MARKER} is missing there): give a folder of its own."
        )


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files (path from the folder -> bytes) as the folder ``out``.

    Raises:
        ConfigError: As :func:`check_target`.
        DataError: If a name leads out of the folder, or the folder cannot be written.
    """
    check_target(out)
    out = out.resolve()
    building = out.with_name(f".{out.name}.{secrets.token_hex(6)}.new")
    try:
        for name, data in sorted({**files, MARKER: _marker()}.items()):
            path = building / name
            if not path.resolve().is_relative_to(building):
                raise DataError(f"'{name}' leads out of the export.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        _place(building, out)
    except OSError as error:
        raise DataError(f"'{out}' cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _place(building: Path, out: Path) -> None:
    """Make ``building`` the folder ``out``; what was there vanishes after it."""
    if not out.exists():
        os.rename(building, out)
        return
    old = out.with_name(f".{out.name}.{secrets.token_hex(6)}.old")
    os.rename(out, old)
    try:
        os.rename(building, out)
    except OSError:
        os.rename(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_export(folder: Path) -> bool:
    try:
        content = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("made_by") == MARK["made_by"]


def _marker() -> bytes:
    return (json.dumps(MARK, sort_keys=True) + "\n").encode()
