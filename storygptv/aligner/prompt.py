"""The one prompt builder: what the language model reads, in training and at inference (StoryGPT-V Eq. 5, T_prev).

A story is BOS and a *trunk* of history blocks `` Image: <picture> Caption: S_i``; the *target* block of frame t is
`` Caption: S_t Image: [IMG0]...[IMGR-1]``, a suffix that later frames never read. Every block is tokenised by itself,
so that training and inference cannot differ. The target is never cut: when a sequence is too long, the oldest history
blocks go.

For runs in parity with the published code two defects can be asked for (storygptv.md sections 4 to 6):
``style="published"`` puts at inference the space before [IMG0] that published training never saw, and
``overflow="published"`` cuts training rows on the right, so that the mapper reads states of caption tokens.

B rows, L tokens, m visual tokens a picture, R [IMG] tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from storybench.errors import DataError, unknown

Overflow = Literal["drop_oldest", "error", "published"]
PromptStyle = Literal["unified", "published"]
PUBLISHED_TARGET_END = " "  # the published inference text ends " Image: ", and this space becomes a token


class Slot(IntEnum):
    """Where the embedding of a position comes from."""

    TEXT = 0  # the embedding table, row ``ids``
    VISUAL = 1  # visual token ``ids`` of the picture of frame ``frames``
    IMG = 2  # [IMG] row ``ids``


@dataclass(frozen=True)
class PromptFormat:
    """The literal text of a prompt. Published text: ``image_open=" Image: <img>"``, ``image_close="</img>"``.

    ``max_length`` counts the tokens of one frame's prompt; ``inference_max_length`` is that of inference, where history
    may be longer than in training (None: the same).
    """

    image_open: str = " Image:"
    image_close: str = ""
    caption: str = " Caption: {caption}"
    target: str = " Image:"
    max_length: int = 256
    overflow: Overflow = "drop_oldest"
    style: PromptStyle = "unified"
    inference_max_length: int | None = None

    def __post_init__(self) -> None:
        for name, value, kind in (("overflow", self.overflow, Overflow), ("prompt style", self.style, PromptStyle)):
            if value not in get_args(kind):
                raise unknown(name, value, get_args(kind))

    def longest(self, inference: bool) -> int:
        """Return how many tokens a prompt may have, in training or at inference."""
        return self.max_length if not inference or self.inference_max_length is None else self.inference_max_length


@dataclass(frozen=True)
class Block:
    """A run of positions: an id and a slot each, and the frame they belong to."""

    ids: tuple[int, ...]
    slots: tuple[int, ...]
    frame: int

    def __len__(self) -> int:
        return len(self.ids)


class Placed(NamedTuple):
    """A block in a row: its branch (0 trunk, t + 1 target of t) and the number of targets it belongs to."""

    block: Block
    branch: int = 0
    repeats: int = 1


class PromptBatch(NamedTuple):
    """Right-padded rows; each tensor (B, L) int64, ``valid`` bool.

    ``read`` is r + 1 where the mapper reads the state of [IMG] token r, else 0.
    """

    ids: Tensor
    slots: Tensor
    frames: Tensor
    branch: Tensor
    repeats: Tensor
    read: Tensor
    valid: Tensor


class PromptBuilder:
    """Turns captions into blocks and blocks into rows."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, prompt: PromptFormat, visual_tokens: int, img_tokens: int
    ) -> None:
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.visual_tokens = visual_tokens
        self.img_tokens = img_tokens
        self.start = Block((tokenizer.bos_token_id,), (Slot.TEXT,), -1)

    def history(self, frame: int, caption: str) -> Block:
        """Return the block of an earlier frame, `` Image: <m visual tokens> Caption: S_i``."""
        before = self._text(self.prompt.image_open)
        after = self._text(self.prompt.image_close + self.prompt.caption.format(caption=caption))
        pictured = tuple(range(self.visual_tokens))
        slots = (Slot.TEXT,) * len(before) + (Slot.VISUAL,) * len(pictured) + (Slot.TEXT,) * len(after)
        return Block(before + pictured + after, slots, frame)

    def target(self, frame: int, caption: str, inference: bool = False) -> Block:
        """Return the block to draw from, `` Caption: S_t Image: [IMG0]...[IMGR-1]``."""
        end = PUBLISHED_TARGET_END if inference and self.prompt.style == "published" else ""
        told = self._text(self.prompt.caption.format(caption=caption)) + self._text(self.prompt.target + end)
        slots = (Slot.TEXT,) * len(told) + (Slot.IMG,) * self.img_tokens
        return Block(told + tuple(range(self.img_tokens)), slots, frame)

    def oldest_kept(self, history: Sequence[Block], target: Block, inference: bool = False) -> int:
        """Return the index of the first history block that fits before ``target``.

        Raises:
            DataError: If the target alone is too long, or a block must go and ``overflow`` is ``error``.
        """
        longest = self.prompt.longest(inference)
        room = longest - len(self.start) - len(target)
        if room < 0:
            raise DataError(
                f"The caption of frame {target.frame} takes {len(target)} tokens of a prompt of at most "
                f"{longest}: shorten it, or raise max_length."
            )
        first = len(history)
        while first and len(history[first - 1]) <= room:
            first -= 1
            room -= len(history[first])
        if first and self.prompt.overflow == "error":
            raise DataError(
                f"{first} frames before frame {target.frame} do not fit in a prompt of {longest} tokens: raise "
                "max_length, or give overflow=drop_oldest."
            )
        return first

    def separate(self, captions: Sequence[str], frame: int, inference: bool = False) -> list[Placed]:
        """Return the row of frame ``frame`` alone; ``inference`` writes it as it is read when frames are drawn."""
        history = [self.history(i, captions[i]) for i in range(frame)]
        target = self.target(frame, captions[frame], inference)
        if self.prompt.overflow == "published":
            return [Placed(self.start), *map(Placed, history), Placed(target, frame + 1)]
        kept = history[self.oldest_kept(history, target, inference) :]
        return [Placed(self.start), *map(Placed, kept), Placed(target, frame + 1)]

    def packed(self, captions: Sequence[str], first: int = 0) -> list[Placed] | None:
        """Return the frames from ``first`` on in one row: history 0, branch 1, ...; None if one is too long for it."""
        history = [self.history(i, caption) for i, caption in enumerate(captions[:-1])]
        targets = {t: self.target(t, captions[t]) for t in range(first, len(captions))}
        if self.prompt.overflow == "published":
            read = len(self.start) + sum(map(len, history))
            if targets and read + len(targets[len(captions) - 1]) > self.prompt.max_length:
                return None
        elif any(self.oldest_kept(history[:t], target) for t, target in targets.items()):
            return None
        row = [Placed(self.start)]
        for t in range(len(captions)):
            if t in targets:
                row.append(Placed(targets[t], t + 1))
            if t < len(history):
                row.append(Placed(history[t], 0, len(captions) - max(t + 1, first)))
        return row

    def batch(self, rows: Sequence[Sequence[Placed]], inference: bool = False) -> PromptBatch:
        """Pad rows of blocks on the right."""
        written = [self._columns(row, inference) for row in rows]
        table = torch.zeros(7, len(rows), max(map(len, written)), dtype=torch.long)
        for b, columns in enumerate(written):
            table[:, b, : len(columns)] = torch.tensor(columns, dtype=torch.long).T
        *columns, valid = table
        return PromptBatch(*columns, valid.bool())

    def _columns(self, row: Sequence[Placed], inference: bool) -> list[tuple[int, ...]]:
        """Return a row as one tuple a token: the fields of :class:`PromptBatch`."""
        columns = [
            (i, s, placed.block.frame, placed.branch, placed.repeats, i + 1 if s == Slot.IMG else 0, 1)
            for placed in row
            for i, s in zip(placed.block.ids, placed.block.slots, strict=True)
        ]
        alone = len({placed.branch for placed in row} - {0}) <= 1  # a packed row is longer than each of its prompts
        if inference or self.prompt.overflow != "published" or not alone or len(columns) <= self.prompt.max_length:
            return columns
        kept = columns[: self.prompt.max_length]  # published: cut, and the last R tokens are taken for [IMG] tokens
        plain = [(*column[:5], 0, 1) for column in kept[: -self.img_tokens]]
        return plain + [(*column[:5], r + 1, 1) for r, column in enumerate(kept[-self.img_tokens :])]

    def _text(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()
