"""[IMG] tokens: R learned rows beside a frozen vocabulary.

The rows are a parameter of their own, so that no gradient or optimiser state is spent on the vocabulary of the language
model. As inputs they take the place of token embeddings; as outputs (tied, as in OPT) their logits are appended to the
vocabulary's, with ids ``vocabulary + r``.

e width, V vocabulary size, R number of [IMG] tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def img_token_names(count: int) -> list[str]:
    """Return the surfaces of the tokens, ``[IMG0]`` first."""
    return [f"[IMG{r}]" for r in range(count)]


class ImgTokens(nn.Module):
    """R rows of width e."""

    def __init__(self, count: int, table: Tensor) -> None:
        """Start from random rows that have the mean norm of ``table`` (V, e), the frozen embedding table."""
        super().__init__()
        rows = torch.randn(count, table.shape[1])
        self.rows = nn.Parameter(rows)
        self.rescale_(mean_norm(table))

    @torch.no_grad()
    def rescale_(self, norm: float) -> None:
        """Give every row the norm ``norm`` (published after each step: the mean norm of the other rows)."""
        self.rows.mul_(norm / self.rows.norm(dim=-1, keepdim=True))

    def logits(self, hidden: Tensor, head: nn.Linear) -> Tensor:
        """Return next-token logits over the vocabulary and the [IMG] tokens.

        Args:
            hidden: States of shape (N, e).
            head: The frozen output layer, weight (V, e).

        Returns:
            Logits of shape (N, V + R).
        """
        return torch.cat([head(hidden), hidden @ self.rows.to(hidden.dtype).T], dim=-1)


def mean_norm(table: Tensor) -> float:
    """Return the mean Euclidean norm of the rows of ``table`` (V, e); rows of zeros (padding) are left out."""
    norms = table.detach().float().norm(dim=-1)
    return float(norms[norms > 0].mean())
