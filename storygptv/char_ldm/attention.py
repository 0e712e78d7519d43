"""L_reg: a character's token attends inside that character's mask (StoryGPT-V Eq. 2 and 3), from few columns.

The published way keeps the softmax maps A (B, h, N, L) of every supervised layer for the backward pass. L_reg reads
only the K columns of the characters' tokens. So the layers here attend through the fused kernel, and the loss takes
from them queries and keys, which autograd keeps anyway: scores against the K key columns less the log-sum-exp of the
row over all L keys, once in forward and once more in backward. Nothing of size (B, h, N, L) is kept between the two.

B samples, h heads, N = height x width latent pixels, L text tokens, K characters, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from storybench.errors import ConfigError

_GUARD = 1e-5  # published guard of every sum that divides
_SCORES_AT_ONCE = 2**24  # 64 MiB in float32: samples beyond this many scores are taken in turn


class _Attended(NamedTuple):
    """What one layer attended with."""

    q: Tensor  # (B, h, N, d)
    k: Tensor  # (B, h, L, d)
    bias: Tensor | None  # (B, h, 1 or N, L), added to the scores
    scale: float


def _scores(layer: _Attended, rows: slice) -> Tensor:
    """Return the scores of some samples before the softmax (B', h, N, L), in float32 or wider."""
    wide = torch.promote_types(layer.q.dtype, torch.float32)
    scores = (layer.q[rows].to(wide) * layer.scale) @ layer.k[rows].to(wide).transpose(-1, -2)  # (B', h, N, L)
    return scores if layer.bias is None else scores + layer.bias[rows].to(wide)


def _columns_of(scores: Tensor, token_idx: Tensor) -> Tensor:
    """Return the probabilities of the tokens' columns (B, h, N, K): the rest of the softmax is never formed."""
    index = token_idx[:, None, None].expand(-1, *scores.shape[1:3], -1)  # (B, h, N, K)
    return (scores.gather(-1, index) - scores.logsumexp(-1, keepdim=True)).exp()


def _in_turn(layer: _Attended) -> Iterator[slice]:
    """Yield slices of samples whose scores fit ``_SCORES_AT_ONCE``; one sample at the least."""
    batch, heads, pixels, _ = layer.q.shape
    step = max(1, _SCORES_AT_ONCE // (heads * pixels * layer.k.shape[2]))
    for first in range(0, batch, step):
        yield slice(first, first + step)


class _ColumnSum(torch.autograd.Function):
    """The sum over (B, h, N, K) of probability times weight, with the scores computed again in backward."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: FunctionCtx, q: Tensor, k: Tensor, bias: Tensor | None, weights: Tensor, token_idx: Tensor, scale: float
    ) -> Tensor:
        ctx.save_for_backward(q, k, bias, weights, token_idx)
        ctx.scale = scale  # type: ignore[attr-defined]
        layer = _Attended(q, k, bias, scale)
        parts = [
            (_columns_of(_scores(layer, rows), token_idx[rows]) * weights[rows, None]).sum() for rows in _in_turn(layer)
        ]
        return torch.stack(parts).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, bias, weights, token_idx = ctx.saved_tensors  # type: ignore[attr-defined]
        layer = _Attended(q, k, bias, ctx.scale)  # type: ignore[attr-defined]
        d_q, d_k, d_weights = torch.empty_like(q), torch.empty_like(k), torch.empty_like(weights)
        d_bias = None if bias is None else torch.empty_like(bias)
        with torch.autocast(q.device.type, enabled=False):
            for rows in _in_turn(layer):
                maps = _scores(layer, rows).softmax(-1)  # (B', h, N, L)
                index = token_idx[rows]
                columns = maps.gather(-1, index[:, None, None].expand(-1, *maps.shape[1:3], -1))  # (B', h, N, K)
                d_weights[rows] = grad * columns.sum(1)
                hit = columns * weights[rows, None] * grad  # (B', h, N, K)
                one_hot = F.one_hot(index, maps.shape[-1]).to(hit.dtype)[:, None]  # (B', 1, K, L)
                # softmax backward; the product with one_hot adds up where two characters share a token
                d_scores = hit @ one_hot - maps * hit.sum(-1, keepdim=True)  # (B', h, N, L)
                d_q[rows] = (d_scores @ k[rows].to(d_scores.dtype) * layer.scale).to(q.dtype)
                d_k[rows] = (d_scores.transpose(-1, -2) @ q[rows].to(d_scores.dtype) * layer.scale).to(k.dtype)
                if d_bias is not None:
                    d_bias[rows] = d_scores.sum_to_size(d_bias[rows].shape).to(d_bias.dtype)
        return d_q, d_k, d_bias, d_weights, None, None


def _mask_weights(masks: Tensor, valid: Tensor, pixels: int) -> Tensor:
    """Return what each probability counts in a sample's L_reg, (B, N, K): Eq. 3's two quotients and Eq. 2's mean.

    Masks are resized as published, bilinear with antialiasing, and so become soft.
    """
    height = round((pixels * masks.shape[2] / masks.shape[3]) ** 0.5)
    if height * (pixels // height) != pixels:
        raise ValueError(f"{pixels} latent pixels cannot have the shape of {masks.shape[2]}x{masks.shape[3]} masks")
    if not masks.shape[1]:
        return masks.new_zeros(len(masks), pixels, 0)
    inside = F.interpolate(masks, (height, pixels // height), mode="bilinear", antialias=True)  # (B, K, h, w)
    inside = inside.flatten(2).transpose(1, 2)  # (B, N, K)
    outside = 1 - inside
    signed = outside / (outside.sum(1, keepdim=True) + _GUARD) - inside / (inside.sum(1, keepdim=True) + _GUARD)
    counted = valid.to(signed.dtype)
    return signed * (counted / (counted.sum(-1, keepdim=True) + _GUARD))[:, None]


def attention_loss(maps: Mapping[str, Tensor], masks: Tensor, valid: Tensor) -> Tensor:
    """Return L_reg of attention columns that are at hand: balanced L1 localisation.

    Per head and character ``sum(A(1-M))/sum(1-M) - sum(A M)/sum(M)``; mean over the sample's valid characters, then
    over heads and batch, then over layers. Training takes :meth:`CharacterColumns.loss`, the same without the maps.

    Args:
        maps: Layer -> probabilities of the characters' columns, (B, h, N, K), N in the masks' aspect.
        masks: Binary masks of the characters, (B, K, H, W).
        valid: 1 where the character exists and has a mask, (B, K).

    Returns:
        A scalar. Samples without characters contribute 0.

    Reference:
        StoryGPT-V Eq. 2 and 3 (L_reg); FastComposer (arXiv 2305.10431), the balanced L1 localisation loss.
    """
    per_layer = []
    for probabilities in maps.values():
        weights = _mask_weights(masks, valid, probabilities.shape[2])  # (B, N, K)
        per_layer.append((probabilities * weights[:, None]).sum((2, 3)).mean())
    return torch.stack(per_layer).mean()


class CharacterColumns:
    """The supervised cross-attention layers of a U-Net, for one training step at a time.

    A step is ``supervise``, one forward of the U-Net, ``loss``. Outside of it the layers attend and remember nothing,
    so a forward that gradient checkpointing repeats in backward is not counted again.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self._attended: dict[str, _Attended] = {}
        self._targets: tuple[Tensor, Tensor, Tensor] | None = None
        self._with_grad = True

    def supervise(self, token_idx: Tensor, masks: Tensor, valid: Tensor) -> None:
        """Say what the next forward of the U-Net is held to.

        Args:
            token_idx: Index of each character's token in the text, (B, K) int; where not valid, anything.
            masks: Masks of the characters, 1 inside, (B, K, H, W).
            valid: True or 1 where the character exists and has a mask, (B, K).

        Raises:
            ValueError: If the shapes do not fit together.
        """
        if not token_idx.shape == valid.shape == masks.shape[:2] or masks.ndim != 4:
            shapes = f"{tuple(token_idx.shape)}, {tuple(masks.shape)} and {tuple(valid.shape)}"
            raise ValueError(f"token_idx, masks and valid must be (B, K), (B, K, H, W) and (B, K), not {shapes}")
        self._attended.clear()
        self._targets = token_idx.masked_fill(valid == 0, 0), masks, valid
        self._with_grad = torch.is_grad_enabled()

    def keep(self, layer: str, attended: _Attended) -> None:
        """Take what ``layer`` attends with, if a step is under way. The layers' processors call this."""
        if self._targets is None:
            return
        if layer in self._attended:
            raise RuntimeError(f"{layer} ran twice after supervise(): call loss() or clear() after each U-Net forward")
        if self._with_grad and not torch.is_grad_enabled():
            raise ConfigError(
                f"{layer} ran without gradients although supervise() was called with them: call both alike, and use "
                "gradient checkpointing as diffusers does by default, with use_reentrant=False."
            )
        self._attended[layer] = attended

    def probabilities(self) -> dict[str, Tensor]:
        """Return layer -> probabilities of the characters' columns (B, h, N, K), detached; to be asked before loss."""
        token_idx, _, _ = self._seen_targets()
        found = {}
        with torch.no_grad():
            for name, layer in self._attended.items():
                index = token_idx.to(layer.q.device)
                found[name] = torch.cat([_columns_of(_scores(layer, rows), index[rows]) for rows in _in_turn(layer)])
        return found

    def loss(self) -> Tensor:
        """Return L_reg of the forward since ``supervise``, and end the step.

        Equal to :func:`attention_loss` of the full maps in value and gradients; accumulated in float32 or wider.

        Returns:
            A scalar, the mean over the layers; 0 if no block is supervised.

        Raises:
            RuntimeError: If the U-Net has not run since ``supervise``.

        Reference:
            StoryGPT-V Eq. 2 and 3 (L_reg); FastComposer (arXiv 2305.10431), the balanced L1 localisation loss.
        """
        token_idx, masks, valid = self._seen_targets()
        attended = [self._attended[name] for name in self.layers]
        self.clear()
        wide = torch.promote_types(masks.dtype, torch.float32)
        if not attended:
            return torch.zeros((), dtype=wide, device=masks.device)
        device = attended[0].q.device
        masks, valid, token_idx = masks.to(device, wide), valid.to(device), token_idx.to(device)
        weights: dict[int, Tensor] = {}  # pixels -> (B, N, K), shared by layers of one resolution
        per_layer = []
        with torch.autocast(device.type, enabled=False):
            for q, k, bias, scale in attended:
                if len(q) != len(masks):
                    raise ValueError(f"the U-Net ran on {len(q)} samples, but supervise() was given {len(masks)}")
                if q.shape[2] not in weights:
                    weights[q.shape[2]] = _mask_weights(masks, valid, q.shape[2])
                total = _ColumnSum.apply(q, k, bias, weights[q.shape[2]], token_idx, scale)
                per_layer.append(total / (q.shape[0] * q.shape[1]))
            return torch.stack(per_layer).mean()

    def clear(self) -> None:
        """End the step and let go of all tensors; the layers go on attending, unsupervised."""
        self._attended = {}
        self._targets = None

    def _seen_targets(self) -> tuple[Tensor, Tensor, Tensor]:
        if self._targets is None or len(self._attended) != len(self.layers):
            raise RuntimeError("L_reg needs supervise(), then one forward of the U-Net, then loss()")
        return self._targets


class CharacterAttnProcessor:
    """Cross-attention through torch's fused kernel that shows its queries and keys to :class:`CharacterColumns`."""

    def __init__(self, layer: str, columns: CharacterColumns) -> None:
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
        """Return attention of ``hidden_states`` (B, N, C) to ``encoder_hidden_states`` (B, L, D), as (B, N, C)."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, h, N, d)
        k = attn.to_k(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, h, L, d)
        v = attn.to_v(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, h, L, d)
        bias = None
        if attention_mask is not None:
            prepared = attn.prepare_attention_mask(attention_mask, context.shape[1], len(q))  # (B*h, 1 or N, L)
            bias = prepared.unflatten(0, (len(q), attn.heads))  # (B, h, 1 or N, L)
        self.columns.keep(self.layer, _Attended(q, k, bias, attn.scale))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=attn.scale)  # (B, h, N, d)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))  # (B, N, C)


def record_character_columns(unet: UNet2DConditionModel, blocks: Sequence[str]) -> CharacterColumns:
    """Make the cross-attention of ``blocks`` open to L_reg; every other layer keeps its processor.

    Published are ``down_blocks.1``, ``down_blocks.2``, ``mid_block``, ``up_blocks.1`` and ``up_blocks.2`` of Stable
    Diffusion 1.5: 11 layers, all but those at 64 x 64. A second call replaces the first.

    Args:
        unet: Changed in place.
        blocks: Prefixes of module names, such as ``down_blocks.1`` or ``mid_block``.

    Raises:
        ConfigError: If a block holds no cross-attention.
    """
    cross = [name.removesuffix(".processor") for name in unet.attn_processors if name.endswith(".attn2.processor")]
    for block in blocks:
        if not any(name.startswith(f"{block}.") for name in cross):
            have = sorted({name.split(".attentions.")[0] for name in cross})
            raise ConfigError(
                f"U-Net block {block!r} has no cross-attention to supervise; choose among {', '.join(have)}."
            )
    columns = CharacterColumns([name for name in cross if any(name.startswith(f"{block}.") for block in blocks)])
    processors = {}
    for name, present in unet.attn_processors.items():
        layer = name.removesuffix(".processor")
        if layer in columns.layers:
            processors[name] = CharacterAttnProcessor(layer, columns)
        else:
            processors[name] = AttnProcessor2_0() if isinstance(present, CharacterAttnProcessor) else present
    unet.set_attn_processor(processors)
    return columns
