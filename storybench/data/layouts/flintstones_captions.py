"""FlintstonesSV without pictures: the split file with the annotation, or with captions of some clips and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from storybench.data.clips import Clip
from storybench.data.layouts.flintstones_annotation import (
    ANNOTATION_FILE,
    SPLIT_FILE,
    SUBSETS,
    episode_of,
    read_annotations,
    read_captions,
    read_split,
)
from storybench.data.layouts.flintstones_release import in_story_order
from storybench.errors import DataError
from storybench.story import FramePixels

CAPTION_FILES = tuple(f"{subset}_captions.json" for subset in SUBSETS)


class FlintstonesCaptions:
    """``train-val-test_split.json`` and the annotation, or any of ``{train,val,test}_captions.json``.

    Captions files say nothing of characters and settings, and do not cover every clip: a clip that they leave out has
    no caption.
    """

    layout = "captions"

    def __init__(self, root: Path) -> None:
        """Open the release at ``root``.

        Raises:
            DataError: If a file is missing or wrong, in one sentence.
        """
        self.root, self.has_pictures = root, False
        self._clips: dict[str, Clip] = {}
        if (root / ANNOTATION_FILE).is_file():
            self._clips = {key: annotation.clip for key, annotation in read_annotations(root / ANNOTATION_FILE).items()}
            self._subsets = read_split(root / SPLIT_FILE, self._clips)
        else:
            self._subsets = read_split(root / SPLIT_FILE)
            listed = {clip_id for clips in self._subsets.values() for clip_id in clips}
            captions: dict[str, str] = {}
            for name in CAPTION_FILES:
                if (root / name).is_file():
                    captions |= read_captions(root / name, listed)
            for clip_id in sorted(listed):
                text = captions.get(clip_id, "")
                self._clips[clip_id] = Clip(clip_id, episode_of(clip_id), captions=(text,) if text.strip() else ())
        self._episodes = in_story_order(self._clips)

    def episodes(self) -> Mapping[str, Sequence[str]]:
        """Return episode -> its clip ids, both sorted as strings."""
        return self._episodes

    def subsets(self) -> Mapping[str, Sequence[str]]:
        """Return train, val and test -> clip ids as the split file lists them."""
        return self._subsets

    def clip(self, clip_id: str) -> Clip:
        """Return one clip.

        Raises:
            DataError: If the release has no such clip.
        """
        try:
            return self._clips[clip_id]
        except KeyError:
            raise DataError(f"'{self.root}' has no clip {clip_id!r}: expected an id of its split file.") from None

    def frame_count(self, clip_id: str) -> int:
        """Return 0: there are no pictures."""
        return 0

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Refuse: there are no pictures.

        Raises:
            DataError: Always.
        """
        raise DataError(
            f"'{self.root}' has captions only, no picture {frame} of {clip_id}: open a release with its pictures."
        )
