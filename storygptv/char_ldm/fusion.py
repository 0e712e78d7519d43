"""Character fusion: a caption's name tokens carry the features of the character's picture (StoryGPT-V Eq. 1).

Where the caption names a character, the embedding of the name's last token is concatenated with the CLIP feature of the
character's picture and passed through MLPs; all other tokens stay as they are. What the paper calls MLP is published as
two of them and a layer norm (storygptv.md section 2). Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn


class _Mlp(nn.Module):
    """LayerNorm, Linear, exact GELU, Linear; with a residual only where widths agree (``residual``)."""

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int, residual: bool) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(in_dim)
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc2(nn.functional.gelu(self.fc1(self.layernorm(x))))
        return x + y if self.residual else y


class CharacterFusion(ModelMixin, ConfigMixin):
    """Fuses picture features into the name tokens of a caption: c^k of StoryGPT-V Eq. 1.

    At width 768 it has 2,958,336 parameters.
    """

    @register_to_config
    def __init__(self, embed_dim: int = 768) -> None:
        super().__init__()
        self.mlp1 = _Mlp(2 * embed_dim, embed_dim, embed_dim, residual=False)
        self.mlp2 = _Mlp(embed_dim, embed_dim, embed_dim, residual=True)
        self.layer_norm = nn.LayerNorm(embed_dim)

    def forward(
        self, text_embeds: Tensor, character_embeds: Tensor, token_mask: Tensor, num_characters: Tensor
    ) -> Tensor:
        """Return the augmented embedding c (B, L, D).

        Args:
            text_embeds: CLIP text states after the final layer norm, (B, L, D).
            character_embeds: Picture features in the order of the name tokens, (B, K, D), the first ``num_characters``
                of each row valid.
            token_mask: True at the last token of each name, (B, L); as many per row as ``num_characters``.
            num_characters: How many pictures of each row are valid, (B,).

        Raises:
            ValueError: If a row has not as many name tokens as valid pictures: its features would reach other rows.
        """
        if not torch.equal(token_mask.sum(-1), num_characters.to(token_mask.device)):
            raise ValueError("token_mask must mark as many tokens of each row as num_characters says")
        valid = torch.arange(character_embeds.shape[1], device=text_embeds.device) < num_characters[:, None]  # (B, K)
        picture = character_embeds[valid].to(text_embeds.dtype)  # (N, D), batch-major as the mask below
        token = text_embeds[token_mask]  # (N, D)
        h = token + self.mlp1(torch.cat([token, picture], dim=-1))  # residual on the text half
        fused = self.layer_norm(self.mlp2(h))  # (N, D)
        return text_embeds.masked_scatter(token_mask[..., None], fused.to(text_embeds.dtype))  # (B, L, D)
