"""From training batches to what the U-Net is conditioned on: the fused embedding c (StoryGPT-V Eq. 1), with gradients.

Drawing fuses the portraits of a cast, encoded once (:class:`~storygptv.char_ldm.model.CharLDM`). Training differs in
that a name may carry the crop of its own frame, and that the image encoder may be learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from storygptv.char_ldm.character_tokens import NameSpan, find_character_tokens
from storygptv.char_ldm.model import STATISTICS, CharLDM
from storygptv.char_ldm.text import CaptionTokens


class TrainingTokens(NamedTuple):
    """Tokenised captions, and which of its sample's spans each name is: truncation may have lost some."""

    tokens: CaptionTokens
    objects: Tensor  # (B, K) int64; 0 where not valid

    def pick(self, per_object: Tensor) -> Tensor:
        """Return per-object values (B, K', ...) in the order of the tokens, (B, K, ...); zero where not valid."""
        rows = torch.arange(len(per_object), device=per_object.device)[:, None]
        picked = per_object[rows, self.objects.to(per_object.device)]  # (B, K, ...)
        valid = self.tokens.valid.to(per_object.device)
        return picked * valid.view(*valid.shape, *(1,) * (picked.ndim - 2)).to(picked.dtype)


def tokenized(
    tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], spans: Sequence[Sequence[NameSpan]]
) -> TrainingTokens:
    """Tokenise captions to the tokenizer's full length and find the given names in them.

    Args:
        tokenizer: A fast tokenizer (offsets are needed).
        captions: B sentences.
        spans: The names of each sentence that carry a picture, in order.
    """
    encoded = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    most = max(1, *(len(s) for s in spans), 1)
    token_idx, objects, characters = (torch.zeros(len(captions), most, dtype=torch.long) for _ in range(3))
    valid = torch.zeros(len(captions), most, dtype=torch.bool)
    for i, named in enumerate(spans):
        numbered = [span._replace(character=k) for k, span in enumerate(named)]
        for j, (token, k) in enumerate(find_character_tokens(numbered, encoded["offset_mapping"][i])):
            token_idx[i, j], objects[i, j], characters[i, j], valid[i, j] = token, k, named[k].character, True
    return TrainingTokens(CaptionTokens(torch.tensor(encoded["input_ids"]), characters, token_idx, valid), objects)


def fused_context(model: CharLDM, tokens: CaptionTokens, pictures: Tensor) -> Tensor:
    """Return the fused embedding c (B, L, D) of names that carry ``pictures`` (B, K, D) (StoryGPT-V Eq. 1)."""
    text = model.text_encoder(tokens.ids).last_hidden_state  # (B, L, D), after the final layer norm
    if not tokens.valid.any():
        return text
    return model.fusion(text, pictures, tokens.token_mask(), tokens.valid.sum(1))


def crop_features(model: CharLDM, crops: Tensor, valid: Tensor) -> Tensor:
    """Return features (B, K, D) of crops (B, K, 3, 224, 224) in [0, 1]; only valid ones are encoded, others are 0."""
    features = picture_features(model, crops[valid])  # (N, D)
    out = features.new_zeros(*valid.shape, features.shape[-1])
    return out.masked_scatter(valid[..., None], features)


def portrait_features(model: CharLDM, portraits: Tensor | None, characters: Tensor) -> Tensor:
    """Return features (B, K, D) of the portraits of ``characters`` (B, K), members of the cast.

    Args:
        model: Char-LDM with its cast.
        portraits: The cast's, (N, 3, S, S) in [0, 1], where the image encoder learns and they are encoded again; None
            where it is frozen, and what :meth:`CharLDM.set_cast` encoded is taken.
        characters: Index into the cast.
    """
    features = model.character_embeds if portraits is None else picture_features(model, portraits)  # (N, D)
    return features.to(characters.device)[characters]


def picture_features(model: CharLDM, pictures: Tensor) -> Tensor:
    """Return projected features (N, D) of pictures (N, 3, S, S) in [0, 1]."""
    size = model.image_encoder.config.image_size
    if pictures.shape[-2:] != (size, size) and len(pictures):
        pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
    mean, std = (pictures.new_tensor(v).view(1, -1, 1, 1) for v in STATISTICS[model.image_statistics])
    if not len(pictures):
        return pictures.new_zeros(0, model.fusion.config.embed_dim)
    return model.image_encoder((pictures - mean) / std).image_embeds
