"""Several continuations of one story in one sequence: the trunk and its branches.

Trunk tokens (branch number 0) are what every later token may read. A branch is a run of tokens with a positive number:
it reads the trunk before it and itself, nobody else reads it, and the trunk goes on as if it were not there. So the
target blocks of all T frames of a story cost one forward pass instead of T, with the same result.

B stories, L tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


def packed_positions(branch: Tensor) -> Tensor:
    """Return the position each token would have in its own sequence.

    Args:
        branch: Branch numbers, shape (B, L); 0 is the trunk; a branch is contiguous; padding stands at the right end.

    Returns:
        Position ids, shape (B, L), int64.
    """
    index = torch.arange(branch.shape[1], device=branch.device)
    trunk_before = torch.cumsum(branch == 0, 1) - (branch == 0).long()  # (B, L)
    changed = torch.ones_like(branch, dtype=torch.bool)
    changed[:, 1:] = branch[:, 1:] != branch[:, :-1]
    start = torch.where(changed, index, 0).cummax(1).values  # (B, L) where the token's run began
    return trunk_before + torch.where(branch > 0, index - start, 0)


def packed_mask(branch: Tensor, valid: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the additive attention mask of packed sequences.

    Args:
        branch: Branch numbers, shape (B, L).
        valid: False at padding, shape (B, L). A padded token reads itself only, so that no row is empty.
        dtype: Floating-point type of the mask.

    Returns:
        Zeros where query i may read key j, the most negative number elsewhere, shape (B, 1, L, L).
    """
    length = branch.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=branch.device).tril()
    readable = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])  # (B, L, L)
    allowed = causal & readable & valid[:, None, :]
    allowed |= torch.eye(length, dtype=torch.bool, device=branch.device)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=branch.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def previous_token(branch: Tensor) -> Tensor:
    """Return the index of the token that each token follows in its own sequence, shape (B, L); 0 for the first."""
    index = torch.arange(branch.shape[1], device=branch.device)
    before = (index - 1).clamp(min=0).expand_as(branch)
    same = torch.zeros_like(branch, dtype=torch.bool)
    same[:, 1:] = branch[:, 1:] == branch[:, :-1]
    last_trunk = torch.where(branch == 0, index, 0).cummax(1).values  # (B, L) latest trunk token up to here
    return torch.where(same, before, last_trunk.gather(1, before))
