"""What networks saw before: one SQLite file keyed by (protocol id, picture). Nothing is looked at twice.

A protocol id names weights and preprocessing and a picture's key names its pixels, so an entry never goes stale;
deleting the file costs time only. Many processes may share it: SQLite locks, and an entry is written whole or not at
all. Without a folder a cache lives in a temporary file and dies with the object: the pass over the pixels always goes
through it, which keeps memory flat however many frames there are.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from safetensors import SafetensorError
from safetensors.numpy import load, save

from storybench.errors import DataError
from storybench.perception.observation import Arrays

VARIABLE = "STORYBENCH_CACHE"
FILE = "observations-1.sqlite"  # a number that rises with the layout
MANY = 500  # keys of one query
BUSY_S = 60.0


def default_folder() -> Path:
    """Return where caches live: ``$STORYBENCH_CACHE``, else ``storybench`` in the user's cache folder."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "storybench"


class ObservationCache:
    """Arrays by protocol id and picture."""

    def __init__(self, folder: Path | None) -> None:
        """Open the cache in ``folder``, made if it is not there; None for a temporary one.

        Raises:
            DataError: If the file cannot be opened as a cache.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="storybench-") if folder is None else None
        self.path = Path(self._scratch.name if self._scratch else str(folder)) / FILE
        with self._or_sentence():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=BUSY_S)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS seen (protocol TEXT, picture TEXT, arrays BLOB,"
                " PRIMARY KEY (protocol, picture)) WITHOUT ROWID"
            )

    def known(self, protocol: str, pictures: Sequence[str]) -> set[str]:
        """Return which of ``pictures`` were seen under ``protocol``.

        Raises:
            DataError: If the file is damaged; so do :meth:`read` and, on a full disk, :meth:`write`.
        """
        return {key for (key,) in self._select("picture", protocol, pictures)}

    def read(self, protocol: str, pictures: Sequence[str]) -> dict[str, Arrays]:
        """Return what was kept of ``pictures``; those never seen are not in it."""
        rows = self._select("picture, arrays", protocol, pictures)
        with self._or_sentence():
            return {key: load(blob) for key, blob in rows}

    def write(self, protocol: str, entries: Mapping[str, Arrays]) -> None:
        """Keep ``entries`` (picture -> arrays)."""
        with self._or_sentence(), self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)",
                [(protocol, key, save(dict(arrays))) for key, arrays in entries.items()],
            )

    def close(self) -> None:
        """Close the file; a temporary one is removed."""
        self._base.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _select(self, columns: str, protocol: str, pictures: Sequence[str]) -> list[tuple]:
        unique, rows = list(dict.fromkeys(pictures)), []
        for start in range(0, len(unique), MANY):
            part = unique[start : start + MANY]
            marks = ",".join("?" * len(part))
            query = f"SELECT {columns} FROM seen WHERE protocol = ? AND picture IN ({marks})"  # noqa: S608 - marks only
            with self._or_sentence():
                rows += self._base.execute(query, [protocol, *part]).fetchall()
        return rows

    @contextmanager
    def _or_sentence(self) -> Iterator[None]:
        """Turn what goes wrong with the file into one sentence."""
        try:
            yield
        except (sqlite3.Error, SafetensorError, OSError) as error:
            raise DataError(
                f"Cannot use the cache '{self.path}' ({error}): delete it, or set {VARIABLE} to a folder you can write."
            ) from error
