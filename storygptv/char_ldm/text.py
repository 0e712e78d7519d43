"""Captions to token ids and the places of the characters' names in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from storybench.story import Character
from storygptv.char_ldm.character_tokens import find_character_tokens, find_name_spans


@dataclass(frozen=True)
class CaptionTokens:
    """A batch of captions, B of length L with at most K names each; objects are in token order."""

    ids: Tensor  # (B, L) int64
    characters: Tensor  # (B, K) int64, index into the cast
    token_idx: Tensor  # (B, K) int64, the last token of each name
    valid: Tensor  # (B, K) bool

    def token_mask(self) -> Tensor:
        """Return (B, L) bool, True at the token of each valid name."""
        mask = torch.zeros(self.ids.shape, dtype=torch.bool, device=self.ids.device)
        rows = torch.arange(len(self.ids), device=self.ids.device)[:, None].expand_as(self.token_idx)
        mask[rows[self.valid], self.token_idx[self.valid]] = True
        return mask


def tokenize_captions(
    tokenizer: PreTrainedTokenizerBase,
    captions: Sequence[str],
    cast: Sequence[Character],
    fuse: Sequence[bool] | None = None,
) -> CaptionTokens:
    """Tokenise captions to the tokenizer's full length and find the names in them.

    Args:
        tokenizer: A fast tokenizer (offsets are needed); pads to ``model_max_length``.
        captions: B sentences.
        cast: Characters whose names are looked for.
        fuse: False where a caption's names get no picture (text-only conditioning); default all True.
    """
    encoded = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    places = []
    for i, caption in enumerate(captions):
        wanted = fuse is None or fuse[i]
        spans = find_name_spans(caption, cast) if wanted else []
        places.append(find_character_tokens(spans, encoded["offset_mapping"][i]))
    most = max(1, *(len(p) for p in places)) if places else 1
    token_idx = torch.zeros(len(captions), most, dtype=torch.long)
    characters = torch.zeros_like(token_idx)
    valid = torch.zeros_like(token_idx, dtype=torch.bool)
    for i, found in enumerate(places):
        for j, (token, character) in enumerate(found):
            token_idx[i, j], characters[i, j], valid[i, j] = token, character, True
    return CaptionTokens(torch.tensor(encoded["input_ids"]), characters, token_idx, valid)
