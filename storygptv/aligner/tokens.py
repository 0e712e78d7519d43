"""[IMG] tokens: R learned rows beside a frozen vocabulary.

The rows are a parameter of their own, so that no gradient or optimiser state is spent on the vocabulary of the language
model. As inputs they take the place of token embeddings; as outputs their logits are appended to the vocabulary's, with
ids ``vocabulary + r``.

The paper has one trained matrix E_img beside the frozen model, and so have we (``shared``): the input rows are the
output rows too. That is what tying means in OPT. Llama's output layer is not tied, and the published trainer gave it
rows of its own there, trained but never saved (storygptv.md section 4): ``own``. Neither changes how a frame is drawn,
since [IMG] tokens are given and never sampled.

e width, V vocabulary size, R number of [IMG] tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def img_token_names(count: int) -> list[str]:
    """Return the surfaces of the tokens, ``[IMG0]`` first."""
    return [f"[IMG{r}]" for r in range(count)]


class ImgTokens(nn.Module):
    """R rows of width e, and as many output rows where the output layer is not tied."""

    def __init__(self, count: int, width: int, own_output: bool = False) -> None:
        """Start from random rows of norm about one a dimension; :meth:`rescale_` gives them the norm of words."""
        super().__init__()
        self.rows = nn.Parameter(torch.randn(count, width))
        self.output = nn.Parameter(torch.randn(count, width)) if own_output else None
        for rows in self.parameters():
            rows.no_decay = True  # read by storygptv.optimizers: their norm is set, not shrunk

    @torch.no_grad()
    def rescale_(self, norm: float) -> None:
        """Give every row the norm ``norm`` (published after each step: the mean norm of the other rows)."""
        self.rows.mul_(norm / self.rows.norm(dim=-1, keepdim=True))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows (..., e) of token numbers ``ids`` (...), 0 to R - 1."""
        return self.rows[ids]

    def logits(self, hidden: Tensor, head: nn.Linear) -> Tensor:
        """Return next-token logits over the vocabulary and the [IMG] tokens.

        Args:
            hidden: States of shape (N, e).
            head: The frozen output layer, weight (V, e).

        Returns:
            Logits of shape (N, V + R).
        """
        rows = self.rows if self.output is None else self.output
        return torch.cat([head(hidden), hidden @ rows.to(hidden.dtype).T], dim=-1)


def mean_norm(table: Tensor) -> float:
    """Return the mean Euclidean norm of the rows of ``table`` (V, e); rows of zeros (padding) are left out."""
    norms = table.detach().float().norm(dim=-1)
    return float(norms[norms > 0].mean())
