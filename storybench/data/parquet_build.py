"""Writing the canonical Parquet form: a folder that is whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL import Image

from storybench.data.parquet import FRAMES, MANIFEST, PICTURES, STORIES, file_sha256, frame_features, manifest_bytes
from storybench.data.stories import ClipStories
from storybench.data.toonsv.huggingface import features as toonsv_features
from storybench.data.toonsv.huggingface import rows as toonsv_rows
from storybench.errors import DataError, unknown
from storybench.frames import png_bytes, write_atomic
from storybench.story import Frame, FramePixels, Story

if TYPE_CHECKING:
    import datasets

Pictures = Literal["frame", "all", "none"]
TEXTS = ("original", "referential")
WHOLE = "all"
GROUP_ROWS, GROUP_BYTES = 1000, 8_000_000  # memory holds a row group, and readers up to 16; bytes of pictures
FILE_BYTES = 500_000_000
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]


def untracked(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Return ``items``: how far a build is, is told to nobody."""
    return items


def build_clips(
    stories: ClipStories, out: Path, options: Mapping[str, Any], pictures: Pictures = "frame", track: Track = untracked
) -> dict[str, Any]:
    """Write a release, or the episodes of one of its subsets, and return the manifest.

    Args:
        stories: What to write; subset ``all`` writes every clip and every subset.
        out: The folder to make.
        options: What the data set was opened with, for the manifest.
        pictures: ``frame`` for the picture that ``stories`` would show, ``all`` for every picture of a clip, ``none``.
        track: Wraps what is written, to show how far it is.

    Raises:
        DataError: If ``out`` exists, or the release is damaged.
        ConfigError: If ``pictures`` is unknown.
    """
    if pictures not in get_args(Pictures):
        raise unknown("choice of pictures", pictures, get_args(Pictures))
    source, shown = stories.source, stories.source.has_pictures and pictures != "none"
    subsets = {n: frozenset(c) for n, c in source.subsets().items() if stories.subset in (WHOLE, n)}
    starts = frozenset().union(*subsets.values())
    listed = [
        (episode, clip_id)
        for episode, clips in source.episodes().items()
        if stories.subset == WHOLE or not starts.isdisjoint(clips)
        for clip_id in clips
    ]
    choose = _every if pictures == "all" else lambda s, clip_id: [s.choice.of(clip_id, s.source.frame_count(clip_id))]

    def frames() -> Iterator[dict[str, Any]]:
        for _, clip_id in track(listed, len(listed), "clips"):
            shots = [source.pixels(clip_id, k) for k in choose(stories, clip_id)] if shown else []
            row = _clip_row(stories, clip_id, [name for name, clips in subsets.items() if clip_id in clips])
            yield {**row, PICTURES: [picture_row(shot) for shot in shots]}

    digest = hashlib.sha256()

    def told() -> Iterator[dict[str, Any]]:
        for story in track(stories, len(stories), "stories"):
            first = story.frames[0].id
            row = story_row(story, next((name for name, clips in subsets.items() if first in clips), ""))
            digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
            yield row

    def tables(folder: Path) -> dict[str, int]:
        written = write_table(frames(), frame_features(), folder / FRAMES)
        return written | write_table(told(), story_features(), folder / STORIES)

    return _write_folder(
        out,
        tables,
        lambda: {
            "dataset": stories.facts.name,
            "subset": stories.subset,
            "subsets": list(subsets),
            "layout": source.layout,
            "options": dict(options),
            "pictures": pictures if shown else "none",
            "has_pictures": shown,
            "clips": len(listed),
            "stories": len(stories),
            "content_sha256": digest.hexdigest(),
        },
    )


def build_toonsv(
    subset: str, frames: int, size: int | None, seed: int, out: Path, images: bool = True, track: Track = untracked
) -> dict[str, Any]:
    """Write a ToonSV subset in the columns of :mod:`storybench.data.toonsv.huggingface`, and return the manifest.

    Frames are not shared there, so there is one table: a row a story, with its pictures.

    Raises:
        DataError: If ``out`` exists.
    """
    from storybench.data.toonsv.dataset import ToonSV, content_hash

    stories = ToonSV(subset, frames, size, seed)

    def tables(folder: Path) -> dict[str, int]:
        rows = track(toonsv_rows(subset, frames, size, seed, images), len(stories), "stories")
        encoded = ({**row, "images": [_png(i) for i in row["images"]]} if images else row for row in rows)
        return write_table(encoded, toonsv_features(images), folder / STORIES)

    return _write_folder(
        out,
        tables,
        lambda: {
            "dataset": "toonsv",
            "subset": subset,
            "options": {"frames": frames, "size": size, "seed": seed},
            "has_pictures": images,
            "stories": len(stories),
            "content_sha256": content_hash(stories),
        },
    )


def story_features() -> datasets.Features:
    """Return the columns of ``stories``: ids, and the texts with their mentions, one list entry a frame."""
    from datasets import Features, List, Value

    text, told = Value("string"), toonsv_features()
    return Features(
        {
            "id": text,
            "subset": text,
            "cluster": text,
            "frame_ids": List(text),
            "captions": {mode: List(text) for mode in TEXTS},
            "mentions": dict.fromkeys(TEXTS, told["mentions"]["referential"]),
            "characters": told["characters"],
            "settings": told["settings"],
        }
    )


def story_row(story: Story, subset: str) -> dict[str, Any]:
    """Return one row of ``stories``."""
    return {
        "id": story.id,
        "subset": subset,
        "cluster": story.cluster,
        "frame_ids": [frame.id for frame in story.frames],
        "captions": {mode: [f.captions[mode].text for f in story.frames] for mode in TEXTS},
        "mentions": {mode: [_mentions(f, mode) for f in story.frames] for mode in TEXTS},
        "characters": [list(frame.characters) for frame in story.frames],
        "settings": [frame.setting for frame in story.frames],
    }


def picture_row(pixels: FramePixels) -> dict[str, Any]:
    """Return one picture: PNG of the image, PNG of the instances, boxes and labels."""
    return {
        "image": _png(pixels.image),
        "instances": None if pixels.instances is None else {"bytes": _instance_png(pixels.instances), "path": None},
        "boxes": [list(box) for box in pixels.boxes],
        "labels": list(pixels.labels),
    }


def write_table(rows: Iterable[Mapping[str, Any]], features: datasets.Features, folder: Path) -> dict[str, int]:
    """Write rows as Parquet files of about :data:`FILE_BYTES`; memory holds one row group.

    Returns:
        ``<folder>/<file>`` -> rows. There is one file even without rows.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    folder.mkdir(parents=True)
    schema = features.arrow_schema  # carries the features, so that any reader of ``datasets`` decodes the pictures
    queue, written = iter(rows), dict[str, int]()
    group = _group(queue)
    while group or not written:
        name, count = f"{len(written):05d}.parquet", 0
        with (folder / name).open("wb") as file, ParquetWriter(file, schema, compression="zstd") as writer:
            while group and file.tell() < FILE_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                count += len(group)
                group = _group(queue)
        written[f"{folder.name}/{name}"] = count
    return written


def _group(queue: Iterator[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the next rows that memory can hold."""
    group: list[Mapping[str, Any]] = []
    held = 0
    for row in queue:
        group.append(row)
        shots = [*row.get(PICTURES, ()), *({"image": image} for image in row.get("images", ()))]
        held += sum(len(shot["image"]["bytes"]) for shot in shots)
        if len(group) >= GROUP_ROWS or held >= GROUP_BYTES:
            break
    return group


def _write_folder(
    out: Path, tables: Callable[[Path], Mapping[str, int]], facts: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Make ``out`` with its tables and manifest, all at once; what an interrupted build left is removed first."""
    if out.exists():
        raise DataError(f"'{out}' is already there: give another out=, or remove it first.")
    building = out.parent / f".{out.name}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        rows = tables(building)
        files = {name: {"sha256": file_sha256(building / name), "rows": count} for name, count in rows.items()}
        manifest = {**facts(), "files": files}
        write_atomic(building / MANIFEST, manifest_bytes(manifest))
        os.rename(building, out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return manifest


def _every(stories: ClipStories, clip_id: str) -> list[int]:
    return list(range(stories.source.frame_count(clip_id)))


def _clip_row(stories: ClipStories, clip_id: str, subsets: list[str]) -> dict[str, Any]:
    clip = stories.source.clip(clip_id)
    return {
        "frame_id": clip.id,
        "episode": clip.episode,
        "subsets": subsets,
        "captions": list(clip.captions),
        "characters": None if clip.characters is None else list(clip.characters),
        "annotated": list(clip.annotated),
        "setting": clip.setting,
        "boxes": [box._asdict() for box in clip.boxes],
    }


def _mentions(frame: Frame, mode: str) -> list[dict[str, Any]]:
    return [{**asdict(m), "characters": list(m.characters)} for m in frame.captions[mode].mentions]


def _png(image: Image.Image) -> dict[str, Any]:
    return {"bytes": png_bytes(image), "path": None}


def _instance_png(instances: np.ndarray) -> bytes:
    """Return an instance map as a PNG of 8 bits, or of 16 where a number needs them."""
    highest, lowest = int(instances.max(initial=0)), int(instances.min(initial=0))
    if lowest < 0 or highest > np.iinfo(np.uint16).max:
        raise DataError(f"An instance map holds numbers from {lowest} to {highest}: expected 0 to 65535.")
    dtype = np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(instances.astype(dtype))).save(buffer, format="PNG")
    return buffer.getvalue()
