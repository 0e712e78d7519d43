"""Stage ``lm``: pretrain a small OPT on ToonSV story text, so that coreference is known before any picture is.

At paper scale this stage does not exist: a published LLM takes its place. The model sees text only
(:mod:`storygptv.aligner.story_text`), fresh stories of the train side without end; validation uses the val split.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from storybench.data.toonsv.grammar import Told, tell_story
from storybench.data.toonsv.lexicon import vocabulary
from storybench.data.toonsv.planner import StoryPlan, plan_story
from storybench.data.toonsv.sampling import sample_training_stories
from storygptv.aligner.packing import packed_mask, packed_positions
from storygptv.aligner.story_text import EXTRA_WORDS, Kind, Piece, StoryWriter, TextOptions
from storygptv.tokenizer import build_tokenizer
from storygptv.training import FitConfig, fit, is_main_process

_STREAM = 41  # this stage's stream of training stories
POOL_STEPS = 8  # stories are written for so many steps at a time and sorted by length


@dataclass(frozen=True)
class LMConfig:
    """The size of the language model and of its training."""

    fit: FitConfig
    save_to: str = "work/lm"
    layers: int = 4
    width: int = 192
    heads: int = 4
    feedforward: int = 768
    max_positions: int = 2048  # 50 frames with pictures and captions
    frames: int = 120  # a step, of stories that grow longer
    one_frame_until: float = 0.12  # fraction of the steps
    two_frames_until: float = 0.25
    max_start: int = 100  # stories start at a random position below this, so that later ones are trained too
    eval_every: int = 100
    eval_stories: int = 100
    samples: int = 4  # stories whose last picture the model describes at the end


class TextBatch(NamedTuple):
    """Right-padded ids, loss weights, kinds and branches of the tokens, each (B, L); positions start at ``start``."""

    ids: Tensor
    weights: Tensor
    kinds: Tensor
    branch: Tensor
    start: Tensor | int = 0  # (B, 1)


def build_lm(config: LMConfig) -> tuple[OPTForCausalLM, PreTrainedTokenizerFast]:
    """Return an untrained model and its tokenizer."""
    tokenizer = build_tokenizer([*vocabulary(), *EXTRA_WORDS], config.max_positions)
    torch.manual_seed(config.fit.seed)
    model = OPTForCausalLM(
        OPTConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            word_embed_proj_dim=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            ffn_dim=config.feedforward,
            max_position_embeddings=config.max_positions,
            dropout=0.0,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="eager",  # faster backward than SDPA on CPU at this size
        )
    )
    _start_positions(model)
    return model, tokenizer


@torch.no_grad()
def _start_positions(model: OPTForCausalLM) -> None:
    """Start the learned positions as sinusoids of the words' norm: near ones are alike, random ones must learn it."""
    table = model.model.decoder.embed_positions.weight  # (positions + 2, e)
    index = torch.arange(len(table), dtype=torch.float32)[:, None]
    rates = torch.logspace(0.0, -3.0, table.shape[1] // 2)  # from one to a thousandth of a radian a token
    waves = torch.cat([(index * rates).sin(), (index * rates).cos()], dim=1)  # (positions + 2, e)
    table.copy_(waves * model.config.init_std * 2**0.5)


def encode(stories: Sequence[Sequence[Piece]], tokenizer: PreTrainedTokenizerFast) -> TextBatch:
    """Tokenise stories piece by piece; each starts with BOS."""
    flat = [piece for story in stories for piece in story]
    encoded = iter(tokenizer([p.text for p in flat], add_special_tokens=False)["input_ids"])
    rows: list[list[tuple[int, float, int, int]]] = []
    for story in stories:
        row = [(tokenizer.bos_token_id, 0.0, 0, 0)]
        for piece in story:
            row += [(token, piece.weight, int(piece.kind), piece.branch) for token in next(encoded)]
        rows.append(row)
    length = max(map(len, rows))
    pad = (tokenizer.pad_token_id, 0.0, 0, 0)
    columns = zip(*(zip(*(row + [pad] * (length - len(row))), strict=True) for row in rows), strict=True)
    return TextBatch(*(torch.tensor(column) for column in columns))


def next_token_loss(model: OPTForCausalLM, batch: TextBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weighted mean loss, and for the tokens of positive weight whether the guess is right, and their kind.

    Only these tokens pass through the output layer.
    """
    valid = batch.ids != model.config.pad_token_id
    hidden = model.model(
        input_ids=batch.ids,
        attention_mask=packed_mask(batch.branch, valid),
        position_ids=packed_positions(batch.branch) + batch.start,
    ).last_hidden_state[:, :-1]  # (B, L-1, e); the token before a branch's first reads the same trunk
    wanted = batch.weights[:, 1:] > 0
    logits = model.lm_head(hidden[wanted]).float()  # (N, vocabulary)
    target, weight = batch.ids[:, 1:][wanted], batch.weights[:, 1:][wanted]
    losses = nn.functional.cross_entropy(logits, target, reduction="none")
    return (losses * weight).sum() / weight.sum(), logits.argmax(-1) == target, batch.kinds[:, 1:][wanted]


def story_length(config: LMConfig, pool: int) -> int:
    """Return the frames a story in pool number ``pool``: 1, then 2, then 5 and, every fourth pool, 10.

    Copying a name from the caption at hand is learnt first, where there is nothing else to copy from.
    """
    passed = pool * POOL_STEPS / config.fit.steps
    if passed < config.one_frame_until:
        return 1
    if passed < config.two_frames_until:
        return 2
    return (5, 5, 5, 10)[pool % 4]


@lru_cache(maxsize=1)
def _pool(config: LMConfig, number: int) -> tuple[list[list[Piece]], int]:
    """Return fresh stories for several steps, shortest first, and how many a step takes."""
    frames = story_length(config, number)
    count = max(1, config.frames // frames)
    rng = np.random.default_rng([config.fit.seed, _STREAM, number])
    stream = sample_training_stories(_STREAM + config.fit.seed, POOL_STEPS * count, frames, number * 10_000)
    written = [StoryWriter(plan, told, rng, TextOptions()).write() for plan, told in stream]
    return sorted(written, key=lambda pieces: sum(p.text.count(" ") + 1 for p in pieces)), count


def training_batch(config: LMConfig, tokenizer: PreTrainedTokenizerFast, step: int) -> TextBatch:
    """Return the batch of a step, stories of like length: a function of (config, step) alone."""
    number, place = divmod(step, POOL_STEPS)
    stories, count = _pool(config, number)
    first = int(np.random.default_rng([config.fit.seed, number]).permutation(POOL_STEPS)[place]) * count
    batch = encode(stories[first : first + count], tokenizer)
    start = np.random.default_rng([config.fit.seed, _STREAM, number, place]).integers(
        0, config.max_start, len(batch.ids)
    )
    return batch._replace(start=torch.from_numpy(start)[:, None])


# Held-out texts: the published order with all pictures, and captions alone up to the last frame.
EVALUATIONS: dict[str, TextOptions] = {
    "prompt": TextOptions((("sheet", 1.0),), 1.0, 0.0, 0.0, 1.0, 0.9, last_only=True),
    "blind": TextOptions((("sheet", 1.0),), 0.0, 0.0, 1.0, 1.0, 0.5, last_only=True),
    "dense": TextOptions((("dense", 1.0),), 1.0, 0.0, 0.0, last_only=True),
}


def validation_stories(count: int, frames: int = 5) -> list[tuple[StoryPlan, tuple[Told, ...]]]:
    """Return stories of the val split with both texts."""
    plans = [plan_story("val", k, frames, 0) for k in range(count)]
    return [(plan, tell_story(plan)) for plan in plans]


@torch.no_grad()
def evaluate(model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int) -> dict[str, float]:
    """Return held-out accuracies by kind, over the last frame's picture of ``count`` stories a text."""
    scores: dict[str, float] = {}
    stories = validation_stories(count)
    for name, options in EVALUATIONS.items():
        rng = np.random.default_rng(7)
        texts = [StoryWriter(plan, told, rng, options).write() for plan, told in stories]
        _, right, kinds = next_token_loss(model, encode(texts, tokenizer))
        for kind in Kind:
            if kind != Kind.OTHER and (kinds == kind).any():
                scores[f"{name}/{kind.name.lower()}"] = round(float(right[kinds == kind].float().mean()), 4)
    return scores


@torch.no_grad()
def write_samples(model: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int) -> list[dict[str, Any]]:
    """Let the model describe the last picture of held-out stories, from captions and earlier pictures."""
    samples = []
    for plan, told in validation_stories(count):
        for style in ("dense", "names"):
            options = TextOptions(((style, 1.0),), 1.0, 0.0, 0.0, last_only=True)
            pieces = StoryWriter(plan, told, np.random.default_rng(3), options).write()
            cut = max(i for i, p in enumerate(pieces) if p.text == "Image :") + 1
            ids = encode([pieces[:cut]], tokenizer).ids
            out = model.generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=tokenizer.pad_token_id)
            prompt, truth = (" ".join(p.text for p in part) for part in (pieces[:cut], pieces[cut:]))
            wrote = tokenizer.decode(out[0, ids.shape[1] :])
            samples.append({"prompt": prompt, "wrote": wrote, "truth": truth})
    return samples


def train(fit_config: Mapping[str, Any], **options: Any) -> dict[str, float]:
    """Pretrain, save model, tokenizer, ``metrics.json`` and samples to ``save_to``; return the held-out scores.

    Args:
        fit_config: Fields of :class:`~storygptv.training.FitConfig`.
        options: Fields of :class:`LMConfig`.
    """
    config = LMConfig(fit=FitConfig(**fit_config), **options)
    if config.fit.threads:
        torch.set_num_threads(config.fit.threads)
    model, tokenizer = build_lm(config)
    model.train()

    def loss(batch: TextBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        del generator
        value, right, kinds = next_token_loss(model, batch)
        names = right[kinds == Kind.NAME_REFERRED].float()
        return value, {"names": float(names.mean()) if len(names) else 0.0, "tokens": batch.ids.numel()}

    def report(step: int) -> dict[str, float]:
        return evaluate(model, tokenizer, config.eval_stories) if step % config.eval_every == 0 else {}

    result = fit(model, loss, lambda step: training_batch(config, tokenizer, step), config.fit, report)
    if not is_main_process():
        return {}
    model.eval()
    scores = evaluate(model, tokenizer, 2 * config.eval_stories)
    out = Path(config.save_to)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "metrics.json").write_text(json.dumps({**scores, **result}, indent=1))
    (out / "samples.json").write_text(json.dumps(write_samples(model, tokenizer, config.samples), indent=1))
    return scores
