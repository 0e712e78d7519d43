"""Where an aligner's stories come from: the stories of any data set, or ToonSV drawn fresh from seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.data.loading import no_stories, open_dataset, text_mode
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.grammar import Told, tell_story
from storybench.data.toonsv.planner import StoryPlan, plan_story
from storybench.data.toonsv.sampling import sample_training_stories
from storybench.data.toonsv.world import NAMES
from storybench.errors import ConfigError, DataError, unknown
from storybench.story import Story
from storygptv.aligner.pool import PoolSource
from storygptv.aligner.stories import PoolStory, TargetText, pool_story, told_story

TOONSV = "toonsv"
_STREAM = 61  # this stage's stream of training stories


def planned_stories(split: str, count: int, frames: int, seed: int) -> list[tuple[StoryPlan, tuple[Told, ...]]]:
    """Return fresh training stories (``train``) or the first stories of another split."""
    if split == "train":
        return list(sample_training_stories(_STREAM + seed, count, frames))
    plans = [plan_story(split, k, frames, 0) for k in range(count)]
    return [(plan, tell_story(plan)) for plan in plans]


def drawn_source(
    split: str, count: int, frames: int, seed: int = 0, target_text: TargetText = "original"
) -> PoolSource:
    """Return ToonSV stories drawn for this stage: for ``train`` as many as wanted, of a stream of its own."""
    planned = planned_stories(split, count, frames, seed)
    stories = tuple(pool_story(plan, told, target_text) for plan, told in planned)
    scenes = [scene for plan, _ in planned for scene in plan.scenes]
    identity = {"dataset": TOONSV, "split": split, "frames": frames, "seed": seed, "target_text": target_text}
    texts = tuple(text for story in stories for text in story.targets)
    index = np.arange(len(texts)).reshape(len(stories), frames)
    return PoolSource(identity, NAMES, stories, index, texts, lambda row: pixels(render(scenes[row]).image))


def dataset_source(
    dataset: Mapping[str, Any], subset: str, text: str = "referential", limit: int | None = None
) -> PoolSource:
    """Return the stories of a data set's subset; the target tells the original caption, as in the paper.

    Args:
        dataset: Configuration of the data set (``configs/dataset``), with pictures.
        subset: train, val, ...
        text: Text mode that the aligner reads.
        limit: Only the first stories; None for all.

    Raises:
        ConfigError: If the text is unknown to the data set.
        DataError: If there are no stories, or see :func:`story_source`.
    """
    explicit, read = text_mode(dataset, "explicit"), text_mode(dataset, text)
    opened = open_dataset(dataset, subset)
    if not opened:
        raise no_stories(dataset, subset)
    identity = {"dataset": str(dataset["name"]), "split": subset, "text": read, "limit": limit}
    return story_source(opened, explicit, read, identity, limit)


def story_source(
    opened: Sequence[Story], explicit: str, read: str, identity: Mapping[str, Any], limit: int | None = None
) -> PoolSource:
    """Return stories as a source; a picture that several of them show is encoded once.

    Args:
        opened: The stories, with pictures.
        explicit: Text mode that targets tell.
        read: Text mode that the aligner reads.
        identity: What names the stories, for the pool's marker.
        limit: Only the first stories; None for all.

    Raises:
        DataError: If a picture is missing, or stories differ in length.
    """
    rows: dict[str, int] = {}
    places: list[tuple[int, int]] = []  # story and frame of each row
    texts: list[str] = []
    stories: list[PoolStory] = []
    index: list[list[int]] = []
    for k in range(len(opened) if limit is None else min(limit, len(opened))):
        story = opened[k]
        stories.append(told_story(story, explicit, read))
        index.append([rows.setdefault(f.id or f"{story.id}/{f.index}", len(rows)) for f in story.frames])
        for frame, row in zip(story.frames, index[-1], strict=True):
            if frame.load is None:
                raise DataError(f"Story {story.id} has no pictures: open the data set with dataset.pictures=true.")
            if row == len(places):
                places.append((k, frame.index))
                texts.append(frame.captions[explicit].text)
    if len({len(row) for row in index}) > 1:
        raise DataError(f"Stories of dataset {opened[0].dataset} differ in length: give dataset.frames=N.")

    def picture(row: int) -> Tensor:
        k, t = places[row]
        return pixels(opened[k].frames[t].image)

    names = tuple(c.name for c in opened[0].cast)
    return PoolSource(dict(identity), names, tuple(stories), np.array(index), tuple(texts), picture)


def sources(
    dataset: Mapping[str, Any],
    subsets: Mapping[str, str],
    counts: Mapping[str, int | None],
    text: str,
    target_text: TargetText,
    seed: int,
) -> dict[str, PoolSource]:
    """Return the source of each pool: ToonSV's are drawn for ``train`` and ``val``, others read from their subsets.

    Raises:
        ConfigError: If ``target_text`` is unknown, or ``plain`` beside another data set than ToonSV; if a count is 0,
            or there is none for ToonSV.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"stories.{name} is {count}: expected 1 or more, or null for all.")
        if count is None and dataset["name"] == TOONSV:
            raise ConfigError(f"ToonSV is drawn without end: give stories.{name}=N.")
    if target_text not in get_args(TargetText):
        raise unknown("target_text", target_text, get_args(TargetText))
    if dataset["name"] == TOONSV:
        frames = int(dataset["frames"])
        return {
            name: drawn_source(split, int(counts[name] or 0), frames, seed if split == "train" else 0, target_text)
            for name, split in subsets.items()
        }
    if target_text == "plain":
        raise ConfigError(
            f"target_text=plain tells events, which dataset {dataset['name']} has none of: give target_text=original."
        )
    return {name: dataset_source(dataset, subset, text, counts[name]) for name, subset in subsets.items()}


def pixels(image: Image.Image) -> Tensor:
    """Return a picture as (3, H, W) in [-1, 1]."""
    array = np.array(image.convert("RGB"), dtype=np.uint8)
    return torch.from_numpy(array).permute(2, 0, 1).float().div_(127.5).sub_(1)  # (3, H, W)


def summary(found: Mapping[str, PoolSource]) -> Sequence[str]:
    """Return a line for each source: what will be encoded."""
    return [f"{name}: {len(s.stories)} stories, {len(s.texts)} pictures" for name, s in found.items()]
