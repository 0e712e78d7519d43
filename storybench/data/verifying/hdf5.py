"""ARLDM's HDF5 of either data set: groups, data sets, rows, texts and strips."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from storybench.data.verifying.report import Findings
from storybench.errors import DataError

IMAGES = tuple(f"image{k}" for k in range(5))
SIDE = 128
SAMPLED = 64  # rows of a group that are looked into: all of them would be 15 to 20 GB


def check_hdf5(
    groups: Mapping[str, int], strip: tuple[int | None, int], rows: Mapping[str, int] | None, found: Findings
) -> None:
    """Check the one HDF5 file under the root.

    Args:
        groups: Group -> published number of rows.
        strip: Height (None for any multiple of 128) and width of every strip.
        rows: Group -> number of rows that the id files beside it give; None if there are none.
        found: Takes counts, defects and notes.
    """
    files = sorted((*found.root.glob("*.h5"), *found.root.glob("*.hdf5")))
    if not files:
        return
    if len(files) > 1:
        others = ", ".join(path.name for path in files[1:])
        found.notes.append(f"There are several HDF5 files; {files[0].name} is checked, not {others}.")
    found.read(files[0].name, lambda path: _check_file(path, groups, strip, rows, found), required=True)


def _check_file(
    path: Path,
    groups: Mapping[str, int],
    strip: tuple[int | None, int],
    rows: Mapping[str, int] | None,
    found: Findings,
) -> None:
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise DataError(f"'{path}' cannot be read without h5py: pip install h5py.") from error
    try:
        with h5py.File(path, "r") as file:
            for name, published in groups.items():
                _check_group(name, file.get(name), published, strip, rows, found)
    except (OSError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise DataError(f"'{path}' is cut short or no HDF5 file ({why}): make it again.") from error
    found.notes.append(
        f"Texts and strips were looked into in up to {SAMPLED} rows a group; red and blue are swapped in this layout "
        "when PIL decodes it, and storybench swaps them back."
    )


def _check_group(
    name: str,
    group: Any,
    published: int,
    strip: tuple[int | None, int],
    rows: Mapping[str, int] | None,
    found: Findings,
) -> None:
    if group is None:
        found.unusable.append(f"The HDF5 file has no group '{name}': expected train, val and test; make it again.")
        return
    if lacking := [key for key in (*IMAGES, "text") if key not in group]:
        found.unusable.append(
            f"Group '{name}' lacks {', '.join(lacking)}: expected image0..image4 and text; make it again."
        )
        return
    lengths = {key: int(group[key].shape[0]) for key in (*IMAGES, "text")}
    count = min(lengths.values())
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} {length:,}" for key, length in lengths.items())
        found.defect("hdf5_lengths", f"The data sets of group '{name}' differ in length: {told}.")
    found.count(f"{name} rows", count, published)
    if rows is not None and rows[name] != count:
        found.defect(
            "hdf5_ids",
            f"Group '{name}' has {count:,} rows and the id files give {rows[name]:,}: ids cannot be rebuilt.",
        )
    sampled = sorted({k * (count - 1) // max(1, min(count, SAMPLED) - 1) for k in range(min(count, SAMPLED))})
    texts = [k for k in sampled if len(_text(group["text"][k]).split("|")) != len(IMAGES)]
    found.some("hdf5_text", [f"{name}/{k}" for k in texts], "{n} of the sampled texts are not 5 captions joined by '|'")
    wrong = [f"{name}/{key}/{k} ({told})" for k in sampled for key in IMAGES if (told := _strip(group[key][k], strip))]
    height = "a multiple of 128" if strip[0] is None else str(strip[0])
    found.some("hdf5_strips", wrong, f"{{n}} of the sampled strips are no PNG of width {strip[1]} and height {height}")


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def _strip(raw: Any, strip: tuple[int | None, int]) -> str:
    """Return what is wrong with the PNG bytes of a strip; empty if nothing is."""
    try:
        with Image.open(io.BytesIO(bytes(raw)), formats=("PNG",)) as image:
            width, height = image.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
        return "no PNG"
    fits = width == strip[1] and height > 0 and height % SIDE == 0 and strip[0] in (None, height)
    return "" if fits else f"{height}x{width}"
