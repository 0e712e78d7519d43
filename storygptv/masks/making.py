"""A release's boxes -> a folder of instance maps, resumable.

Failure model. The process may die at any instant: a map is written under a temporary name, synced, then renamed, so
that it is whole or absent, and the manifest precedes the first of them. The same command again keeps every map that
can be read and was made for the boxes that the release has now, makes the others, and removes temporary files of its
own clips. Several processes may fill one folder as long as their subsets differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from storybench.data.layouts.flintstones_masks import FOLDER, MaskFolder, MaskNote
from storybench.data.layouts.flintstones_release import FlintstonesRelease
from storybench.data.loading import open_dataset
from storybench.data.stories import ClipStories
from storybench.errors import ConfigError, DataError, unknown
from storygptv.masks.checkpoint import LoadedSam, load_sam
from storygptv.masks.instances import Rectangle, instance_map
from storygptv.masks.segmenter import BoxSegmenter

PICTURES = ("all", "frame")
EVERY = "all"
OVERLAP = "smaller box on top, of equal boxes the later"
BATCH_SIZE = {"cuda": 4}  # elsewhere 1: global attention of ViT-H takes gigabytes a picture
_TEMPORARY = re.compile(r"\.(.+)-frame\d+\.png\..+\.tmp")


class MaskReport(NamedTuple):
    """What a call did: maps written, maps that were there, clips looked at."""

    folder: str
    written: int
    kept: int
    clips: int


class _Job(NamedTuple):
    clip_id: str
    frame: int
    picture: np.ndarray  # (H, W, 3) uint8
    boxes: tuple[Rectangle, ...]


def make_masks(
    dataset: Mapping[str, Any],
    checkpoint: str | Path,
    out: str | Path | None = None,
    *,
    subset: str = EVERY,
    pictures: str = "all",
    limit: int | None = None,
    model_type: str = "vit_h",
    sha256: str | None = None,
    mask_rule: str = "single",
    precision: str = "fp32",
    device: str = "auto",
    batch_size: int | None = None,
) -> MaskReport:
    """Make the maps of a release that has boxes (StoryGPT-V, Appendix D.1).

    Args:
        dataset: Configuration of the data set (``configs/dataset/flintstones.yaml``) with its root.
        checkpoint: SAM's weights (:func:`~storygptv.masks.checkpoint.load_sam`).
        out: Folder of the maps; None for ``<root>/masks``, where the release's adapter finds them.
        subset: train, val, test, or all.
        pictures: ``all`` pictures of a clip, which training draws from, or ``frame``, the one that evaluation shows.
        limit: Number of clips; None for all.
        model_type: Which SAM.
        sha256: What the checkpoint's SHA-256 must be.
        mask_rule: ``single`` or ``best_iou`` (:class:`~storygptv.masks.segmenter.BoxSegmenter`).
        precision: ``fp32`` or ``bf16``.
        device: Where to run; ``auto`` is the first GPU if there is one.
        batch_size: Pictures embedded together; None for 4 on a GPU and 1 elsewhere.

    Raises:
        ConfigError: If a value is unknown, the data set has no boxes, or ``out`` holds maps that were made otherwise.
        DataError: If the release is damaged.
        AssetError: If the checkpoint is missing or not what it should be.
    """
    if pictures not in PICTURES:
        raise unknown("choice of pictures", pictures, PICTURES)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: expected 1 or more clips, or null for all.")
    stories, source = _opened(dataset, subset)
    clips = _clips(stories, subset)[:limit]
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    size = BATCH_SIZE.get(torch_type(device), 1) if batch_size is None else batch_size
    loaded = load_sam(checkpoint, model_type, sha256)
    segmenter = BoxSegmenter(loaded.sam, mask_rule=mask_rule, precision=precision, device=device, batch_size=size)
    folder = MaskFolder(Path(out) if out is not None else source.root / FOLDER)
    _agree(folder, _identity(stories, loaded, segmenter), Path(checkpoint))
    _remove_leftovers(folder.folder, clips)
    written, kept = 0, 0
    waiting: list[_Job] = []
    for clip_id in _tracked(clips):
        frames = range(source.frame_count(clip_id)) if pictures == "all" else [_shown(stories, clip_id)]
        jobs = list(_missing(source, folder, clip_id, frames))
        kept += len(frames) - len(jobs)
        waiting += jobs
        while len(waiting) >= size:
            written += _write(segmenter, folder, waiting[:size])
            del waiting[:size]
    written += _write(segmenter, folder, waiting)
    return MaskReport(str(folder.folder), written, kept, len(clips))


def torch_type(device: str) -> str:
    """Return ``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


def _opened(dataset: Mapping[str, Any], subset: str) -> tuple[ClipStories, FlintstonesRelease]:
    """Open a data set whose layout knows boxes; maps that it would read are left aside, since they are to be made."""
    stories = open_dataset({key: value for key, value in dataset.items() if key != "masks"}, subset)
    source = stories.source if isinstance(stories, ClipStories) else None
    if not isinstance(stories, ClipStories) or not isinstance(source, FlintstonesRelease):
        layout = "" if source is None else f" in layout {source.layout}"
        raise ConfigError(
            f"Dataset {dataset['name']}{layout} has no boxes to make masks from: expected dataset=flintstones in "
            "layout ai2, storydalle or storygptv."
        )
    if not source.has_pictures:
        raise DataError(
            f"'{source.root}' is read without pictures, and masks are made from them: give a release with its folder "
            f"{source.pictures_folder}/ and dataset.pictures=true."
        )
    return stories, source


def _clips(stories: ClipStories, subset: str) -> list[str]:
    """Return the clips of a subset in story order."""
    every = [clip_id for clip_ids in stories.source.episodes().values() for clip_id in clip_ids]
    if subset == EVERY:
        return every
    wanted = frozenset(stories.source.subsets()[subset])
    return [clip_id for clip_id in every if clip_id in wanted]


def _shown(stories: ClipStories, clip_id: str) -> int:
    return stories.choice.of(clip_id, stories.source.frame_count(clip_id))


def _identity(stories: ClipStories, loaded: LoadedSam, segmenter: BoxSegmenter) -> dict[str, Any]:
    """Return what decides the pixels of a map; a folder holds maps of one identity."""
    return {
        "dataset": stories.facts.name,
        "layout": stories.source.layout,
        "model_type": loaded.model_type,
        "checkpoint_sha256": loaded.sha256,
        "mask_rule": segmenter.mask_rule,
        "mask_threshold": float(loaded.sam.mask_threshold),
        "precision": segmenter.precision,
        "overlap": OVERLAP,
    }


def _agree(folder: MaskFolder, identity: Mapping[str, Any], checkpoint: Path) -> None:
    """Write the manifest, or check that the one there says the same.

    Raises:
        ConfigError: If the folder holds maps that were made otherwise, or something else.
    """
    found = folder.manifest()
    if found is None:
        if folder.folder.exists() and not _empty(folder.folder):
            raise ConfigError(
                f"'{folder.folder}' is there already and holds no masks of ours: give out=DIR, a new folder for them."
            )
        versions = {name: metadata.version(name) for name in ("segment-anything", "torch")}
        folder.write_manifest({**identity, "checkpoint": checkpoint.name, "versions": versions})
        return
    for key, value in identity.items():
        if found.get(key) != value:
            raise ConfigError(
                f"'{folder.folder}' holds masks made with {key} {found.get(key)!r}, not {value!r}: give the options "
                "of then, or another out=DIR."
            )


def _empty(folder: Path) -> bool:
    return folder.is_dir() and all(entry.name.endswith(".tmp") for entry in folder.iterdir())


def _remove_leftovers(folder: Path, clips: Sequence[str]) -> None:
    """Remove what a killed process left of these clips."""
    ours = frozenset(clips)
    for entry in folder.glob(".*.tmp"):
        if (match := _TEMPORARY.fullmatch(entry.name)) and match[1] in ours:
            entry.unlink(missing_ok=True)


def _missing(source: FlintstonesRelease, folder: MaskFolder, clip_id: str, frames: Sequence[int]) -> Iterator[_Job]:
    """Yield the pictures of a clip whose maps are not there, cannot be read, or are of other boxes."""
    size = source.picture_size(clip_id)
    for frame in frames:
        boxes = source.regions(clip_id, frame, size).boxes
        try:
            if folder.read(clip_id, frame, size, boxes) is not None:
                continue
        except DataError:
            pass  # it is made again, which is what its sentence asks for
        yield _Job(clip_id, frame, np.asarray(source.picture(clip_id, frame)), boxes)


def _write(segmenter: BoxSegmenter, folder: MaskFolder, jobs: Sequence[_Job]) -> int:
    """Make and write the maps of some pictures; a picture without boxes has an empty map and never meets the model."""
    done = segmenter.segment([job.picture for job in jobs], [job.boxes for job in jobs])
    for job, (masks, scores) in zip(jobs, done, strict=True):
        folder.write(job.clip_id, job.frame, instance_map(masks, job.boxes), MaskNote(job.boxes, scores))
    return len(jobs)


def _tracked(clips: Sequence[str]) -> Iterator[str]:
    """Show on a terminal how far the clips are."""
    yield from track(clips, "masks", console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
