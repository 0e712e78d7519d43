"""Stage ``aligner``: teach a frozen language model to speak Char-LDM's embedding language.

Trained are the visual projection, the [IMG] rows and the mapper, with L_align (Eq. 6) and L_gen (Eq. 4), on what the
stage ``embeddings`` encoded. History is made of true pictures; the miniature blurs their features by noise and leaves
some out, since at inference they are generated ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from storybench.errors import ConfigError, unknown
from storygptv.aligner.checkpointing import checkpoint_layers
from storygptv.aligner.embeddings import data_cast, load_picture_model
from storygptv.aligner.heads import OutputRows
from storygptv.aligner.held_out import AlignerObjective, character_sets, evaluate
from storygptv.aligner.lora import merge_lora
from storygptv.aligner.losses import AlignLoss, CeScope, alignment_loss
from storygptv.aligner.model import TargetFrames
from storygptv.aligner.pool import PictureModel, Pool, open_pool
from storygptv.aligner.starting import InitFrom, ParamDtype, build, feature_deviation, standardise, warm_up
from storygptv.shares import process_state
from storygptv.training import FitConfig, fit, is_main_process

TargetsPerStory = Literal["all", "one"]
_CHOICES = {
    "align_loss": AlignLoss, "ce_scope": CeScope, "target_frames": TargetFrames, "targets_per_story": TargetsPerStory,
    "output_rows": OutputRows,
}  # fmt: skip


@dataclass(frozen=True)
class AlignerTraining:
    """Sizes, data and losses; the defaults are the paper's, or the published code's where the paper is silent.

    Raises:
        ConfigError: If a choice is unknown.
    """

    fit: FitConfig
    save_to: str = "work/aligner"
    save_llm: bool = True  # False: the heads alone, for a published language model
    lm: str = "work/lm"  # folder or hub name
    llm_dtype: ParamDtype = "fp32"
    attention: str = "eager"  # eager or sdpa
    embeddings: str = "work/embeddings"  # folder of the stage embeddings
    probe: bool = False  # held-out name_acc, which needs Char-LDM and the data set's cast
    char_ldm: str = "work/char_ldm"
    dataset: Mapping[str, Any] = field(default_factory=lambda: {"name": "toonsv"})
    val_stories: int = 40  # at each evaluation; all of them at the end
    visual_tokens: int = 4
    img_tokens: int = 8
    img_words: str = ""  # words the [IMG] rows start as, one a row; empty: random rows
    output_rows: OutputRows = "shared"
    mapper_hidden: int = 512
    mapper_heads: int = 4
    mapper_layers: int = 4
    mapper_feedforward: int = 2048
    prompt: Mapping[str, Any] = field(default_factory=dict)  # fields of PromptFormat
    init_from: InitFrom = "none"
    init_weights: str = ""
    param_dtype: ParamDtype = "fp32"
    standardise: bool = False  # start as if features were standardised
    lora_rank: int = 0  # 0: the language model is frozen, as in the paper
    lora_alpha: float = 16.0
    lora_modules: Sequence[str] = ("q_proj", "v_proj")
    gradient_checkpointing: bool = False
    warm_up_steps: int = 0  # of the mapper alone, on cached states
    warm_up_stories: int = 2000
    warm_up_frames: int = 128  # a step
    explicit_share: float = 0.0  # stories read with explicit captions
    feature_noise: float = 0.0  # largest noise on a history picture, in standard deviations of the features
    picture_dropout: float = 0.0  # chance that a history picture is a blank (the mean feature)
    align_loss: AlignLoss = "l2_norm"
    align_weight: float = 1.0
    ce_scope: CeScope = "text_and_first_img"
    ce_weight: float = 0.5  # published factor, storygptv.md section 4
    target_frames: TargetFrames = "all"
    targets_per_story: TargetsPerStory = "all"  # one: a random frame of each story, as published
    character_weight: float = 0.0  # auxiliary read-out of the frame's characters; 0: off
    rescale_rows: bool = True  # [IMG] rows return to the mean norm of the vocabulary after each step
    stories: int = 64  # a step
    eval_every: int = 100

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise unknown(name, str(getattr(self, name)), get_args(kind))

    @property
    def first_target(self) -> int:
        """The first frame that is a target."""
        return int(self.target_frames == "later")


class StoryBatch(NamedTuple):
    """B stories: captions to read, features (B, T, V), targets (B, T, Q, D), characters (B, T, names), target frames.

    ``chosen`` (B,) is the target frame of each story, -1 for all.
    """

    captions: list[tuple[str, ...]]
    features: Tensor
    targets: Tensor
    characters: Tensor
    chosen: Tensor


def training_batch(config: AlignerTraining, pool: Pool, step: int) -> StoryBatch:
    """Return the batch of a step: a function of (seed, step) and the pool alone.

    Raises:
        ConfigError: If the pool has fewer stories than a step.
    """
    seed, per_epoch = config.fit.seed, len(pool.stories) // config.stories
    if not per_epoch:
        raise ConfigError(f"A step takes {config.stories} stories and there are {len(pool.stories)}: lower stories=.")
    rng = np.random.default_rng([seed, 71, step])
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, 72, epoch]).permutation(len(pool.stories))
    rows = np.sort(order[place * config.stories : (place + 1) * config.stories])
    stories = [pool.stories[i] for i in rows]
    explicit = rng.random(len(stories)) < config.explicit_share
    captions = [s.explicit if e else s.referential for s, e in zip(stories, explicit, strict=True)]
    chosen = np.full(len(stories), -1)
    if config.targets_per_story == "one":
        chosen = rng.integers(config.first_target, pool.index.shape[1], len(stories))
    who = character_sets(stories, pool.names)
    return StoryBatch(captions, pool.story_features(rows), pool.story_targets(rows), who, torch.from_numpy(chosen))


def soften(features: Tensor, deviation: Tensor, config: AlignerTraining, generator: torch.Generator) -> Tensor:
    """Return features (B, T, V) as generated pictures might give them: noisy, now and then blank."""
    if not config.feature_noise and not config.picture_dropout:
        return features
    shape = (*features.shape[:2], 1)
    amount = torch.rand(shape, generator=generator) * config.feature_noise
    noisy = features + torch.randn(features.shape, generator=generator) * amount * deviation
    blank = torch.rand(shape, generator=generator) < config.picture_dropout
    return torch.where(blank, features.mean((0, 1)), noisy)


def aligner_loss(
    objective: AlignerObjective, batch: StoryBatch, features: Tensor, config: AlignerTraining
) -> tuple[Tensor, dict[str, float]]:
    """Return ``align_weight * L_align + ce_weight * L_gen`` (Eq. 6 and 4), and the terms for the log.

    Args:
        objective: The model.
        batch: Stories.
        features: Their pictures as the model gets them, (B, T, V).
        config: Weights and forms of the terms.
    """
    model, first = objective.model, config.first_target
    device, stories = model.device, torch.arange(len(batch.captions))
    if config.targets_per_story == "one":
        frames = batch.chosen.tolist()
        targets, who = batch.targets[stories, batch.chosen], batch.characters[stories, batch.chosen]
    else:
        frames = None
        targets, who = batch.targets[:, first:].flatten(0, 1), batch.characters[:, first:].flatten(0, 1)
    out = model(batch.captions, features.to(device), config.ce_scope, True, config.target_frames, frames)
    align = alignment_loss(out.condition, targets.to(device), config.align_loss)
    total = config.align_weight * align + config.ce_weight * out.generation_loss
    terms = {"align": align, "gen": out.generation_loss}
    if config.character_weight:
        read = objective.read_characters(out.condition).float()
        terms["characters"] = nn.functional.binary_cross_entropy_with_logits(read, who.to(device))
        total = total + config.character_weight * terms["characters"]
    return total, {key: float(value.detach()) for key, value in terms.items()}


def train(fit_config: Mapping[str, Any], picture_model: PictureModel | None = None, **options: Any) -> dict[str, float]:
    """Train, save to ``save_to``, and return the held-out scores.

    Args:
        fit_config: Fields of :class:`~storygptv.training.FitConfig`.
        picture_model: Char-LDM, for the probes; by default read from the folder ``char_ldm``.
        options: Fields of :class:`AlignerTraining`.

    Raises:
        ConfigError: If an option is unknown or does not fit the others.
        DataError: If there are no embeddings, or a caption is too long.
    """
    config = AlignerTraining(fit=FitConfig(**fit_config), **options)
    if config.fit.threads:
        torch.set_num_threads(config.fit.threads)
    pool, held_out = (open_pool(Path(config.embeddings) / name) for name in ("train", "val"))
    if config.probe and picture_model is None:
        space = held_out.identity.get("target_space", "fused")
        picture_model = load_picture_model(config.char_ldm, data_cast(config.dataset, "train"), space)
    model = build(config, pool)
    if config.standardise:
        standardise(model, pool)
    _, deviation = feature_deviation(pool)
    objective = AlignerObjective(model, pool.names).train().to(process_state().device)
    if not config.character_weight:
        objective.characters.requires_grad_(False)
    if config.gradient_checkpointing:
        checkpoint_layers(model.llm)
    if config.warm_up_steps and not (Path(config.fit.out) / "checkpoint.pt").exists():
        warm_up(objective, pool, config, config.first_target)

    def loss(batch: StoryBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        if config.rescale_rows:
            model.img.rescale_(model.token_norm)
        return aligner_loss(objective, batch, soften(batch.features, deviation, config, generator), config)

    def report(step: int) -> dict[str, float]:
        if step % config.eval_every:
            return {}
        return evaluate(objective, held_out.first(config.val_stories), picture_model, config.target_frames)

    result = fit(objective, loss, lambda step: training_batch(config, pool, step), config.fit, report)
    if config.rescale_rows:
        model.img.rescale_(model.token_norm)
    if not is_main_process():
        return {}
    scores = evaluate(objective, held_out, picture_model, config.target_frames)
    merge_lora(model.llm)
    model.save_pretrained(config.save_to, with_llm=config.save_llm or config.lora_rank > 0)
    (Path(config.save_to) / "metrics.json").write_text(json.dumps({**scores, **result}, indent=1))
    return scores
