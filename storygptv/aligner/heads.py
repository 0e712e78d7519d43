"""What stage 2 trains around a frozen language model: visual projection, [IMG] rows and mapper, saved by themselves.

The heads are a diffusers model like the U-Net: sizes and prompt format are their registered configuration, so that
``AlignerHeads.from_pretrained`` needs nothing else. :class:`storygptv.aligner.model.AlignedLLM` puts them around a
language model. At the published sizes with OPT-6.7B (e = 4096) they hold 16.8 M, 32,768 and 31,958,784 parameters.

m visual tokens, R [IMG] tokens, e width of the language model, V of picture features, V' its vocabulary, Q length and D
width of the conditioning embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Literal

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

from storybench.errors import unknown
from storygptv.aligner.mapper import LDMMapper
from storygptv.aligner.prompt import PromptFormat
from storygptv.aligner.tokens import ImgTokens, mean_norm

OutputRows = Literal["shared", "own"]


class AlignerHeads(ModelMixin, ConfigMixin):
    """The trained parts of the aligner; defaults are the published sizes (storygptv.md section 4)."""

    @register_to_config
    def __init__(
        self,
        llm_dim: int = 4096,
        feature_dim: int = 1024,
        visual_tokens: int = 4,
        img_tokens: int = 8,
        out_dim: int = 768,
        num_queries: int = 77,
        mapper_hidden: int = 512,
        mapper_heads: int = 4,
        mapper_layers: int = 4,
        mapper_feedforward: int = 2048,
        output_rows: OutputRows = "shared",
        prompt: Mapping[str, Any] | None = None,
    ) -> None:
        """Build the heads from random numbers; :meth:`start` fits them to a language model.

        Args:
            llm_dim: Width e of the language model's embeddings.
            feature_dim: Width V of picture features; 1024 is CLIP ViT-L/14's pooled output.
            visual_tokens: m; 0 leaves history without pictures (the paper's Table 4, Caption).
            img_tokens: R.
            out_dim: D.
            num_queries: Q.
            mapper_hidden: Width of the mapper.
            mapper_heads: Its attention heads.
            mapper_layers: Its encoder layers, and as many decoder layers.
            mapper_feedforward: Width of its ReLU layers.
            output_rows: Where the logits of [IMG] tokens come from (:class:`~storygptv.aligner.tokens.ImgTokens`).
            prompt: Fields of :class:`~storygptv.aligner.prompt.PromptFormat`.

        Raises:
            ConfigError: If ``prompt`` has an unknown key.
        """
        super().__init__()
        known = [f.name for f in fields(PromptFormat)]
        if surplus := [key for key in prompt or {} if key not in known]:
            raise unknown("key", surplus[0], known, "the aligner's prompt")
        self.prompt = PromptFormat(**(prompt or {}))
        self.register_to_config(prompt=asdict(self.prompt))
        self.visual_embeddings = nn.Linear(feature_dim, visual_tokens * llm_dim)
        self.img = ImgTokens(img_tokens, llm_dim, own_output=output_rows == "own")
        self.mapper = LDMMapper(
            llm_dim, out_dim, num_queries, mapper_hidden, mapper_heads, mapper_layers, mapper_feedforward
        )

    @torch.no_grad()
    def start(self, table: Tensor, head: Tensor | None = None) -> None:
        """Scale the random numbers to a language model, so that new tokens are as loud as its words.

        Args:
            table: Its embedding table, shape (V', e).
            head: Weight of its output layer, same shape; needed where [IMG] tokens have output rows of their own.
        """
        norm, width = mean_norm(table), table.shape[1]
        # features of unit variance give visual tokens of the norm of words
        nn.init.normal_(self.visual_embeddings.weight, std=norm / (width * self.config.feature_dim) ** 0.5)
        nn.init.zeros_(self.visual_embeddings.bias)
        self.img.rescale_(norm)
        if self.img.output is not None and head is not None:
            self.img.output.mul_(mean_norm(head) / self.img.output.norm(dim=-1, keepdim=True))

    @apply_forward_hook
    def visual_tokens(self, features: Tensor) -> Tensor:
        """Map picture features (..., V) to visual tokens (..., m, e)."""
        dtype = self.visual_embeddings.weight.dtype
        shape = (self.config.visual_tokens, self.config.llm_dim)
        return self.visual_embeddings(features.to(dtype)).unflatten(-1, shape)

    @apply_forward_hook
    def img_inputs(self, ids: Tensor) -> Tensor:
        """Return the input embeddings (..., e) of [IMG] tokens 0 to R - 1, ``ids`` (...)."""
        return self.img(ids)

    @apply_forward_hook
    def condition(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the conditioning embedding (N, Q, D) from [IMG] states and inputs, each (N, R, e)."""
        dtype = self.img.rows.dtype
        return self.mapper(states.to(dtype), inputs.to(dtype))

    def forward(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return what :meth:`condition` returns."""
        return self.condition(states, inputs)
