"""Pictures of clips as ``.npy`` files: which are there, and what their headers say. No picture is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storybench.data.safe import read_npy
from storybench.data.verifying.report import Findings
from storybench.errors import DataError

MASKS = "seg_mask_4x_comb"
MASK_SHAPE = (512, 512)


def check_pictures(ids: Sequence[str], facts: Mapping[str, Any], found: Findings) -> dict[str, int]:
    """Check that every clip has its ``<folder>/<id>.npy`` of the published type and shape.

    Args:
        ids: Clip ids.
        facts: ``folder``, ``shape`` (null for any length) and ``dtype``, as in ``releases.json``.
        found: Takes what is wrong.

    Returns:
        Clip -> number of its pictures, for clips whose file is whole.
    """
    folder = found.root / facts["folder"]
    there = names_in(folder)
    if not there:
        return {}
    found.count(f"files in {folder.name} for the clips", sum(f"{clip}.npy" in there for clip in ids), len(ids))
    found.some(
        "missing_pictures", [c for c in ids if f"{c}.npy" not in there], f"{{n}} clips have no file in {folder.name}"
    )
    counts: dict[str, int] = {}
    other, damaged = [], []
    for clip in ids:
        if f"{clip}.npy" not in there:
            continue
        header = _header(folder / f"{clip}.npy")
        if header is None:
            damaged.append(clip)
        elif header[0] != facts["dtype"] or not _fits(header[1], facts["shape"]):
            other.append(f"{clip} ({header[0]} {'x'.join(map(str, header[1]))})")
        else:
            counts[clip] = header[1][0]
    published = "x".join("n" if size is None else str(size) for size in facts["shape"])
    found.some("damaged_pictures", damaged, f"{{n}} files in {folder.name} are cut short or no arrays")
    found.some("other_pictures", other, f"{{n}} files in {folder.name} are not {facts['dtype']} {published}")
    return counts


def check_instance_maps(counts: Mapping[str, int], found: Findings) -> None:
    """Check that every picture of StoryGPT-V has its instance map: ``<id>-frame<k>.npy``, integers, 512 x 512."""
    there = names_in(found.root / MASKS)
    if not there:
        return
    wanted = [f"{clip}-frame{k}.npy" for clip, count in counts.items() for k in range(count)]
    found.some(
        "missing_masks", [name for name in wanted if name not in there], f"{{n}} pictures have no map in {MASKS}"
    )
    other = []
    for name in wanted:
        if name not in there:
            continue
        header = _header(found.root / MASKS / name)
        if header is None or not header[0].startswith(("int", "uint")) or header[1] != MASK_SHAPE:
            other.append(name)
    found.some("other_masks", other, f"{{n}} files in {MASKS} are damaged or not integers of 512x512")


def check_entity_files(entities: Sequence[str], folder: str, ending: str, found: Findings) -> None:
    """Check that every annotated entity of the AI2 release has its file in ``folder``."""
    there = names_in(found.root / folder)
    if not there:
        return
    missing = [entity for entity in entities if f"{entity}{ending}" not in there]
    found.some(f"missing_{folder}", missing, f"{{n}} annotated entities have no file in {folder}")


def names_in(folder: Path) -> set[str]:
    """Return the paths of the files under a folder, relative to it; none if there is no such folder."""
    return {
        name if where == str(folder) else f"{Path(where).relative_to(folder).as_posix()}/{name}"
        for where, _, names in os.walk(folder)
        for name in names
    }


def _header(path: Path) -> tuple[str, tuple[int, ...]] | None:
    """Return type and shape of an array file, None if it is damaged; mapping it checks its length against both."""
    try:
        array = read_npy(path, mmap=True)
    except DataError:
        return None
    return str(array.dtype), array.shape


def _fits(shape: Sequence[int], published: Sequence[int | None]) -> bool:
    return len(shape) == len(published) and all(
        size == wanted or (wanted is None and size > 0) for size, wanted in zip(shape, published, strict=True)
    )
