"""The aligned language model: stories with pictures in, conditioning embeddings out (StoryGPT-V, stage 2).

A frozen causal language model (OPT or Llama) reads earlier pictures (as visual tokens) and captions, and the caption of
the frame to draw; its states at R learned [IMG] positions go through the mapper. What is trained lies in
:class:`~storygptv.aligner.heads.AlignerHeads`. Training reads all frames of a story in one packed row; inference keeps
the keys and values of the history. Both read the same prompts (:mod:`storygptv.aligner.prompt`), frame 0 included.

Positions are given to the model token by token, so that learned positions (OPT) and rotary ones (Llama) are those of
each frame's own prompt; masks are four-dimensional and additive, which both eager and SDPA attention take as they are.

B stories, T frames, L tokens, m visual tokens, R [IMG] tokens, e width of the language model, V of picture features,
Q length and D width of the conditioning embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from storybench.errors import AssetError, ConfigError, DataError
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.losses import CeScope, generation_loss
from storygptv.aligner.mapper import LDMMapper
from storygptv.aligner.packing import packed_mask, packed_positions
from storygptv.aligner.prompt import Block, Placed, PromptBatch, PromptBuilder, Slot
from storygptv.aligner.tokens import ImgTokens, mean_norm
from storygptv.offloading import onload

HEADS, LLM, TOKENIZER = "aligner", "llm", "llm_tokenizer"  # sub-folders, as in a saved pipeline
TargetFrames = Literal["all", "later"]


class Aligned(NamedTuple):
    """The N targets of a batch in (story, frame) order: embeddings (N, Q, D) and L_gen."""

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

    def __init__(self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, heads: AlignerHeads) -> None:
        """Put ``heads`` around ``llm``, which is frozen and set to evaluation mode.

        Raises:
            ConfigError: If the heads were made for another width, or prompts may be longer than the model's positions.
        """
        super().__init__()
        width = llm.get_input_embeddings().embedding_dim
        if width != heads.config.llm_dim:
            raise ConfigError(
                f"The aligner was made for embeddings of width {heads.config.llm_dim} and the language model has "
                f"{width}: give the language model it was trained with, or train the stage aligner for this one."
            )
        longest, positions = max(map(heads.prompt.longest, (False, True))), llm.config.max_position_embeddings
        if longest > positions:
            raise ConfigError(
                f"Prompts of up to {longest} tokens do not fit into the {positions} positions of the language model: "
                f"give max_length={positions} or less."
            )
        self.tokenizer = tokenizer
        self.llm = llm.requires_grad_(False).eval()
        self.heads = heads
        self.prompts = PromptBuilder(tokenizer, heads.prompt, heads.config.visual_tokens, heads.config.img_tokens)

    @property
    def visual_embeddings(self) -> nn.Linear:
        """The projection of picture features to visual tokens."""
        return self.heads.visual_embeddings

    @property
    def img(self) -> ImgTokens:
        """The [IMG] tokens."""
        return self.heads.img

    @property
    def mapper(self) -> LDMMapper:
        """The mapper."""
        return self.heads.mapper

    @cached_property
    def token_norm(self) -> float:
        """The mean norm of the vocabulary's rows, which [IMG] rows are given."""
        return mean_norm(self.llm.get_input_embeddings().weight)

    @property
    def device(self) -> torch.device:
        """Where the model computes; while accelerate offloads it, not where it lies."""
        moved = getattr(getattr(self.heads, "_hf_hook", None), "execution_device", None)
        return torch.device(moved) if moved is not None else self.img.rows.device

    def train(self, mode: bool = True) -> AlignedLLM:
        """Set the mode of the trained parts; the language model stays in evaluation mode."""
        self.training = mode
        self.heads.train(mode)
        return self

    def forward(
        self,
        captions: Sequence[Sequence[str]],
        features: Tensor,
        scope: CeScope = "text_and_first_img",
        packed: bool = True,
        target_frames: TargetFrames = "all",
        chosen: Sequence[int] | None = None,
    ) -> Aligned:
        """Return the embeddings of the frames of B stories, from the true pictures of the frames before each.

        Args:
            captions: B lists of T captions.
            features: Picture features of the frames, shape (B, T, V); those of the last frame are not read.
            scope: What L_gen (Eq. 4) counts.
            packed: False reads each frame in a row of its own: slower, equal up to rounding.
            target_frames: ``later`` leaves frame 0 out, as the published training does.
            chosen: One target frame a story instead, as the published training draws it; N is B then.
        """
        first = int(target_frames == "later")
        hidden, embeds, batch = self._read(captions, features, packed, first, chosen)
        gen = generation_loss(hidden, batch, self.img, self.llm.get_output_embeddings(), scope)
        return Aligned(self._map(hidden, embeds, batch), gen)

    def states(self, captions: Sequence[Sequence[str]], features: Tensor, first: int = 0) -> Tensor:
        """Return the states (N, R, e) of the [IMG] tokens of all frames from ``first`` on: what the mapper reads."""
        hidden, _, batch = self._read(captions, features, packed=True, first=first)
        return hidden[batch.read > 0].unflatten(0, (-1, self.prompts.img_tokens))

    def _read(
        self,
        captions: Sequence[Sequence[str]],
        features: Tensor,
        packed: bool,
        first: int,
        chosen: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor, PromptBatch]:
        """Return the hidden states (rows, L, e) of whole stories, their input embeddings, and the rows."""
        rows: list[list[Placed]] = []
        stories: list[int] = []
        for b, told in enumerate(captions):
            row = self.prompts.packed(told, first) if packed and chosen is None else None
            targets = range(first, len(told)) if chosen is None else [chosen[b]]
            found = [row] if row else [self.prompts.separate(told, t) for t in targets]
            rows += found
            stories += [b] * len(found)
        batch = self._batch(rows)
        visual = self.heads.visual_tokens(features)[torch.tensor(stories, device=self.device)]  # (rows, T, m, e)
        embeds = self._embed(batch, visual)  # (rows, L, e)
        hidden = self.llm.base_model(
            inputs_embeds=embeds,
            attention_mask=packed_mask(batch.branch, batch.valid, self.llm.dtype),
            position_ids=packed_positions(batch.branch),
            use_cache=False,
        ).last_hidden_state  # (rows, L, e)
        return hidden, embeds, batch

    @torch.no_grad()
    def start(self, stories: int) -> StoryState:
        """Return the state before frame 0 of so many stories."""
        shape = (stories, 0, self.prompts.visual_tokens, self.heads.config.llm_dim)
        nothing = torch.zeros(shape, device=self.device, dtype=self.heads.dtype)
        return self._read_trunk(((),) * stories, nothing, 0)

    @torch.no_grad()
    def step(self, state: StoryState, captions: Sequence[str]) -> tuple[Tensor, StoryState]:
        """Return the embeddings (B, Q, D) that draw the next frame, and the state (without old blocks if too long).

        The target block is read as a suffix that the state forgets: one forward pass, nothing is decoded.

        Raises:
            DataError: If a prompt is too long and may not lose its history.
        """
        targets = [self.prompts.target(state.frame, caption, inference=True) for caption in captions]
        first = [self._oldest_kept(h, target) for h, target in zip(state.history, targets, strict=True)]
        if any(first):
            kept = tuple(h[k:] for h, k in zip(state.history, first, strict=True))
            state = self._read_trunk(kept, state.visual, state.frame)
        batch = self._batch([[Placed(target)] for target in targets], inference=True)
        hidden, embeds, _ = self._extend(state, batch)
        state.cache.crop(-batch.ids.shape[1])
        return self._map(hidden, embeds, batch), state

    def _oldest_kept(self, history: Sequence[Block], target: Block) -> int:
        """Return how many of the oldest blocks must go; published inference keeps all, and fails past the limit."""
        if self.prompts.prompt.overflow != "published":
            return self.prompts.oldest_kept(history, target, inference=True)
        length = len(self.prompts.start) + sum(map(len, history)) + len(target)
        if length > self.llm.config.max_position_embeddings:
            raise DataError(
                f"The prompt of frame {target.frame} has {length} tokens and the language model "
                f"{self.llm.config.max_position_embeddings} positions: give overflow=drop_oldest."
            )
        return 0

    @torch.no_grad()
    def observe(self, state: StoryState, features: Tensor, captions: Sequence[str]) -> StoryState:
        """Return the state after the next frame: its picture, as features (B, V), and its caption."""
        visual = torch.cat([state.visual, self.heads.visual_tokens(features)[:, None]], dim=1)  # (B, t + 1, m, e)
        blocks = [self.prompts.history(state.frame, caption) for caption in captions]
        state = replace(state, visual=visual)
        *_, state = self._extend(state, self._batch([[Placed(block)] for block in blocks], inference=True))
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
        batch = self._batch([[Placed(self.prompts.start), *map(Placed, blocks)] for blocks in history], inference=True)
        empty = torch.zeros(len(history), 0, dtype=torch.bool, device=self.device)
        none = torch.zeros(len(history), dtype=torch.long, device=self.device)
        state = StoryState(DynamicCache(config=self.llm.config), empty, none, history, visual, frame)
        return self._extend(state, batch)[-1]

    def _extend(self, state: StoryState, batch: PromptBatch) -> tuple[Tensor, Tensor, StoryState]:
        """Read one more block a story: hidden states and inputs (B, L, e), and the state with it in the trunk."""
        length = batch.ids.shape[1]
        known = torch.where(state.valid, 0.0, torch.finfo(self.llm.dtype).min).to(self.llm.dtype)  # (B, K)
        known = known[:, None, None, :].expand(-1, 1, length, -1)  # (B, 1, L, K)
        fresh = packed_mask(batch.branch, batch.valid, self.llm.dtype)  # (B, 1, L, L)
        positions = state.count[:, None] + torch.arange(length, device=self.device)  # (B, L)
        limit = self.llm.config.max_position_embeddings - 1
        embeds = self._embed(batch, state.visual)  # (B, L, e)
        hidden = self.llm.base_model(
            inputs_embeds=embeds,
            attention_mask=torch.cat([known, fresh], dim=-1),
            position_ids=positions.clamp(max=limit),  # only padding can lie beyond
            past_key_values=state.cache,
            use_cache=True,
        ).last_hidden_state
        valid = torch.cat([state.valid, batch.valid], dim=1)
        return hidden, embeds, replace(state, valid=valid, count=state.count + batch.valid.sum(1))

    def _batch(self, rows: Sequence[Sequence[Placed]], inference: bool = False) -> PromptBatch:
        return PromptBatch(*(column.to(self.device) for column in self.prompts.batch(rows, inference)))

    def _embed(self, batch: PromptBatch, visual: Tensor) -> Tensor:
        """Return the input embeddings (B, L, e) of rows whose pictures are ``visual`` (B, T, m, e)."""
        row, place = (batch.slots == Slot.IMG).nonzero(as_tuple=True)
        img = self.heads.img_inputs(batch.ids[row, place])  # (n, e), before the language model takes the device
        onload(self.llm)
        text = torch.where(batch.slots == Slot.TEXT, batch.ids, 0)
        embeds = self.llm.get_input_embeddings()(text)  # (B, L, e)
        if len(row):
            embeds = embeds.index_put((row, place), img.to(embeds.dtype))
        row, place = (batch.slots == Slot.VISUAL).nonzero(as_tuple=True)
        if len(row):
            seen = visual[row, batch.frames[row, place], batch.ids[row, place]]  # (n, e)
            embeds = embeds.index_put((row, place), seen.to(embeds.dtype))
        return embeds

    def _map(self, hidden: Tensor, embeds: Tensor, batch: PromptBatch) -> Tensor:
        """Return the embeddings (N, Q, D) of the targets in ``batch``, row after row."""
        places, count = batch.read > 0, self.prompts.img_tokens
        states = hidden[places].unflatten(0, (-1, count))  # (N, R, e)
        if self.prompts.prompt.overflow == "published":  # where the target was cut off, these are no [IMG] rows
            inputs = embeds[places].unflatten(0, (-1, count))  # (N, R, e)
        else:
            inputs = self.heads.img_inputs(torch.arange(count, device=self.device))  # (R, e)
        return self.heads.condition(states, inputs)

    def trained(self) -> dict[str, Tensor]:
        """Return the weights of the heads, by the names in their file."""
        return dict(self.heads.state_dict())

    def save_pretrained(self, folder: str | Path, with_llm: bool = True) -> None:
        """Write ``aligner/`` and, if wanted, ``llm/`` and ``llm_tokenizer/``, as a saved pipeline has them."""
        folder = Path(folder)
        self.heads.save_pretrained(folder / HEADS)
        if with_llm:
            self.llm.save_pretrained(folder / LLM)
            self.tokenizer.save_pretrained(folder / TOKENIZER)

    @classmethod
    def from_pretrained(cls, folder: str | Path, llm: str | Path | None = None, **llm_options: object) -> AlignedLLM:
        """Read what :meth:`save_pretrained` or a pipeline wrote; the heads are kept in fp32.

        Args:
            folder: Where it is.
            llm: Folder or hub name of the language model with its tokenizer; by default the folder's own.
            llm_options: For :func:`load_llm`.

        Raises:
            AssetError: If the heads' file lacks a tensor or has one that does not fit.
        """
        folder = Path(folder)
        heads, report = AlignerHeads.from_pretrained(
            folder / HEADS, torch_dtype=torch.float32, output_loading_info=True
        )
        if wrong := [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]:
            raise AssetError(
                f"The weights in '{folder / HEADS}' do not fit their configuration ({wrong[0]} and {len(wrong) - 1} "
                "others): fetch the folder again, or retrain it."
            )
        if llm is None:
            return cls(*load_llm(folder / LLM, folder / TOKENIZER, **llm_options), heads).eval()
        return cls(*load_llm(llm, **llm_options), heads).eval()


def load_llm(
    source: str | Path, tokenizer: str | Path | None = None, attn_implementation: str = "eager", **options: object
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer.

    Args:
        source: Folder or hub name.
        tokenizer: Folder or hub name of the tokenizer; by default that of the model.
        attn_implementation: ``eager`` (fastest on CPU at the miniature's size) or ``sdpa``.
        options: For ``AutoModelForCausalLM.from_pretrained``, such as ``dtype``.
    """
    llm = AutoModelForCausalLM.from_pretrained(source, attn_implementation=attn_implementation, **options)
    return llm, AutoTokenizer.from_pretrained(tokenizer or source)
