"""Where an aligner starts from: its sizes, the language model, the [IMG] rows, and a warm-up of the mapper.

At paper scale all of it is random (or GILL's, ``init_from=gill``). The miniature trains for minutes, and begins nearer
to the end: features standardised, [IMG] rows that are words, a mapper that knows the states those words have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from storybench.errors import ConfigError, unknown
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.held_out import AlignerObjective
from storygptv.aligner.lora import add_lora
from storygptv.aligner.losses import alignment_loss
from storygptv.aligner.model import AlignedLLM, load_llm
from storygptv.aligner.pool import Pool
from storygptv.training import fit

if TYPE_CHECKING:
    from storygptv.aligner.training import AlignerTraining

InitFrom = Literal["none", "gill"]
ParamDtype = Literal["fp32", "bf16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def build(config: AlignerTraining, pool: Pool) -> AlignedLLM:
    """Return an untrained aligner around the language model ``config.lm``, for the embeddings of ``pool``.

    Raises:
        ConfigError: If an option is unknown or does not fit the language model.
        AssetError: If GILL's weights are asked for and do not fit.
    """
    for name in ("param_dtype", "llm_dtype"):
        if getattr(config, name) not in get_args(ParamDtype):
            raise unknown(name, str(getattr(config, name)), get_args(ParamDtype))
    if config.init_from not in get_args(InitFrom):
        raise unknown("init_from", config.init_from, get_args(InitFrom))
    torch.manual_seed(config.fit.seed)
    llm, tokenizer = load_llm(config.lm, attn_implementation=config.attention, dtype=DTYPES[config.llm_dtype])
    table = llm.get_input_embeddings().weight
    num_queries, out_dim = pool.targets.shape[-2:]
    heads = AlignerHeads(
        llm_dim=table.shape[1],
        feature_dim=pool.features.shape[-1],
        visual_tokens=config.visual_tokens,
        img_tokens=config.img_tokens,
        out_dim=out_dim,
        num_queries=num_queries,
        mapper_hidden=config.mapper_hidden,
        mapper_heads=config.mapper_heads,
        mapper_layers=config.mapper_layers,
        mapper_feedforward=config.mapper_feedforward,
        output_rows=config.output_rows,
        prompt=config.prompt,
    )
    heads.start(table, llm.get_output_embeddings().weight)
    model = AlignedLLM(llm, tokenizer, heads)
    if config.init_from == "gill":
        load_gill(heads, config.init_weights)
    elif config.img_words:
        start_rows(model, config.img_words.split())
    if config.param_dtype != "fp32":
        heads.to(DTYPES[config.param_dtype])
    if config.lora_rank:
        add_lora(llm, config.lora_rank, config.lora_alpha, config.lora_modules)
    return model


def load_gill(heads: AlignerHeads, weights: str) -> None:
    """Start ``heads`` from a checkpoint in GILL's format, ``pretrained_ckpt.pth.tar`` (storygptv.md section 8).

    Raises:
        ConfigError: If no file is given.
        AssetError: If it is not there or damaged, or its tensors do not fit.
    """
    from storygptv.checkpoints import convert_second_stage, read_state_dict

    if not weights:
        raise ConfigError("init_from=gill needs GILL's weights: give init_weights=FILE, its pretrained_ckpt.pth.tar.")
    heads.load_state_dict(convert_second_stage(read_state_dict(weights), heads, "The GILL checkpoint").heads)


@torch.no_grad()
def start_rows(model: AlignedLLM, words: list[str]) -> None:
    """Start the [IMG] rows as the embeddings of ``words``, one a row.

    Raises:
        ConfigError: If there are not as many words as rows, or the vocabulary lacks one.
    """
    ids = model.tokenizer.convert_tokens_to_ids(words)
    unknown_words = [w for w, i in zip(words, ids, strict=True) if i in (None, model.tokenizer.unk_token_id)]
    if unknown_words or len(words) != model.prompts.img_tokens:
        raise ConfigError(
            f"img_words has {len(words)} words, unknown ones {unknown_words}: expected {model.prompts.img_tokens} "
            "words that the language model knows, or none."
        )
    model.img.rows.copy_(model.llm.get_input_embeddings().weight[ids])
    model.img.rescale_(model.token_norm)


@torch.no_grad()
def feature_deviation(pool: Pool) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (V,) of the features, from the first pictures of a pool."""
    flat = torch.from_numpy(np.asarray(pool.features[:2500], np.float32))  # (n, V)
    return flat.mean(0), flat.std(0).clamp(min=1e-4)


@torch.no_grad()
def standardise(model: AlignedLLM, pool: Pool) -> None:
    """Start the visual projection as if features were standardised, and the mapper at the mean target."""
    mean, deviation = (v.to(model.visual_embeddings.weight) for v in feature_deviation(pool))
    model.visual_embeddings.weight.div_(deviation)
    model.visual_embeddings.bias.copy_(-(model.visual_embeddings.weight @ mean))
    typical = torch.from_numpy(np.asarray(pool.targets[:500], np.float32)).flatten(0, 1)  # (n, D)
    model.mapper.model.bias.copy_(typical.mean(0))


@torch.no_grad()
def cached_states(model: AlignedLLM, pool: Pool, first: int, chunk: int = 40) -> Tensor:
    """Return the states (n, R, e) of the [IMG] tokens of all frames from ``first`` on, referential captions."""
    states = []
    for start in range(0, len(pool.stories), chunk):
        part = slice(start, start + chunk)
        told = [s.referential for s in pool.stories[part]]
        states.append(model.states(told, pool.story_features(part).to(model.device), first).half().cpu())
    return torch.cat(states)


def warm_up(objective: AlignerObjective, pool: Pool, config: AlignerTraining, first: int) -> None:
    """Train the mapper alone on states of the [IMG] tokens as they start, which costs a fraction of a full step."""
    model = objective.model
    pool = pool.first(config.warm_up_stories)
    states = cached_states(model, pool, first)
    rows = model.img.rows.detach()
    row_of = pool.index[:, first:].reshape(-1)  # (n,) the target of each state

    def batches(step: int) -> Tensor:
        rng = np.random.default_rng([config.fit.seed, 73, step])
        return torch.from_numpy(rng.choice(len(states), config.warm_up_frames))

    def loss(chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        del generator
        condition = model.mapper(states[chosen].to(rows), rows)
        wanted = torch.from_numpy(np.asarray(pool.targets[row_of[chosen.numpy()]], np.float32))
        return alignment_loss(condition, wanted.to(rows.device), config.align_loss), {}

    schedule: dict[str, Any] = {"steps": config.warm_up_steps, "warmup": 30, "cooldown": 0.2, "decay_every": 0}
    schedule |= {"muon": 2 * config.fit.muon, "validate_every": 0, "out": f"{config.fit.out}/warm_up"}
    schedule |= {"max_seconds": float("inf")}  # what follows starts from a finished warm-up, or resuming would differ
    fit(model.mapper, loss, batches, replace(config.fit, **schedule))
