"""Reading files that others made: plain data comes back, anything else is one sentence, and nothing in them is run.

The published releases store dictionaries as pickles and captions as object arrays, and a pickle is a program. Here one
may only build containers, numbers, text and NumPy arrays: every name that it asks for is looked up in a closed table,
and what the table holds cannot be turned against the reader (array shapes and types are checked before NumPy sees
them). A file that is missing, cut short, of another encoding or not what its name says raises
:class:`~storybench.errors.DataError`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import pickle
import tokenize
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from storybench.errors import DataError

# What reading a broken array file raises; NumPy parses its header as Python, hence the last two.
_DAMAGE = (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError, SyntaxError, tokenize.TokenError)
_PLAIN_KINDS = "biufcSU"  # dtype kinds that hold no Python object and no address


def read_text(path: Path) -> str:
    """Return a UTF-8 file as text, line ends as they are, without a byte order mark.

    Raises:
        DataError: If it is missing, or is of another encoding; the sentence names the first wrong byte.
    """
    data = _bytes(path)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"'{path}' is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}; "
            "convert the file to UTF-8 or take it again from its source."
        ) from error


def read_json(path: Path, drop: Collection[str] = ()) -> Any:
    """Return a JSON file as plain data.

    Args:
        path: The file, in UTF-8.
        drop: Keys left out of every object while reading, so that a large annotation never lies in memory whole.

    Raises:
        DataError: If it is missing, cut short, not JSON or not UTF-8.
    """
    text = read_text(path)

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key not in drop}

    try:
        return json.loads(text, object_pairs_hook=keep if drop else None)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"'{path}' is cut short or not JSON ({error.msg}, {where}): take it again.") from error
    except RecursionError as error:
        raise DataError(f"'{path}' is nested too deeply to be an annotation: take it again.") from error


def read_csv_rows(path: Path) -> list[list[str]]:
    """Return the rows of a comma-separated UTF-8 file without header; fields as they are, empty lines left out.

    Raises:
        DataError: If it is missing, of another encoding or has a quote that never ends.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        where = f"line {reader.line_num}: {error}"
        raise DataError(f"'{path}' is cut short or not CSV ({where}): take it again from its source.") from error


def read_pickle(path: Path) -> Any:
    """Return a pickle of plain data: containers, numbers, text, bytes, None, NumPy arrays and scalars.

    Text of Python 2 is read as Latin-1, as the published loaders do.

    Raises:
        DataError: If it is missing, cut short, or asks for anything else; nothing it asks for is run.
    """
    return _unpickle(io.BytesIO(_bytes(path)), path)


def read_npy(path: Path, *, objects: bool = False, mmap: bool = False) -> np.ndarray:
    """Return the array of an ``.npy`` file.

    Args:
        path: The file.
        objects: Whether an array of Python objects is expected; it is read as :func:`read_pickle` reads.
        mmap: Map the file read-only: only what is looked at is read. Arrays of objects cannot be mapped.

    Raises:
        DataError: If it is missing, cut short, no array, or holds objects that are not expected or not plain.
    """
    try:
        with path.open("rb") as file:
            dtype, shape = _npy_header(file)
            if dtype.hasobject:
                return _object_array(file, shape, path, objects)
        loaded: np.ndarray = np.load(path, mmap_mode="r" if mmap and 0 not in shape else None, allow_pickle=False)
        return loaded
    except _DAMAGE as error:
        raise _unreadable(path, "a NumPy array (.npy)", error) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` archive by name.

    Raises:
        DataError: If it is missing, cut short, no archive, or holds Python objects.
    """
    try:
        if path.is_file() and not zipfile.is_zipfile(path):
            raise ValueError("no end of an archive")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (*_DAMAGE, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, "an archive of NumPy arrays (.npz)", error) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, "a file", error) from error


def _unreadable(path: Path, expected: str, error: BaseException) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"'{path}' is missing: restore it from the release, or give the folder that holds it.")
    if isinstance(error, (IsADirectoryError, PermissionError)):
        return DataError(f"'{path}' cannot be read ({error.strerror}): expected {expected} that this user may read.")
    why = " ".join(str(error).split()).rstrip(".:") or type(error).__name__
    return DataError(f"'{path}' is cut short or not {expected} ({why}): take it again from its source.")


def _npy_header(file: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    """Return dtype and shape of an ``.npy`` file and leave ``file`` at its data."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return dtype, tuple(shape)


def _object_array(file: BinaryIO, shape: tuple[int, ...], path: Path, expected: bool) -> np.ndarray:
    if not expected:
        raise DataError(f"'{path}' holds Python objects: expected an array of numbers; take it again from its source.")
    array = _unpickle(file, path)
    if not isinstance(array, np.ndarray) or array.size != math.prod(shape):
        raise DataError(f"'{path}' holds something other than its header says: take it again from its source.")
    return array.view(np.ndarray).reshape(shape)


def _unpickle(file: BinaryIO, path: Path) -> Any:
    try:
        content = _PlainUnpickler(file, path).load()
    except DataError:
        raise
    except Exception as error:  # a damaged stream can fail in any step of the machine that reads it
        raise _unreadable(path, "a pickle of plain data", error) from error
    return content.view(np.ndarray) if isinstance(content, _Array) else content


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler whose names come from :data:`_PLAIN` only."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for ``module.name`` here, or refuse."""
        if (found := _PLAIN.get((module.replace("numpy._core", "numpy.core"), name))) is not None:
            return found
        raise DataError(
            f"'{self.path}' asks for {module}.{name}, which is code and not data: expected containers, numbers, text "
            "and NumPy arrays only; nothing was run, take the file from a source that you trust."
        )


class _Constructor:
    """A callable that a pickle may use but not change: it has no attributes to set."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a constructor cannot be changed")

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)


class _DType:
    """Stands for ``numpy.dtype`` while a pickle builds one; ``real`` is checked NumPy."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = str(code), "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array of records")

    @property
    def real(self) -> np.dtype:
        """The NumPy type: numbers, text or objects."""
        dtype = np.dtype(self.code)
        if self.order == ">":
            dtype = dtype.newbyteorder(">")
        if dtype.kind not in _PLAIN_KINDS and dtype != np.dtype("O"):
            raise pickle.UnpicklingError(f"an array of type {self.code}")
        return dtype


class _Array(np.ndarray):
    """An array that checks what a pickle wants it to be before NumPy sees it."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:  # type: ignore[override]
        _, shape, dtype, fortran, raw = state
        real, count = dtype.real, math.prod(shape)
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        if min((*shape, 0)) < 0 or len(data) != count * (1 if real.hasobject else real.itemsize):
            raise pickle.UnpicklingError("an array whose data does not fill its shape")
        super().__setstate__((1, tuple(shape), real, bool(fortran), data))  # type: ignore[arg-type]


def _new_array(*_: Any) -> np.ndarray:
    """Stand for ``_reconstruct``, whose arguments say nothing: the state that follows makes the array."""
    return np.ndarray.__new__(_Array, (0,), np.dtype("u1"))


def _scalar(dtype: _DType, raw: bytes | str) -> Any:
    real = dtype.real
    if real.hasobject:
        raise pickle.UnpicklingError("a scalar of objects")
    return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, real, 1)[0]


def _from_buffer(raw: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(bytearray(raw), dtype.real).reshape(shape, order="F" if order == "F" else "C")


def _latin1(text: str, *_: Any) -> bytes:
    return text.encode("latin1")


def _new_bytes(content: Any = b"", *_: Any) -> bytes:
    if isinstance(content, str):
        return _latin1(content)
    return bytes(list(content))  # never bytes(n), which would be n zeros


def _default_dict(factory: Any = None, *_: Any) -> Any:
    if factory not in (None, list, dict, int):
        raise pickle.UnpicklingError("a defaultdict of something other than list, dict or int")
    return defaultdict(factory)


_PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): _Constructor(_default_dict),
    ("_codecs", "encode"): _Constructor(_latin1),  # how protocol 2 writes bytes
    ("numpy", "ndarray"): _Constructor(_new_array),
    ("numpy", "dtype"): _Constructor(_DType),
    ("numpy.core.multiarray", "_reconstruct"): _Constructor(_new_array),
    ("numpy.core.multiarray", "scalar"): _Constructor(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Constructor(_from_buffer),
    **{
        (module, name): kind
        for module in ("builtins", "__builtin__")
        for name, kind in {
            "list": list,
            "dict": dict,
            "tuple": tuple,
            "set": set,
            "frozenset": frozenset,
            "str": str,
            "int": int,
            "float": float,
            "complex": complex,
            "bool": bool,
            "bytes": _Constructor(_new_bytes),
            "bytearray": _Constructor(lambda *content: bytearray(_new_bytes(*content))),
        }.items()
    },
}
