"""Stage ``aligner``: teach a frozen language model to speak Char-LDM's embedding language.

Trained are the visual projection, the [IMG] rows and the mapper, with L_align (Eq. 6) and L_gen (Eq. 4). History is
made of true pictures whose features are blurred by noise and sometimes missing: at inference they are generated ones.

    python -m storygptv.aligner.training char_ldm=work/char_ldm lm=work/lm out=work/aligner
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from storybench.data.toonsv.dataset import full_cast
from storybench.data.toonsv.world import NAMES
from storybench.errors import ConfigError
from storygptv.aligner.losses import AlignLoss, CeScope, alignment_loss
from storygptv.aligner.model import AlignedLLM, AlignerConfig, load_llm
from storygptv.aligner.options import parse_options
from storygptv.aligner.pool import PictureModel, Pool, PoolStory, TargetText, build_pool
from storygptv.aligner.probing import probe
from storygptv.aligner.prompt import PromptFormat
from storygptv.aligner.story_text import ORDINALS
from storygptv.training import FitConfig, fit

# The pretrained model answers these keys of its fact sheets (story_text.py): rows that start as keys ask for what a
# frame shows from the first step, where random rows spend hundreds of steps on finding how to ask.
IMG_WORDS = " ".join(
    [f"{o}-{fact}" for fact in ("name", "act", "prop", "scarf") for o in ORDINALS]
    + ["place", "weather", "wall", "first-hue"]
)


@dataclass(frozen=True)
class AlignerTraining:
    """Sizes, data and schedule; the defaults are those of the miniature."""

    out: str = "work/aligner"
    lm: str = "work/lm"
    char_ldm: str = "work/char_ldm"
    pool: str = ""  # folder of drawn and encoded stories; empty: out/pool
    pool_stories: int = 6000
    frames: int = 5
    val_stories: int = 100
    visual_tokens: int = 4
    img_tokens: int = 16
    img_words: str = IMG_WORDS  # words the [IMG] rows start as, one a row; empty: random rows
    mapper_hidden: int = 192
    mapper_heads: int = 4
    mapper_layers: int = 2
    mapper_feedforward: int = 768
    target_text: TargetText = "plain"  # the paper aligns with the original caption
    warm_up_steps: int = 500  # of the mapper alone, on cached states
    warm_up_stories: int = 2000
    warm_up_frames: int = 128  # a step
    max_length: int = 256  # tokens of a prompt: about 12 frames of history
    explicit_share: float = 0.1  # stories read with explicit captions
    feature_noise: float = 0.4  # largest noise on a history picture, in standard deviations of the features
    picture_dropout: float = 0.05  # chance that a history picture is a blank (the mean feature)
    align_loss: AlignLoss = "l2_norm"
    align_weight: float = 1.0
    ce_scope: CeScope = "text_and_first_img"
    ce_weight: float = 0.5  # published factor, storygptv.md section 4
    character_weight: float = 0.1  # auxiliary read-out of the frame's characters; 0: off
    rescale_rows: bool = True  # [IMG] rows return to the mean norm of the vocabulary after each step
    stories: int = 32  # a step
    steps: int = 1500
    learning_rate: float = 1e-3
    muon: float = 0.01  # learning rate of hidden matrices; 0: AdamW on everything
    warmup: int = 60
    cooldown: float = 0.4
    weight_decay: float = 0.01
    seed: int = 0
    threads: int = 1
    max_seconds: float = 1e9
    checkpoint_seconds: float = 60.0
    eval_every: int = 100


class StoryBatch(NamedTuple):
    """B stories: captions to read, features (B, T, V), targets (B, T, Q, D) and characters (B, T, 9) of the frames."""

    captions: list[tuple[str, ...]]
    features: Tensor
    targets: Tensor
    characters: Tensor


class AlignerObjective(nn.Module):
    """The model and an auxiliary read-out of who is in the frame, used in training only."""

    def __init__(self, model: AlignedLLM) -> None:
        super().__init__()
        self.model = model
        self.characters = nn.Linear(model.config.out_dim, len(NAMES))

    def read_characters(self, condition: Tensor) -> Tensor:
        """Return logits (N, 9) of the characters from embeddings (N, Q, D)."""
        return self.characters(condition.mean(1))


@torch.no_grad()
def fit_to_features(model: AlignedLLM, pool: Pool) -> Tensor:
    """Start the visual projection as if features were standardised; return their standard deviation (V,)."""
    flat = torch.from_numpy(np.asarray(pool.features[:500], np.float32)).flatten(0, 1)  # (n, V)
    mean, deviation = flat.mean(0), flat.std(0).clamp(min=1e-4)
    model.visual_embeddings.weight.div_(deviation)
    model.visual_embeddings.bias.copy_(-(model.visual_embeddings.weight @ mean))
    typical = torch.from_numpy(np.asarray(pool.targets[:100], np.float32)).flatten(0, 2)  # (n, D)
    model.mapper.model.bias.copy_(typical.mean(0))
    return deviation


def character_sets(stories: list[PoolStory]) -> Tensor:
    """Return who is in each frame as zeros and ones, shape (B, T, 9)."""
    return torch.tensor([[[float(n in told) for n in NAMES] for told in s.characters] for s in stories])


def training_batch(config: AlignerTraining, pool: Pool, step: int) -> StoryBatch:
    """Return the batch of a step: a function of (seed, step) and the pool alone."""
    rng = np.random.default_rng([config.seed, 71, step])
    per_epoch = len(pool.stories) // config.stories
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([config.seed, 72, epoch]).permutation(len(pool.stories))
    chosen = np.sort(order[place * config.stories : (place + 1) * config.stories])
    stories = [pool.stories[i] for i in chosen]
    explicit = rng.random(len(stories)) < config.explicit_share
    captions = [s.explicit if e else s.referential for s, e in zip(stories, explicit, strict=True)]
    features, targets = (torch.from_numpy(np.asarray(a[chosen], np.float32)) for a in (pool.features, pool.targets))
    return StoryBatch(captions, features, targets, character_sets(stories))


def soften(features: Tensor, deviation: Tensor, config: AlignerTraining, generator: torch.Generator) -> Tensor:
    """Return features (B, T, V) as generated pictures might give them: noisy, now and then blank."""
    shape = (*features.shape[:2], 1)
    amount = torch.rand(shape, generator=generator) * config.feature_noise
    noisy = features + torch.randn(features.shape, generator=generator) * amount * deviation
    blank = torch.rand(shape, generator=generator) < config.picture_dropout
    return torch.where(blank, features.mean((0, 1)), noisy)


@torch.no_grad()
def evaluate(objective: AlignerObjective, pool: Pool, picture_model: PictureModel, count: int) -> dict[str, float]:
    """Return held-out L_align, exact-set accuracy and F1 of the read-out, and the probes, on referential captions."""
    objective.eval()
    distances, wanted, found, predicted = [], [], [], []
    for first in range(0, count, 25):
        stories = list(pool.stories[first : min(first + 25, count)])
        features, targets = (
            torch.from_numpy(np.asarray(a[first : first + len(stories)], np.float32)).to(objective.model.device)
            for a in (pool.features, pool.targets)
        )
        condition = objective.model([s.referential for s in stories], features).condition  # (N, Q, D)
        distances.append(alignment_loss(condition, targets.flatten(0, 1)))
        found.append(objective.read_characters(condition) > 0)
        wanted.append(character_sets(stories).flatten(0, 1) > 0)
        predicted += condition.unflatten(0, (len(stories), -1)).unbind(0)
    objective.train()
    truth, guess = torch.cat(wanted), torch.cat(found).cpu()
    hits = (truth & guess).sum()
    return {
        "val/align": round(float(torch.stack(distances).mean()), 4),
        "val/set_acc": round(float((truth == guess).all(1).float().mean()), 4),
        "val/char_f1": round(float(2 * hits / (truth.sum() + guess.sum())), 4),
        **{f"val/{k}": round(v, 4) for k, v in probe(predicted, pool.stories[:count], picture_model.condition).items()},
    }


def build(config: AlignerTraining, feature_dim: int, num_queries: int, out_dim: int) -> AlignedLLM:
    """Return an untrained aligner around the language model in ``config.lm``."""
    torch.manual_seed(config.seed)
    sizes = AlignerConfig(
        feature_dim,
        config.visual_tokens,
        config.img_tokens,
        out_dim,
        num_queries,
        config.mapper_hidden,
        config.mapper_heads,
        config.mapper_layers,
        config.mapper_feedforward,
        PromptFormat(max_length=config.max_length),
    )
    model = AlignedLLM(*load_llm(config.lm), sizes)
    if config.img_words:
        start_rows(model, config.img_words.split())
    return model


@torch.no_grad()
def start_rows(model: AlignedLLM, words: list[str]) -> None:
    """Start the [IMG] rows as the embeddings of ``words``, one a row.

    Raises:
        ConfigError: If there are not as many words as rows, or the vocabulary lacks one.
    """
    ids = model.tokenizer.convert_tokens_to_ids(words)
    unknown = [w for w, i in zip(words, ids, strict=True) if i in (None, model.tokenizer.unk_token_id)]
    if unknown or len(words) != model.config.img_tokens:
        raise ConfigError(
            f"img_words has {len(words)} words, unknown ones {unknown}: expected {model.config.img_tokens} words that "
            "the language model knows, or none."
        )
    model.img.rows.copy_(model.llm.get_input_embeddings().weight[ids])
    model.img.rescale_(model.token_norm)


@torch.no_grad()
def cached_states(model: AlignedLLM, pool: Pool, count: int, chunk: int = 40) -> Tensor:
    """Return the states (count * T, R, e) of the [IMG] tokens for the first stories, referential captions."""
    states = []
    for first in range(0, count, chunk):
        features = torch.from_numpy(np.asarray(pool.features[first : first + chunk], np.float32))
        told = [s.referential for s in pool.stories[first : first + chunk]]
        states.append(model.states(told, features.to(model.device)).half().cpu())
    return torch.cat(states)


def warm_up(model: AlignedLLM, pool: Pool, config: AlignerTraining) -> None:
    """Train the mapper alone on states of the [IMG] tokens as they start, which costs a fraction of a full step."""
    count = min(config.warm_up_stories, len(pool.stories))
    states = cached_states(model, pool, count)
    targets = np.asarray(pool.targets[:count]).reshape(-1, *pool.targets.shape[2:])  # (N, Q, D)
    rows = model.img.rows.detach()

    def batches(step: int) -> Tensor:
        return torch.from_numpy(
            np.random.default_rng([config.seed, 73, step]).choice(len(states), config.warm_up_frames)
        )

    def loss(chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        del generator
        condition = model.mapper(states[chosen].float().to(rows.device), rows)
        return alignment_loss(condition, torch.from_numpy(targets[chosen].astype(np.float32)).to(rows.device)), {}

    steps = config.warm_up_steps
    schedule = FitConfig(
        f"{config.out}/warm_up", steps, config.learning_rate, 30, 0.2, muon=2 * config.muon, seed=config.seed,
        threads=config.threads,
    )  # fmt: skip
    fit(model.mapper, loss, batches, schedule)


def train(picture_model: PictureModel | None = None, **options: Any) -> dict[str, float]:
    """Train and save to ``out``; return the held-out scores.

    Args:
        picture_model: Char-LDM; by default read from the folder ``char_ldm``.
        options: Fields of :class:`AlignerTraining`.
    """
    config = AlignerTraining(**options)
    torch.set_num_threads(config.threads)
    if picture_model is None:
        from storygptv.char_ldm.model import CharLDM

        picture_model = CharLDM.from_pretrained(config.char_ldm, full_cast()).eval()
    folder = Path(config.pool or Path(config.out) / "pool")
    text = config.target_text
    stories = config.pool_stories
    pool = build_pool(picture_model, folder / "train", "train", stories, config.frames, config.seed, target_text=text)
    held_out = build_pool(picture_model, folder / "val", "val", config.val_stories, config.frames, target_text=text)
    model = build(config, pool.features.shape[-1], *pool.targets.shape[-2:])
    deviation = fit_to_features(model, pool)
    objective = AlignerObjective(model).train()
    if config.warm_up_steps and not (Path(config.out) / "checkpoint.pt").exists():
        warm_up(model, pool, config)

    def loss(batch: StoryBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        if config.rescale_rows:
            model.img.rescale_(model.token_norm)
        device = model.device
        features = soften(batch.features, deviation, config, generator).to(device)
        out = model(batch.captions, features, config.ce_scope)
        align = alignment_loss(out.condition, batch.targets.flatten(0, 1).to(device), config.align_loss)
        read = objective.read_characters(out.condition)
        who = nn.functional.binary_cross_entropy_with_logits(read, batch.characters.flatten(0, 1).to(device))
        total = config.align_weight * align + config.ce_weight * out.generation_loss + config.character_weight * who
        values = {"align": align, "gen": out.generation_loss, "characters": who}
        return total, {key: float(value.detach()) for key, value in values.items()}

    def report(step: int) -> dict[str, float]:
        if step % config.eval_every:
            return {}
        return evaluate(objective, held_out, picture_model, min(40, config.val_stories))

    result = fit(
        objective,
        loss,
        lambda step: training_batch(config, pool, step),
        FitConfig(
            out=config.out,
            steps=config.steps,
            learning_rate=config.learning_rate,
            muon=config.muon,
            warmup=config.warmup,
            cooldown=config.cooldown,
            weight_decay=config.weight_decay,
            betas=(0.9, 0.95),  # published, storygptv.md section 4
            seed=config.seed,
            threads=config.threads,
            checkpoint_seconds=config.checkpoint_seconds,
            max_seconds=config.max_seconds,
        ),
        report,
    )
    if config.rescale_rows:
        model.img.rescale_(model.token_norm)
    model.save_pretrained(config.out)
    scores = evaluate(objective, held_out, picture_model, config.val_stories)
    (Path(config.out) / "metrics.json").write_text(json.dumps({**scores, **result}, indent=1))
    return scores


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for score in train(**parse_options(AlignerTraining, sys.argv[1:])).items():
        print(*score)
