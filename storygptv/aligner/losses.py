"""The two losses of the aligner: L_gen (Eq. 4) and L_align (Eq. 6).

N targets, Q queries, D width of the conditioning embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from storygptv.aligner.packing import previous_token
from storygptv.aligner.prompt import PromptBatch, Slot
from storygptv.aligner.tokens import ImgTokens

AlignLoss = Literal["l2_norm", "squared"]
CeScope = Literal["text_and_first_img", "all_img"]


def alignment_loss(predicted: Tensor, target: Tensor, kind: AlignLoss = "l2_norm") -> Tensor:
    """Return L_align, the mean over targets and positions of the distance of embeddings.

    Args:
        predicted: Mapper output, shape (N, Q, D).
        target: Fused embedding of the explicit caption, same shape.
        kind: ``l2_norm`` takes the Euclidean distance (published code), ``squared`` its square (paper, Eq. 6).
    """
    squares = (predicted - target).square().sum(-1)  # (N, Q)
    if kind == "squared":
        return squares.mean()
    return (squares + 1e-12).sqrt().mean()  # the guard keeps the gradient finite at zero distance


def generation_loss(
    hidden: Tensor, batch: PromptBatch, img: ImgTokens, head: nn.Linear, scope: CeScope = "text_and_first_img"
) -> Tensor:
    """Return L_gen, the mean cross-entropy of the tokens in ``scope``, each counted once a target that reads it.

    Args:
        hidden: Last hidden states of packed or separate rows, shape (B, L, e).
        batch: The rows.
        img: The [IMG] tokens.
        head: Frozen output layer.
        scope: ``all_img`` is Eq. 4 (the R [IMG] tokens); ``text_and_first_img`` is the published code (all text, and
            of the [IMG] tokens the first).
    """
    is_img = batch.read > 0
    published = ((batch.slots == Slot.TEXT) & ~is_img) | (batch.read == 1)
    scoped = is_img if scope == "all_img" else published
    wanted = scoped & batch.valid & (batch.frames >= 0)  # BOS follows nothing
    row, place = wanted.nonzero(as_tuple=True)
    before = previous_token(batch.branch)[row, place]
    logits = img.logits(hidden[row, before], head).float()  # (M, V + R)
    labels = torch.where(is_img, batch.read - 1 + head.out_features, batch.ids)[row, place]
    weight = batch.repeats[row, place].to(logits.dtype)
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    return (losses * weight).sum() / weight.sum()
