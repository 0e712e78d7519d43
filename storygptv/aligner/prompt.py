"""The one prompt builder: what the language model reads, in training and at inference.

A story is BOS and a *trunk* of history blocks `` Image: <picture> Caption: S_i``; the *target* block of frame t is
`` Caption: S_t Image: [IMG0]...[IMGR-1]``, a suffix that later frames never read. Every block is tokenised by itself,
so that training and inference cannot differ. The target is never cut: when a sequence is too long, the oldest history
blocks go.

B rows, L tokens, m visual tokens a picture, R [IMG] tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from storybench.errors import DataError


class Slot(IntEnum):
    """Where the embedding of a position comes from."""

    TEXT = 0  # the embedding table, row ``ids``
    VISUAL = 1  # visual token ``ids`` of the picture of frame ``frames``
    IMG = 2  # [IMG] row ``ids``


@dataclass(frozen=True)
class PromptFormat:
    """The literal text of a prompt. Published text: ``image_open=" Image: <img>"``, ``image_close="</img>"``."""

    image_open: str = " Image:"
    image_close: str = ""
    caption: str = " Caption: {caption}"
    target: str = " Image:"
    max_length: int = 256
    overflow: Literal["drop_oldest", "error"] = "drop_oldest"


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
    """Right-padded rows; each tensor (B, L) int64, ``valid`` bool."""

    ids: Tensor
    slots: Tensor
    frames: Tensor
    branch: Tensor
    repeats: Tensor
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
        before, after = self._text(self.prompt.image_open), self._text(self.prompt.image_close)
        told = self._text(self.prompt.caption.format(caption=caption))
        pictured = tuple(range(self.visual_tokens))
        ids = before + pictured + after + told
        text = (Slot.TEXT,)
        slots = text * len(before) + (Slot.VISUAL,) * len(pictured) + text * (len(after) + len(told))
        return Block(ids, slots, frame)

    def target(self, frame: int, caption: str) -> Block:
        """Return the block to draw from, `` Caption: S_t Image: [IMG0]...[IMGR-1]``."""
        told = self._text(self.prompt.caption.format(caption=caption)) + self._text(self.prompt.target)
        slots = (Slot.TEXT,) * len(told) + (Slot.IMG,) * self.img_tokens
        return Block(told + tuple(range(self.img_tokens)), slots, frame)

    def oldest_kept(self, history: Sequence[Block], target: Block) -> int:
        """Return the index of the first history block that fits before ``target``.

        Raises:
            DataError: If the target alone is too long, or a block must go and ``overflow`` is ``error``.
        """
        room = self.prompt.max_length - len(self.start) - len(target)
        if room < 0:
            raise DataError(
                f"The caption of frame {target.frame} takes {len(target)} tokens of a prompt of at most "
                f"{self.prompt.max_length}: shorten it, or raise max_length."
            )
        first = len(history)
        while first and len(history[first - 1]) <= room:
            first -= 1
            room -= len(history[first])
        if first and self.prompt.overflow == "error":
            raise DataError(f"{first} earlier frames do not fit in a prompt of {self.prompt.max_length} tokens.")
        return first

    def separate(self, captions: Sequence[str], frame: int) -> list[Placed]:
        """Return the row of frame ``frame`` alone."""
        history = [self.history(i, captions[i]) for i in range(frame)]
        target = self.target(frame, captions[frame])
        kept = history[self.oldest_kept(history, target) :]
        return [Placed(self.start), *map(Placed, kept), Placed(target, frame + 1)]

    def packed(self, captions: Sequence[str]) -> list[Placed] | None:
        """Return all frames in one row: branch 0, history 0, branch 1, ...; None if some frame must drop history."""
        history = [self.history(i, caption) for i, caption in enumerate(captions[:-1])]
        targets = [self.target(t, caption) for t, caption in enumerate(captions)]
        if any(self.oldest_kept(history[:t], target) for t, target in enumerate(targets)):
            return None
        row = [Placed(self.start)]
        for t, target in enumerate(targets):
            row.append(Placed(target, t + 1))
            if t < len(history):
                row.append(Placed(history[t], 0, len(history) - t))
        return row

    def batch(self, rows: Sequence[Sequence[Placed]]) -> PromptBatch:
        """Pad rows of blocks on the right."""
        length = max(sum(len(placed.block) for placed in row) for row in rows)
        table = torch.zeros(6, len(rows), length, dtype=torch.long)
        for b, row in enumerate(rows):
            columns = [
                (i, s, placed.block.frame, placed.branch, placed.repeats, 1)
                for placed in row
                for i, s in zip(placed.block.ids, placed.block.slots, strict=True)
            ]
            table[:, b, : len(columns)] = torch.tensor(columns, dtype=torch.long).T
        *columns, valid = table
        return PromptBatch(*columns, valid.bool())

    def _text(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()
