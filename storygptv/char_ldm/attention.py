"""Cross-attention of the characters' tokens, recorded and supervised by their masks (storygptv.md section 2, L_reg)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F

_GUARD = 1e-5  # published guard of every sum that divides


@dataclass
class CharacterColumns:
    """What the recorded layers look for and what they saw.

    ``token_idx`` (B, K) names the columns to keep; ``maps`` gets layer -> (B, heads, H*W, K) of the softmax over all
    tokens. ``None`` switches recording off.
    """

    token_idx: Tensor | None = None
    maps: dict[str, Tensor] = field(default_factory=dict)


class CharacterAttnProcessor:
    """Plain attention that keeps the columns of the characters' tokens.

    Plain matrix products, because a softmax over some dozens of tokens is faster so than in the fused CPU kernels, and
    the probabilities are needed.
    """

    def __init__(self, layer: str, columns: CharacterColumns | None) -> None:
        self.layer = layer
        self.columns = columns

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return attention of ``hidden_states`` (B, N, C) to itself or to ``encoder_hidden_states`` (B, L, D)."""
        batch, pixels, _ = hidden_states.shape
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, h, N, d)
        k = attn.to_k(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, h, L, d)
        v = attn.to_v(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, h, L, d)
        scores = (q * attn.scale) @ k.transpose(-1, -2)  # (B, h, N, L)
        if attention_mask is not None:
            scores = scores + attention_mask.view(batch, -1, attention_mask.shape[-2], attention_mask.shape[-1])
        maps = scores.softmax(dim=-1)
        columns = self.columns
        if columns is not None and columns.token_idx is not None:
            index = columns.token_idx[:, None, None, :].expand(-1, attn.heads, pixels, -1)  # (B, h, N, K)
            columns.maps[self.layer] = maps.gather(-1, index)
        out = (maps @ v).transpose(1, 2).flatten(2)  # (B, N, C)
        return attn.to_out[1](attn.to_out[0](out))


def record_character_columns(unet: UNet2DConditionModel, blocks: Sequence[str]) -> CharacterColumns:
    """Give ``unet`` processors that keep character columns in the cross-attention of ``blocks``.

    Args:
        unet: Changed in place.
        blocks: Prefixes of module names, such as ``down_blocks.1`` or ``mid_block``.

    Raises:
        ValueError: If a block holds no cross-attention.
    """
    columns = CharacterColumns()
    processors = {}
    for name in unet.attn_processors:
        supervised = ".attn2." in name and any(name.startswith(f"{block}.") for block in blocks)
        processors[name] = CharacterAttnProcessor(name.removesuffix(".processor"), columns if supervised else None)
    for block in blocks:
        if not any(p.columns and p.layer.startswith(f"{block}.") for p in processors.values()):
            raise ValueError(f"no cross-attention in U-Net block {block!r} to supervise")
    unet.set_attn_processor(processors)
    return columns


def attention_loss(maps: Mapping[str, Tensor], masks: Tensor, valid: Tensor) -> Tensor:
    """Return L_reg: each character's token should attend inside its mask and not outside (balanced L1).

    Per head and character ``sum(A(1-M))/sum(1-M) - sum(A M)/sum(M)``; mean over the sample's valid characters, then
    over heads and batch, then over layers.

    Args:
        maps: Layer -> probabilities of the characters' columns, (B, heads, h*w, K), h*w square.
        masks: Binary masks of the characters, (B, K, H, W).
        valid: 1 where the character exists and has a mask, (B, K).

    Returns:
        A scalar. Samples without characters contribute 0.

    Reference:
        StoryGPT-V section 3.2 (L_reg); FastComposer, balanced L1 localisation loss.
    """
    losses = []
    weight = valid.to(masks.dtype)
    count = weight.sum(-1) + _GUARD  # (B,)
    for probabilities in maps.values():
        side = round(probabilities.shape[2] ** 0.5)
        inside = F.interpolate(masks, (side, side), mode="bilinear", antialias=True)  # (B, K, h, w)
        inside = inside.flatten(2).transpose(1, 2)[:, None]  # (B, 1, h*w, K)
        outside = 1 - inside
        off = (probabilities * outside).sum(2) / (outside.sum(2) + _GUARD)  # (B, heads, K)
        on = (probabilities * inside).sum(2) / (inside.sum(2) + _GUARD)  # (B, heads, K)
        per_sample = ((off - on) * weight[:, None]).sum(-1) / count[:, None]  # (B, heads)
        losses.append(per_sample.mean())
    return torch.stack(losses).mean()
