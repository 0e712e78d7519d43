"""How a row comes onto a board: whole, or not at all, whoever else writes and whenever a writer dies.

Failure model. Several processes may write into one board; each may die at any instant (``kill -9``, power):

1. a row is built in a hidden folder of its own, ``.<row>.<random>.new``, while its writer holds a lock on a file in it;
   no reader looks there, and nobody else removes it while its writer lives;
2. it takes its place in one step: a rename where there was no row, an exchange of the two folders where there was one
   (``renameat2`` of Linux; elsewhere two renames, of which the next writer finishes the second);
3. the board's lock orders the writers, so of two that write the same row the later wins, whole;
4. what dead writers left is removed by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storybench.board.entry import SLUG
from storybench.errors import DataError

LOCK, ALIVE = ".lock", ".alive"
NEW, OLD = ".new", ".old"
_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_AT_FDCWD = -100  # fcntl.h


@contextmanager
def new_row(root: Path, benchmark: str, name: str) -> Iterator[Path]:
    """Give an empty folder to write a row into; when the block ends well it takes the row's place, else it vanishes.

    Args:
        root: Folder of the board.
        benchmark: Name of the benchmark version.
        name: Of the row.

    Raises:
        DataError: If a name cannot be a folder of a board.
    """
    for what, value in (("benchmark", benchmark), ("row", name)):
        if not SLUG.fullmatch(value):
            raise DataError(f"{value!r} cannot name a {what}: expected small letters, digits, '-' and '_'.")
    home = root / benchmark
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / LOCK):
        _clean(home)
        building = home / f".{name}.{secrets.token_hex(8)}{NEW}"
        building.mkdir()
        alive = os.open(building / ALIVE, os.O_CREAT | os.O_RDWR, 0o644)
        _flock(alive)
    try:
        yield building
        _sync_all(building)
        with _locked(home / LOCK):
            _clean(home)  # somebody may have died since
            (building / ALIVE).unlink()
            _place(building, home / name)
            _sync(home)
    finally:
        shutil.rmtree(building, ignore_errors=True)  # a failed row, or after an exchange the one before
        os.close(alive)


def remove_row(root: Path, benchmark: str, name: str) -> None:
    """Take a row off a board in one step. Rows that people have seen are withdrawn instead (``Entry.withdrawn``).

    Raises:
        DataError: If there is no such row.
    """
    home = root / benchmark
    if not (home / name).is_dir():
        raise DataError(f"No row {benchmark}/{name} on the board '{root}'.")
    with _locked(home / LOCK):
        old = home / f".{name}.{secrets.token_hex(8)}{NEW}"
        os.rename(home / name, old)
    shutil.rmtree(old)


def _place(building: Path, target: Path) -> None:
    """Make ``building`` the folder ``target``."""
    if not target.exists():
        os.rename(building, target)
        return
    if _exchange(building, target):
        return
    old = target.with_name(f".{target.name}{OLD}")
    os.rename(target, old)
    os.rename(building, target)
    shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):  # an old kernel, or a file system without it
        return False
    raise OSError(number, os.strerror(number), str(other))


def _clean(home: Path) -> None:
    """Finish or remove what dead writers left; the board is locked."""
    for path in sorted(home.glob(f".*{OLD}")):
        target = home / path.name[1 : -len(OLD)]
        if target.exists():
            shutil.rmtree(path)
        else:
            os.rename(path, target)
    for path in sorted(home.glob(f".*{NEW}")):
        if not _is_alive(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(building: Path) -> bool:
    """Return whether the writer of a folder still runs: it holds the lock of a file in it.

    Living writers make and remove that file under the board's lock, which is held here: without it the writer is dead,
    or the folder is the row before, on its way out.
    """
    try:
        handle = os.open(building / ALIVE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_flock(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock of the board; the lock file stays."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        _flock(handle)
        yield
    finally:
        os.close(handle)  # releases the lock


def _flock(handle: int) -> None:
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_EX)


def _try_flock(handle: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_all(folder: Path) -> None:
    """Make every file below a folder durable, then the names in each folder."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is deeper comes first
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
