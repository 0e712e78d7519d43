"""SHA-256 of large files, each read once: the hash is remembered beside the file by size and time of change."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

RECORD = ".checked.json"
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Known:
    """What was measured of a file, and the size and time of change that it had then."""

    sha256: str
    bytes: int
    mtime_ns: int


class HashRecord:
    """The hashes of the files in one folder.

    A folder that cannot be written to keeps no record; its files are then hashed once a process.
    """

    def __init__(self, folder: Path, *, remember: bool = True) -> None:
        """Read the record of ``folder`` if there is one; with ``remember`` false nothing is read or written."""
        self.folder, self.remember = folder, remember
        self._known = _read(folder / RECORD) if remember else {}
        self._changed = False

    def sha256(self, path: Path) -> str | None:
        """Return the hash that was recorded of a file, whatever it holds now; None if none was."""
        known = self._known.get(self._name(path))
        return known.sha256 if known else None

    def measure(self, path: Path) -> str:
        """Return the hash of a file as it is now; one that has not changed since it was accepted is not read."""
        about = path.stat()
        known = self._known.get(self._name(path))
        if known and (known.bytes, known.mtime_ns) == (about.st_size, about.st_mtime_ns):
            return known.sha256
        return _sha256(path, about.st_size, about.st_mtime_ns)

    def accept(self, path: Path, digest: str) -> None:
        """Remember that ``path`` holds what it should, with this hash."""
        about = path.stat()
        known = Known(digest, about.st_size, about.st_mtime_ns)
        self._changed |= self._known.get(self._name(path)) != known
        self._known[self._name(path)] = known

    def save(self) -> None:
        """Write what is new, whole or not at all."""
        if not (self.remember and self._changed):
            return
        path = self.folder / RECORD
        temporary = path.with_name(f"{RECORD}.{os.getpid()}.tmp")
        text = json.dumps({name: asdict(known) for name, known in sorted(self._known.items())}, indent=1)
        with suppress(OSError):  # a read-only folder of weights is as good
            temporary.write_text(text + "\n")
            temporary.replace(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _read(path: Path) -> dict[str, Known]:
    """Return a record, empty if there is none or it is damaged: it only saves time, or starts anew."""
    try:
        return {name: Known(**row) for name, row in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@lru_cache(maxsize=512)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Return the SHA-256 of a file, read in blocks; size and time of change tell one content from the next."""
    del size, mtime_ns
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
