"""The canonical form of a release: Parquet tables, read through ``datasets``, with a hash of every file.

A folder holds ``manifest.json`` and two tables. ``frames`` has one row a clip, in story order: captions, labels, boxes,
and its pictures with their instance maps as PNG. ``stories`` has one row a story: its frame ids, and its texts with
their mentions, for readers without storybench. ``frames`` alone decides what storybench reads back.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PilImage

from storybench.data.clips import Box, Clip
from storybench.data.safe import read_json
from storybench.errors import DataError
from storybench.story import FramePixels

if TYPE_CHECKING:
    import datasets

MANIFEST = "manifest.json"
FORM = "storybench"
FORM_VERSION = 1
FRAMES, STORIES = "frames", "stories"
PICTURES = "pictures"
AGAIN = "build the folder again with 'storybench data build'"


def frame_features() -> datasets.Features:
    """Return the columns of ``frames``: one row a clip.

    ``subsets`` are those in which the clip may start a story. ``characters`` is null where nobody is annotated. A
    picture's ``instances`` is a PNG of 8 or 16 bits, 0 for background, or null; its ``boxes`` are (x0, y0, x1, y1) in
    its pixels.
    """
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("int32")
    picture = {"image": Image(), "instances": Image(), "boxes": List(List(number)), "labels": List(text)}
    return Features(
        {
            "frame_id": text,
            "episode": text,
            "subsets": List(text),
            "captions": List(text),
            "characters": List(text),
            "annotated": List(text),
            "setting": text,
            "boxes": List({"label": text, "x0": number, "y0": number, "x1": number, "y1": number}),
            PICTURES: List(picture),
        }
    )


def is_parquet(root: Path) -> bool:
    """Return whether ``root`` was written by ``storybench data build``; a damaged manifest still counts."""
    try:
        return f'"form": "{FORM}"' in (root / MANIFEST).read_text("utf-8", errors="replace")
    except OSError:
        return False


def read_manifest(root: Path, check: bool = True) -> dict[str, Any]:
    """Return the manifest of a folder, and compare every file with its hash.

    Args:
        root: The folder.
        check: Whether to hash the files; every byte is then read.

    Raises:
        DataError: If the manifest, or a file it names, is missing or damaged, or of a newer form.
    """
    manifest = read_json(root / MANIFEST)
    try:
        version, files = int(manifest["version"]), dict(manifest["files"])
        hashes = {str(name): str(entry["sha256"]) for name, entry in files.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"'{root / MANIFEST}' is damaged: expected version and files with their sha256; {AGAIN}."
        ) from error
    if version > FORM_VERSION:
        raise DataError(f"'{root}' is of form {version}, newer than {FORM_VERSION}: install a newer storybench.")
    for name, expected in hashes.items():
        path = root / name
        if path.resolve().parent.parent != root.resolve() or not path.is_file():
            raise DataError(f"'{root}' lacks the file '{name}' that its {MANIFEST} names: {AGAIN}.")
        if check and file_sha256(path) != expected:
            raise DataError(f"'{path}' is not the file that {MANIFEST} records (its SHA-256 differs): {AGAIN}.")
    return dict(manifest)


def load_table(root: Path, table: str, check: bool = True) -> datasets.Dataset:
    """Return one table of a folder as a ``datasets.Dataset``, memory-mapped from the library's own cache.

    Raises:
        DataError: If the folder is damaged or lacks the table.
    """
    from datasets import Dataset

    names = [name for name in read_manifest(root, check)["files"] if name.startswith(f"{table}/")]
    if not names:
        raise DataError(f"'{root}' holds no table {table!r}: {AGAIN}.")
    try:
        with quiet_datasets():
            return Dataset.from_parquet([str(root / name) for name in sorted(names)])
    except Exception as error:  # the library wraps Arrow's errors in several types of its own
        raise DataError(f"Table {table!r} of '{root}' cannot be read ({type(error).__name__}): {AGAIN}.") from error


class ParquetSource:
    """A release in the canonical form. Opening reads texts and labels; a picture is mapped when it is looked at.

    Attributes:
        layout: ``parquet``.
        has_pictures: Whether it was built with pictures.
        manifest: What ``manifest.json`` says.
    """

    layout = "parquet"

    def __init__(self, root: Path, dataset: str | None = None, check: bool = True) -> None:
        """Open a folder.

        Args:
            root: What ``storybench data build`` wrote.
            dataset: The data set that it must be; None takes any.
            check: Whether to compare every file with its hash, which reads all of it.

        Raises:
            DataError: If it is damaged, or of another data set.
        """
        self.root = root
        self.manifest = read_manifest(root, check)
        if dataset is not None and self.manifest.get("dataset") != dataset:
            raise DataError(f"'{root}' was built of dataset {self.manifest.get('dataset')}, expected {dataset}.")
        self.has_pictures = bool(self.manifest.get("has_pictures"))
        table = load_table(root, FRAMES, check=False)
        self._pictures = table.select_columns([PICTURES]).with_format("arrow")
        self._row: dict[str, int] = {}
        self._clips: dict[str, Clip] = {}
        self._episodes: dict[str, list[str]] = {}
        self._subsets: dict[str, list[str]] = {name: [] for name in self.manifest.get("subsets", ())}
        try:
            for number, row in enumerate(_rows(table.remove_columns(PICTURES))):
                self._row[row["frame_id"]] = number
                self._clips[row["frame_id"]] = _clip(row)
                self._episodes.setdefault(row["episode"], []).append(row["frame_id"])
                for name in row["subsets"]:
                    self._subsets[name].append(row["frame_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"Table {FRAMES!r} of '{root}' has other columns than this version writes: {AGAIN}."
            ) from error

    def episodes(self) -> Mapping[str, Sequence[str]]:
        """Return episode -> ids of its clips in story order."""
        return self._episodes

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return subset -> ids of the clips that may start a story there, of the subsets that were built."""
        return self._subsets

    def clip(self, clip_id: str) -> Clip:
        """Return one clip.

        Raises:
            DataError: If it was not built in.
        """
        if clip_id not in self._clips:
            raise DataError(f"'{self.root}' holds no clip {clip_id!r}: build the folder with subset=all.")
        return self._clips[clip_id]

    def frame_count(self, clip_id: str) -> int:
        """Return how many pictures of a clip were built in."""
        return len(self._pictures_of(clip_id))

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Decode picture ``frame`` of a clip."""
        picture = self._pictures_of(clip_id)[frame]
        instances = picture["instances"]
        boxes = tuple((int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in picture["boxes"])
        return FramePixels(
            PilImage.open(io.BytesIO(picture["image"]["bytes"])).convert("RGB"),
            None if instances is None else np.array(PilImage.open(io.BytesIO(instances["bytes"]))),
            boxes,
            tuple(picture["labels"]),
        )

    def _pictures_of(self, clip_id: str) -> list[dict[str, Any]]:
        self.clip(clip_id)
        pictures: list[dict[str, Any]] = self._pictures[self._row[clip_id]][PICTURES][0].as_py()
        if not pictures:
            raise DataError(f"'{self.root}' holds no picture of clip {clip_id!r}: build it with pictures=frame.")
        return pictures


def _rows(table: datasets.Dataset) -> Iterator[dict[str, Any]]:
    for batch in table.with_format("arrow").iter(1000):
        yield from batch.to_pylist()


def _clip(row: Mapping[str, Any]) -> Clip:
    return Clip(
        row["frame_id"],
        row["episode"],
        tuple(row["captions"]),
        None if row["characters"] is None else tuple(row["characters"]),
        tuple(row["annotated"]),
        row["setting"],
        tuple(Box(**box) for box in row["boxes"]),
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return the JSON of a manifest."""
    return (json.dumps({"form": FORM, "version": FORM_VERSION, **manifest}, indent=2) + "\n").encode()


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Keep the library's progress bars off stderr."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    silent = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not silent:
            enable_progress_bars()
