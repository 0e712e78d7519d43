"""FlintstonesSV as stories, from every layout that it was ever published in.

``dataset.root`` names a folder; the files in it tell the layout, ``dataset.layout`` forces one. Nothing is downloaded,
nothing is written, and pictures are read one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storybench.data.frame_choice import FrameChoice
from storybench.data.layouts.flintstones_ai2 import FlintstonesAI2
from storybench.data.layouts.flintstones_annotation import ANNOTATION_FILE, SPLIT_FILE
from storybench.data.layouts.flintstones_captions import CAPTION_FILES, FlintstonesCaptions
from storybench.data.layouts.flintstones_release import FlintstonesRelease
from storybench.data.layouts.flintstones_storydalle import FlintstonesStoryDALLE
from storybench.data.layouts.flintstones_storygptv import FlintstonesStoryGPTV
from storybench.data.release import Layout, Release, hdf5_layout, parquet_layout
from storybench.data.stories import ClipStories
from storybench.errors import ConfigError

_WITH_FOLDER: tuple[type[FlintstonesRelease], ...] = (FlintstonesAI2, FlintstonesStoryDALLE, FlintstonesStoryGPTV)


def _has_captions(root: Path) -> bool:
    return any((root / name).is_file() for name in (ANNOTATION_FILE, *CAPTION_FILES))


def _folder_layout(kind: type[FlintstonesRelease]) -> Layout:
    folder = kind.pictures_folder
    needs = f"{folder}/, {ANNOTATION_FILE}, {kind.split_file}"
    return Layout(lambda root: (root / folder).is_dir(), kind, needs, folder)


LAYOUTS = {
    **{kind.layout: _folder_layout(kind) for kind in _WITH_FOLDER},
    "hdf5": hdf5_layout("FlintstonesHDF5", SPLIT_FILE),
    "parquet": parquet_layout("flintstones"),
    "captions": Layout(_has_captions, FlintstonesCaptions, f"{SPLIT_FILE} and {ANNOTATION_FILE} or test_captions.json"),
}
RELEASE = Release("flintstones", LAYOUTS, SPLIT_FILE, short_tail=True)
census = RELEASE.census


def flintstones(
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
    masks: Path | str | None = None,
) -> ClipStories:
    """Return the stories of a subset whose clips all have a caption.

    Args:
        subset: train, val, test, or all for every clip of the release.
        root: The release's folder.
        layout: One of :data:`LAYOUTS`; None to tell it from the files.
        frames: Frames a story.
        frame: Which picture of a clip: middle, random (by seed, epoch and clip) or an index.
        rule: A story rule of :mod:`storybench.data.windows`, or auto.
        seed: Moves random pictures.
        epoch: Moves random pictures.
        pictures: Whether to read pictures; False needs annotation and captions only.
        pronouns: Other pronouns for some characters in the referential text: ``{"Dino": "it"}``.
        portraits: Folder with ``<name>.png`` of everybody, for models that look at them.
        masks: Folder that ``storybench data masks`` wrote; None for the release's own maps, or ``<root>/masks``.

    Raises:
        ConfigError: If ``root`` is not given, or a value is unknown or out of range.
        DataError: If the layout cannot be told, or a file is missing or damaged.
    """
    choice = FrameChoice(frame, seed, epoch)
    stories = RELEASE.stories(subset, root, layout, frames, rule, choice, pictures, pronouns, portraits)
    if masks is not None:
        if not isinstance(stories.source, FlintstonesRelease):
            raise ConfigError(
                f"dataset.masks is given, but layout {stories.source.layout} has no boxes: expected ai2, storydalle or "
                "storygptv."
            )
        stories.source.use_masks(masks)
    return stories
