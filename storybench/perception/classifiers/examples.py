"""What a classifier learns from: the clips of a train split with their labels, and nothing that a test story shows.

A clip is one example however many stories it is in; which of its pictures is seen depends on (seed, epoch, clip).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from storybench.data.clips import Clip, ClipSource
from storybench.data.frame_choice import FrameChoice
from storybench.data.loading import open_dataset
from storybench.data.stories import ClipStories
from storybench.errors import ConfigError, DataError
from storybench.perception.classifiers.network import What

TRAIN, VAL, TEST = "train", "val", "test"
EVERY = "all"  # the subset that needs no split


@dataclass(frozen=True)
class LabelledClips:
    """Clips, what is true of each, and their pictures.

    Attributes:
        source: The release.
        ids: Of the clips, in the order of the split.
        labels: What can be true of a clip, in label order.
        what: Kind of the labels.
        left_out: Clips of the split that are not here because a test story shows them, or because they have no label.
    """

    source: ClipSource
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    what: What
    left_out: int

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.ids)

    @property
    def sha256(self) -> str:
        """SHA-256 over the sorted ids, joined by newlines: equal for equal sets of clips."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()

    def truth(self, index: int) -> frozenset[str]:
        """Return the labels of one clip."""
        return _truth(self.source.clip(self.ids[index]), self.what)

    def target(self, index: int) -> Tensor:
        """Return one clip's labels as (N,) float32, 0 or 1."""
        true = self.truth(index)
        return torch.tensor([float(label in true) for label in self.labels])

    def picture(self, index: int, choice: FrameChoice) -> Image.Image:
        """Decode the picture of a clip that ``choice`` takes."""
        clip_id = self.ids[index]
        return self.source.pixels(clip_id, choice.of(clip_id, self.source.frame_count(clip_id))).image


def labelled_clips(
    dataset: Mapping[str, Any], subset: str, what: What, exclude: Sequence[str] = (), labels: Sequence[str] = ()
) -> LabelledClips:
    """Return the labelled clips that the stories of a subset show, without those in ``exclude``; there may be none.

    Args:
        dataset: Configuration of FlintstonesSV or PororoSV (``configs/dataset``).
        subset: train, val or test.
        what: Which labels.
        exclude: Ids of clips to leave out.
        labels: In label order; by default the cast, or all settings that the annotation of the release knows.

    Raises:
        ConfigError: If the data set has no clips with pictures and labels, or has no settings.
        DataError: If the release has no such labels.
    """
    stories = _stories(dataset, subset)
    source = stories.source
    if not source.has_pictures:
        raise ConfigError(
            f"Dataset {dataset['name']} at '{dataset.get('root')}' has captions only: a classifier needs its pictures."
        )
    shown = list(dict.fromkeys(clip_id for window in stories.windows for clip_id in window))
    banned = frozenset(exclude)
    kept = [c for c in shown if c not in banned and (_truth(source.clip(c), what) or what == "characters")]
    if what == "characters":
        kept = [clip_id for clip_id in kept if source.clip(clip_id).characters is not None]
        names = tuple(labels) or tuple(character.name for character in stories.cast)
    else:
        names = tuple(labels) or _settings(source)
    if not names:
        raise DataError(
            f"No clip of dataset {dataset['name']} is labelled with {what} here: expected a layout with annotation, "
            "such as StoryDALL-E's or StoryGPT-V's."
        )
    return LabelledClips(source, tuple(kept), names, what, len(shown) - len(kept))


def clips_shown(dataset: Mapping[str, Any], subset: str) -> frozenset[str]:
    """Return the ids of all clips that a subset holds or its stories show; empty if the release has no such subset."""
    if not has_subset(dataset, subset):
        return frozenset()
    stories = _stories(dataset, subset)
    starts = stories.source.subsets()[subset]
    return frozenset(clip_id for window in stories.windows for clip_id in window) | frozenset(starts)


def has_subset(dataset: Mapping[str, Any], subset: str) -> bool:
    """Return whether the release here tells which clips are of a subset."""
    return subset in _stories(dataset, EVERY).source.subsets()


def _stories(dataset: Mapping[str, Any], subset: str) -> ClipStories:
    stories = open_dataset(dataset, subset)
    if not isinstance(stories, ClipStories):
        raise ConfigError(
            f"Dataset {dataset['name']} has no clips to learn from: give dataset=flintstones or dataset=pororo."
        )
    return stories


def _truth(clip: Clip, what: What) -> frozenset[str]:
    if what == "characters":
        return frozenset(clip.characters or ())
    return frozenset({clip.setting} if clip.setting else ())


def _settings(source: ClipSource) -> tuple[str, ...]:
    """Return every setting that the annotation of a release knows, sorted: names of all splits, pictures of none."""
    found = {source.clip(clip_id).setting for clip_ids in source.episodes().values() for clip_id in clip_ids}
    return tuple(sorted(found - {""}))
