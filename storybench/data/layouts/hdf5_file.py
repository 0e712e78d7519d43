"""ARLDM's HDF5 file: groups ``train``, ``val``, ``test``, each with ``image0``..``image4`` and ``text``.

A row is a story of five frames. An image is a PNG of the whole strip of a clip; its RGB went through OpenCV, which
takes it for BGR, so that red and blue are swapped in the file: PIL decodes them swapped, and they are swapped back
here. ``text`` is five captions joined by ``|``, without line breaks and tabs, which were deleted and not spaced. The
file holds no ids.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from storybench.data.layouts.pororo_strip import open_strip
from storybench.errors import DataError

GROUPS = ("train", "val", "test")
FRAMES = 5
ENDINGS = (".h5", ".hdf5")
Place = tuple[str, int, int]  # group, row, frame


def is_h5(path: Path) -> bool:
    """Return whether a file is called like HDF5."""
    return path.suffix in ENDINGS and path.is_file()


def find_h5(root: Path, dataset: str) -> Path | None:
    """Return the HDF5 file of a folder, or ``root`` itself if it is one; of several the one that names the data set.

    Raises:
        DataError: If there are several and not one of them names it.
    """
    if root.is_file():
        return root if is_h5(root) else None
    found = sorted(p for p in root.iterdir() if is_h5(p))
    named = [p for p in found if dataset in p.stem.lower()]
    if len(found) > 1 and len(named) != 1:
        listed = ", ".join(p.name for p in found[:5])
        raise DataError(f"'{root}' holds several HDF5 files ({listed}): leave one, or name one after {dataset}.")
    return next(iter(named or found), None)


class StripFile:
    """One file, opened anew for each read: nothing is held, so that workers may share it and memory stays flat."""

    def __init__(self, path: Path) -> None:
        """Remember where the file is; nothing is read yet."""
        self.path = path

    def texts(self) -> dict[str, list[tuple[str, ...]]]:
        """Return group -> the captions of each row.

        Raises:
            DataError: If the file is missing, cut short, no HDF5, or not built as ARLDM builds it.
        """
        with self._opened() as file:
            return {group: self._rows(file, group) for group in GROUPS}

    def strip(self, place: Place) -> Image.Image:
        """Return a strip, its channels as they are in the file: see :func:`mended`.

        Raises:
            DataError: If it cannot be read or is no picture.
        """
        group, row, frame = place
        with self._opened() as file:
            data = file[group][f"image{frame}"][row].tobytes()
        return open_strip(data, self.named(place))

    def named(self, place: Place) -> str:
        """Return what an error calls a strip."""
        return f"Row {place[1]} of {place[0]}/image{place[2]} in '{self.path}'"

    def _rows(self, file: Any, group: str) -> list[tuple[str, ...]]:
        expected = [*(f"image{k}" for k in range(FRAMES)), "text"]
        absent = [name for name in expected if group not in file or name not in file[group]]
        if absent:
            raise DataError(f"'{self.path}' has no {group}/{absent[0]}: expected what ARLDM's script writes.")
        lengths = {name: len(file[group][name]) for name in expected}
        if len(set(lengths.values())) != 1:
            raise DataError(f"The data sets of {group} in '{self.path}' differ in length ({lengths}): build it again.")
        rows = [tuple(text.split("|")) for text in file[group]["text"].asstr()[()]]
        for number, row in enumerate(rows):
            if len(row) != FRAMES:
                raise DataError(
                    f"Row {number} of {group}/text in '{self.path}' has {len(row)} captions: expected {FRAMES} joined "
                    "by '|'; build the file again."
                )
        return rows

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file, and say in one sentence what goes wrong while it is open."""
        try:
            h5py = importlib.import_module("h5py")
        except ImportError as error:
            raise DataError(f"Reading '{self.path}' needs h5py: pip install h5py.") from error
        if not self.path.is_file():
            raise DataError(f"'{self.path}' is missing: restore it, or give the folder that holds it.")
        try:
            with h5py.File(self.path, "r") as file:
                yield file
        except (OSError, KeyError, IndexError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            why = " ".join(str(error).split()).rstrip(".")
            raise DataError(
                f"'{self.path}' is cut short or not ARLDM's HDF5 file ({why}): copy it again or build it again."
            ) from error


def mended(image: Image.Image) -> Image.Image:
    """Return an RGB picture with red and blue swapped back."""
    red, green, blue = image.split()
    return Image.merge("RGB", (blue, green, red))
