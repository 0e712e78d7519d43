"""The mapper: from R [IMG] states of a language model to the text embedding that conditions the picture model.

A small encoder-decoder transformer with learned queries (GILL, Koh et al. 2023, section 3.2; storygptv.md section 4).
Parameter names are those of the published checkpoints.

B sequences, R [IMG] tokens, e width of the language model, Q queries, D width of the picture model's text embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LDMMapper(nn.Module):
    """Maps [IMG] states to a (Q, D) embedding; 31,958,784 parameters at the published sizes with e = 4096."""

    def __init__(
        self,
        llm_dim: int,
        out_dim: int = 768,
        num_queries: int = 77,
        hidden: int = 512,
        heads: int = 4,
        layers: int = 4,
        feedforward: int = 2048,
    ) -> None:
        """Build the mapper.

        Args:
            llm_dim: Width e of the language model.
            out_dim: Width D of the conditioning embedding.
            num_queries: Its length Q.
            hidden: Width of the transformer.
            heads: Attention heads.
            layers: Encoder layers, and as many decoder layers.
            feedforward: Width of the ReLU layers.
        """
        super().__init__()
        self.fc = nn.Linear(llm_dim, hidden)
        layer = nn.TransformerEncoderLayer(hidden, heads, feedforward, 0.0, batch_first=True, norm_first=True)
        encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(hidden), enable_nested_tensor=False)
        self.tfm = nn.Transformer(
            hidden, heads, layers, layers, feedforward, 0.0, custom_encoder=encoder, batch_first=True, norm_first=True
        )
        self.model = nn.Linear(hidden, out_dim)
        self.query_embs = nn.Parameter(torch.randn(1, num_queries, hidden))

    def forward(self, hidden: Tensor, img_embeds: Tensor) -> Tensor:
        """Return the conditioning embedding.

        Args:
            hidden: Last hidden states at the [IMG] positions, shape (B, R, e).
            img_embeds: Input embeddings of the [IMG] tokens, shape (B, R, e) or broadcastable.

        Returns:
            Embedding of shape (B, Q, D).
        """
        memory = self.fc(hidden + img_embeds)  # (B, R, hidden)
        queries = self.query_embs.expand(len(memory), -1, -1)  # (B, Q, hidden)
        return self.model(self.tfm(memory, queries))
