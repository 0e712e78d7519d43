"""Batches of training frames from the stories of any data set, asked for by number.

What item n looks like in pass e depends on (seed, e, the frame's id) alone, and which items a batch holds on
(seed, number of the batch): training that was stopped goes on with the very same batches, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from storybench.data.stories import ClipStories
from storybench.errors import DataError
from storybench.seeding import frame_seed
from storybench.story import Character, Frame, Story
from storygptv.char_ldm.character_tokens import NameSpan, find_name_spans
from storygptv.char_ldm.frame_items import FrameOptions, TrainingItem, make_item
from storygptv.shares import shard


class Entry(NamedTuple):
    """Where a frame is, and what it is told with."""

    story: int
    frame: int
    caption: str
    key: str  # names the frame in its data set


@dataclass(frozen=True)
class StoryBatch:
    """B training items, each with K characters or fewer; what is beyond an item's own characters is zero."""

    captions: tuple[str, ...]
    spans: tuple[tuple[NameSpan, ...], ...]
    pixels: Tensor  # (B, 3, S, S) in [-1, 1]
    masks: Tensor  # (B, K, S, S) bool
    supervised: Tensor  # (B, K) bool
    crops: Tensor | None  # (B, K, 3, 224, 224) in [0, 1]; None: portraits


class StoryFrames:
    """The frames of ``stories``, each once however many stories share it."""

    def __init__(self, stories: Sequence[Story], text: str, options: FrameOptions, seed: int = 0) -> None:
        """Read the captions.

        Args:
            stories: Of any data set, opened with its pictures; a random choice of picture moves with the pass.
            text: Text mode of the captions, such as ``original``.
            options: What items look like.
            seed: Of order, flips, crops and dropout.

        Raises:
            DataError: If there are no pictures, or no frame is left.
        """
        self.stories, self.options, self.seed = stories, options, seed
        self.cast: tuple[Character, ...] = ()
        self.entries: list[Entry] = []
        self._order = lru_cache(maxsize=2)(self._shuffled)
        seen: set[str] = set()
        for k, story in enumerate(stories):
            self.cast = story.cast
            for frame in story.frames:
                if frame.load is None:
                    raise DataError(
                        "Training needs pictures and this data set was opened without: pass dataset.pictures=true."
                    )
                key = frame.id or f"{story.id}/{frame.index}"
                if key not in seen:
                    seen.add(key)
                    caption = frame.captions[text].text
                    if not options.named_only or self._names_somebody(caption, frame):
                        self.entries.append(Entry(k, frame.index, caption, key))
        if not self.entries:
            raise DataError(
                f"None of {len(seen)} frames has a caption (text={text}) that names somebody who is shown: give "
                "another subset, or named_only=false."
            )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.entries)

    def item(self, epoch: int, number: int) -> TrainingItem:
        """Return item ``number`` as it is in pass ``epoch``; see :func:`make_item` for its errors."""
        entry = self.entries[number]
        frame = self._stories(epoch)[entry.story].frames[entry.frame]
        generator = torch.Generator().manual_seed(frame_seed(self.seed, entry.key, epoch))
        return make_item(frame, entry.caption, self.cast, self.options, generator)

    def places(self, step: int, batch_size: int) -> list[tuple[int, int]]:
        """Return (pass, item) of each sample of batch ``step``; each pass has an order of its own."""
        epochs, places = divmod(step * batch_size + np.arange(batch_size), len(self))
        return [(int(e), int(self._order(int(e))[p])) for e, p in zip(epochs, places, strict=True)]

    def _names_somebody(self, caption: str, frame: Frame) -> bool:
        return any(self.cast[s.character].name in frame.characters for s in find_name_spans(caption, self.cast))

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self))

    def _stories(self, epoch: int) -> Sequence[Story]:
        """Return the stories with the pictures of pass ``epoch``, where a clip's picture is drawn at random."""
        if isinstance(self.stories, ClipStories) and self.stories.choice.how == "random":
            return replace(self.stories, choice=replace(self.stories.choice, epoch=epoch))
        return self.stories


class StoryBatches:
    """Batches of :class:`StoryFrames`, as :func:`storygptv.training.fit` asks for them."""

    def __init__(self, frames: StoryFrames, batch_size: int, workers: int = 0) -> None:
        """Make batches of ``batch_size`` samples, the samples in ``workers`` threads (0: none)."""
        self.frames, self.batch_size = frames, batch_size
        self.pool = ThreadPoolExecutor(workers, "frames") if workers else None

    def __call__(self, step: int, share: int, shares: int) -> StoryBatch:
        """Return part ``share`` of ``shares`` equal parts of batch ``step``; only its own samples are made."""
        places = shard(self.frames.places(step, self.batch_size), share, shares)
        run = map if self.pool is None else self.pool.map
        return stacked(list(run(lambda place: self.frames.item(*place), places)))


def stacked(items: Sequence[TrainingItem]) -> StoryBatch:
    """Return items as one batch."""
    most = max(1, *(len(item.spans) for item in items), 1)

    def filled(parts: Sequence[Tensor]) -> Tensor:
        whole = parts[0].new_zeros(len(parts), most, *parts[0].shape[1:])
        for row, part in zip(whole, parts, strict=True):
            row[: len(part)] = part
        return whole

    crops = [item.crops for item in items if item.crops is not None]
    return StoryBatch(
        tuple(item.caption for item in items),
        tuple(item.spans for item in items),
        torch.stack([item.pixels for item in items]),
        filled([item.masks for item in items]),
        filled([item.supervised for item in items]),
        filled(crops) if crops else None,
    )
