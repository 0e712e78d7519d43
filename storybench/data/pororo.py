"""PororoSV as stories, from every layout that it was ever published in.

``dataset.root`` names a folder; the files in it tell the layout, ``dataset.layout`` forces one. Nothing is downloaded,
nothing is written, and pictures are read one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storybench.data.frame_choice import FrameChoice
from storybench.data.layouts.pororo_captions import DESCRIPTIONS, PororoCaptions
from storybench.data.layouts.pororo_ids import START_LIST, SUBSET_IDS
from storybench.data.layouts.pororo_storygptv import ANNOTATIONS, PICTURES, PororoStoryGPTV
from storybench.data.layouts.pororo_strips import PororoStrips, episode_folders
from storybench.data.release import Layout, Release, hdf5_layout, parquet_layout
from storybench.data.stories import ClipStories

ARCHIVE_FOLDER = "pororo_png"  # what the published archive unpacks to


def _has_strips(root: Path) -> bool:
    return root.is_dir() and bool(episode_folders(root))


def _is_storygptv(root: Path) -> bool:
    return (root / ANNOTATIONS).is_file() or (root / PICTURES).is_dir()


def _has_captions(root: Path) -> bool:
    return any((root / name).is_file() for name in DESCRIPTIONS)


LAYOUTS = {
    "strips": Layout(_has_strips, PororoStrips, f"<Series>/<Series>_ep<N>/<k>.png, {DESCRIPTIONS[0]}"),
    "storygptv": Layout(_is_storygptv, PororoStoryGPTV, f"{PICTURES}/, {ANNOTATIONS}, split.json"),
    "hdf5": hdf5_layout("PororoHDF5", f"{SUBSET_IDS}, {START_LIST}"),
    "parquet": parquet_layout("pororo"),
    "captions": Layout(_has_captions, PororoCaptions, DESCRIPTIONS[0]),
}
RELEASE = Release("pororo", LAYOUTS, f"{SUBSET_IDS} (and {START_LIST})", inner=ARCHIVE_FOLDER)
census = RELEASE.census


def pororo(
    subset: str,
    *,
    root: Path | None = None,
    layout: str | None = None,
    frames: int = 5,
    frame: str | int = "middle",
    rule: str = "auto",
    seed: int = 0,
    epoch: int = 0,
    pictures: bool = True,
    pronouns: Mapping[str, str] | None = None,
    portraits: Path | None = None,
) -> ClipStories:
    """Return the stories of a subset whose clips all have a caption.

    Args:
        subset: train, val (published as "seen": its frames occur in train), test ("unseen"), or all for every clip.
        root: The release's folder.
        layout: One of :data:`LAYOUTS`; None to tell it from the files.
        frames: Frames a story.
        frame: Which sub-frame of a clip: middle, random (by seed, epoch and clip) or an index.
        rule: A story rule of :mod:`storybench.data.windows`, or auto.
        seed: Moves random sub-frames.
        epoch: Moves random sub-frames.
        pictures: Whether to read pictures; False needs captions only.
        pronouns: Other pronouns for some characters in the referential text: ``{"Rody": "it"}``.
        portraits: Folder with ``<name>.png`` of everybody, for models that look at them.

    Raises:
        ConfigError: If ``root`` is not given, or a value is unknown or out of range.
        DataError: If the layout cannot be told, or a file is missing or damaged.
    """
    choice = FrameChoice(frame, seed, epoch)
    return RELEASE.stories(subset, root, layout, frames, rule, choice, pictures, pronouns, portraits)
