"""The aligned language model: stories with pictures in, conditioning embeddings out (StoryGPT-V, stage 2).

A frozen causal language model reads earlier pictures (as visual tokens) and captions, and the caption of the frame to
draw; its states at R learned [IMG] positions go through the mapper. Trained are the visual projection, the [IMG] rows
and the mapper. Training reads all frames of a story in one packed row; inference keeps the keys and values of the
history. Both read the same prompts (:mod:`storygptv.aligner.prompt`), frame 0 included.

B stories, T frames, L tokens, m visual tokens, R [IMG] tokens, e width of the language model, V of picture features,
Q length and D width of the conditioning embedding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from storygptv.aligner.losses import CeScope, generation_loss
from storygptv.aligner.mapper import LDMMapper
from storygptv.aligner.packing import packed_mask, packed_positions
from storygptv.aligner.prompt import Block, Placed, PromptBatch, PromptBuilder, PromptFormat, Slot
from storygptv.aligner.tokens import ImgTokens, mean_norm

WEIGHTS, CONFIG = "aligner.safetensors", "aligner.json"


@dataclass(frozen=True)
class AlignerConfig:
    """Sizes of the trained parts; the defaults are the published ones."""

    feature_dim: int = 1024  # CLIP ViT-L/14 pooled output
    visual_tokens: int = 4
    img_tokens: int = 8
    out_dim: int = 768
    num_queries: int = 77
    mapper_hidden: int = 512
    mapper_heads: int = 4
    mapper_layers: int = 4
    mapper_feedforward: int = 2048
    prompt: PromptFormat = field(default_factory=PromptFormat)


class Aligned(NamedTuple):
    """All N = sum of T targets of a batch in (story, frame) order: embeddings (N, Q, D) and L_gen."""

    condition: Tensor
    generation_loss: Tensor


@dataclass(frozen=True)
class StoryState:
    """What was read so far of B stories.

    ``valid`` (B, K) marks the cached keys that hold a token (blocks differ in length); ``count`` (B,) is their number;
    ``visual`` (B, t, m, e) are the visual tokens of the t frames observed.
    """

    cache: DynamicCache
    valid: Tensor
    count: Tensor
    history: tuple[tuple[Block, ...], ...]
    visual: Tensor
    frame: int = 0


class AlignedLLM(nn.Module):
    """A frozen language model that draws: see the module."""

    def __init__(self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: AlignerConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.llm = llm.requires_grad_(False).eval()
        table = llm.get_input_embeddings().weight
        width = table.shape[1]
        self.visual_embeddings = nn.Linear(config.feature_dim, config.visual_tokens * width)
        with torch.no_grad():  # features of unit variance give visual tokens of the norm of words
            self.token_norm = mean_norm(table)
            nn.init.normal_(self.visual_embeddings.weight, std=self.token_norm / (width * config.feature_dim) ** 0.5)
            nn.init.zeros_(self.visual_embeddings.bias)
        self.img = ImgTokens(config.img_tokens, table)
        self.mapper = LDMMapper(
            width,
            config.out_dim,
            config.num_queries,
            config.mapper_hidden,
            config.mapper_heads,
            config.mapper_layers,
            config.mapper_feedforward,
        )
        self.prompts = PromptBuilder(tokenizer, config.prompt, config.visual_tokens, config.img_tokens)

    def train(self, mode: bool = True) -> AlignedLLM:
        """Set the mode of the trained parts; the language model stays in evaluation mode."""
        super().train(mode)
        self.llm.eval()
        return self

    def visual_tokens(self, features: Tensor) -> Tensor:
        """Map picture features (..., V) to visual tokens (..., m, e)."""
        return self.visual_embeddings(features).unflatten(-1, (self.config.visual_tokens, -1))

    def forward(
        self,
        captions: Sequence[Sequence[str]],
        features: Tensor,
        scope: CeScope = "text_and_first_img",
        packed: bool = True,
    ) -> Aligned:
        """Return the embeddings of all frames of B stories, from the true pictures of the frames before each.

        Args:
            captions: B lists of T captions.
            features: Picture features of the frames, shape (B, T, V); those of the last frame are not read.
            scope: What L_gen counts.
            packed: False reads each frame in a row of its own: slower, equal up to rounding.
        """
        hidden, batch = self._read(captions, features, packed)
        return Aligned(self._map(hidden, batch), generation_loss(hidden, batch, self.img, self.llm.lm_head, scope))

    def states(self, captions: Sequence[Sequence[str]], features: Tensor) -> Tensor:
        """Return the states (N, R, e) of the [IMG] tokens of all frames: what the mapper reads."""
        hidden, batch = self._read(captions, features, packed=True)
        return hidden[batch.slots == Slot.IMG].unflatten(0, (-1, self.config.img_tokens))

    def _read(self, captions: Sequence[Sequence[str]], features: Tensor, packed: bool) -> tuple[Tensor, PromptBatch]:
        """Return the hidden states (rows, L, e) of whole stories, and the rows."""
        rows: list[list[Placed]] = []
        stories: list[int] = []
        for b, told in enumerate(captions):
            row = self.prompts.packed(told) if packed else None
            found = [row] if row else [self.prompts.separate(told, t) for t in range(len(told))]
            rows += found
            stories += [b] * len(found)
        batch = self._batch(rows)
        visual = self.visual_tokens(features)[torch.tensor(stories, device=self.device)]  # (rows, T, m, e)
        hidden = self.llm.base_model(
            inputs_embeds=self._embed(batch, visual),
            attention_mask=packed_mask(batch.branch, batch.valid, self.llm.dtype),
            position_ids=packed_positions(batch.branch),
            use_cache=False,
        ).last_hidden_state  # (rows, L, e)
        return hidden, batch

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.img.rows.device

    @torch.no_grad()
    def start(self, stories: int) -> StoryState:
        """Return the state before frame 0 of so many stories."""
        nothing = torch.zeros(stories, 0, self.config.visual_tokens, self.img.rows.shape[1], device=self.device)
        return self._read_trunk(((),) * stories, nothing, 0)

    @torch.no_grad()
    def step(self, state: StoryState, captions: Sequence[str]) -> tuple[Tensor, StoryState]:
        """Return the embeddings (B, Q, D) that draw the next frame, and the state (without old blocks if too long).

        The target block is read as a suffix that the state forgets: one forward pass, nothing is decoded.
        """
        targets = [self.prompts.target(state.frame, caption) for caption in captions]
        first = [self.prompts.oldest_kept(h, target) for h, target in zip(state.history, targets, strict=True)]
        if any(first):
            kept = tuple(h[k:] for h, k in zip(state.history, first, strict=True))
            state = self._read_trunk(kept, state.visual, state.frame)
        batch = self._batch([[Placed(target)] for target in targets])
        hidden, _ = self._extend(state, batch)
        state.cache.crop(-batch.ids.shape[1])
        return self._map(hidden, batch), state

    @torch.no_grad()
    def observe(self, state: StoryState, features: Tensor, captions: Sequence[str]) -> StoryState:
        """Return the state after the next frame: its picture, as features (B, V), and its caption."""
        visual = torch.cat([state.visual, self.visual_tokens(features)[:, None]], dim=1)  # (B, t + 1, m, e)
        blocks = [self.prompts.history(state.frame, caption) for caption in captions]
        state = replace(state, visual=visual)
        _, state = self._extend(state, self._batch([[Placed(block)] for block in blocks]))
        history = tuple((*h, block) for h, block in zip(state.history, blocks, strict=True))
        return replace(state, history=history, frame=state.frame + 1)

    def select(self, state: StoryState, stories: Sequence[int]) -> StoryState:
        """Return the state of some of the stories, in the order given: the others have ended."""
        index = torch.tensor(stories, dtype=torch.long, device=self.device)
        state.cache.batch_select_indices(index)
        history = tuple(state.history[b] for b in stories)
        return replace(
            state, valid=state.valid[index], count=state.count[index], history=history, visual=state.visual[index]
        )

    def _read_trunk(self, history: tuple[tuple[Block, ...], ...], visual: Tensor, frame: int) -> StoryState:
        batch = self._batch([[Placed(self.prompts.start), *map(Placed, blocks)] for blocks in history])
        empty = torch.zeros(len(history), 0, dtype=torch.bool, device=self.device)
        none = torch.zeros(len(history), dtype=torch.long, device=self.device)
        state = StoryState(DynamicCache(config=self.llm.config), empty, none, history, visual, frame)
        return self._extend(state, batch)[1]

    def _extend(self, state: StoryState, batch: PromptBatch) -> tuple[Tensor, StoryState]:
        """Read one more block a story: hidden states (B, L, e) and the state with it in the trunk."""
        length = batch.ids.shape[1]
        known = torch.where(state.valid, 0.0, torch.finfo(self.llm.dtype).min).to(self.llm.dtype)  # (B, K)
        known = known[:, None, None, :].expand(-1, 1, length, -1)  # (B, 1, L, K)
        fresh = packed_mask(batch.branch, batch.valid, self.llm.dtype)  # (B, 1, L, L)
        positions = state.count[:, None] + torch.arange(length, device=self.device)  # (B, L)
        limit = self.llm.config.max_position_embeddings - 1
        hidden = self.llm.base_model(
            inputs_embeds=self._embed(batch, state.visual),
            attention_mask=torch.cat([known, fresh], dim=-1),
            position_ids=positions.clamp(max=limit),  # only padding can lie beyond
            past_key_values=state.cache,
            use_cache=True,
        ).last_hidden_state
        valid = torch.cat([state.valid, batch.valid], dim=1)
        return hidden, replace(state, valid=valid, count=state.count + batch.valid.sum(1))

    def _batch(self, rows: Sequence[Sequence[Placed]]) -> PromptBatch:
        return PromptBatch(*(column.to(self.device) for column in self.prompts.batch(rows)))

    def _embed(self, batch: PromptBatch, visual: Tensor) -> Tensor:
        """Return the input embeddings (B, L, e) of rows whose pictures are ``visual`` (B, T, m, e)."""
        text = torch.where(batch.slots == Slot.TEXT, batch.ids, 0)
        embeds = self.llm.get_input_embeddings()(text)  # (B, L, e)
        row, place = (batch.slots == Slot.VISUAL).nonzero(as_tuple=True)
        if len(row):
            seen = visual[row, batch.frames[row, place], batch.ids[row, place]]  # (n, e)
            embeds = embeds.index_put((row, place), seen.to(embeds.dtype))
        row, place = (batch.slots == Slot.IMG).nonzero(as_tuple=True)
        if len(row):
            embeds = embeds.index_put((row, place), self.img.rows[batch.ids[row, place]].to(embeds.dtype))
        return embeds

    def _map(self, hidden: Tensor, batch: PromptBatch) -> Tensor:
        """Return the embeddings (N, Q, D) of the targets in ``batch``, row after row."""
        states = hidden[batch.slots == Slot.IMG].unflatten(0, (-1, self.config.img_tokens))  # (N, R, e)
        dtype = self.img.rows.dtype
        return self.mapper(states.to(dtype), self.img.rows)

    def trained(self) -> dict[str, Tensor]:
        """Return the weights that training changes, by name."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("llm.")}

    def save_pretrained(self, folder: str | Path, with_llm: bool = True) -> None:
        """Write ``aligner.safetensors``, ``aligner.json`` and, if wanted, ``llm/``: language model and tokenizer."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.trained().items()}, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(asdict(self.config), indent=1))
        if with_llm:
            self.llm.save_pretrained(folder / "llm")
            self.tokenizer.save_pretrained(folder / "llm")

    @classmethod
    def from_pretrained(cls, folder: str | Path, llm: str | Path | None = None, **llm_options: object) -> AlignedLLM:
        """Read what :meth:`save_pretrained` wrote.

        Args:
            folder: Where it is.
            llm: Folder or hub name of the language model; by default ``folder/llm``.
            llm_options: For ``AutoModelForCausalLM.from_pretrained``, such as ``dtype``.
        """
        folder = Path(folder)
        values = json.loads((folder / CONFIG).read_text())
        config = AlignerConfig(**{**values, "prompt": PromptFormat(**values["prompt"])})
        model = cls(*load_llm(llm or folder / "llm", **llm_options), config)
        missing, unexpected = model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
        lost = [name for name in missing if not name.startswith("llm.")]
        if lost or unexpected:
            raise ValueError(f"{folder / WEIGHTS} does not fit: missing {lost}, unexpected {unexpected}")
        return model.eval()


def load_llm(source: str | Path, **options: object) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer; plain attention, which takes any mask."""
    llm = AutoModelForCausalLM.from_pretrained(source, attn_implementation="eager", **options)
    return llm, AutoTokenizer.from_pretrained(source)
