"""Trains the ToonSV captioner on true frames of fresh train stories, degraded as generated pictures are.

Each frame is drawn once and looked at a few times, once clean and then degraded; what the frozen eyes saw is kept, so
that a step costs the decoder alone. Each story is told in many wordings by the grammar itself: a step takes any
wording of a frame with any look at it. Now and then the picture is withheld, which teaches how likely a caption is by
itself. Everything follows from ``seed`` on one machine with one thread.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from storybench.data.toonsv import world
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.grammar import tell_story
from storybench.data.toonsv.planner import StoryPlan, plan_story
from storybench.perception import assets
from storybench.perception.augmentation import augment
from storybench.perception.captioning.captioner import MAX_WORDS, CaptionDecoder, Seen, look
from storybench.perception.captioning.toon import NAME, eyes_hash, load_captioner
from storybench.perception.captioning.words import PAD, Words, collect
from storybench.perception.perceiver import Perceiver, to_pixels

log = logging.getLogger(__name__)

START_STORY = 700_000  # of train: apart from the stories that distances refer to
FRAMES = 5
CHUNK = 32  # frames looked at together
BLIND_SHARE = 0.1


@dataclass(frozen=True)
class Bank:
    """What was seen of many frames, and how each may be told."""

    seen: Seen  # (N * looks, ...) float16, the looks at a frame one after the other
    looks: int
    wordings: list[tuple[str, ...]]  # of each of the N frames


def retellings(plan: StoryPlan, count: int) -> list[tuple[str, ...]]:
    """Return for each frame of a story ``count`` explicit captions, the data set's own first.

    Another seed of the plan changes the wording and nothing that is told.
    """
    told = [tell_story(replace(plan, seed=k)) for k in range(count)]
    return [tuple(texts[t].explicit.text for texts in told) for t in range(len(plan.events))]


def fill_bank(eyes: Perceiver, stories: int, looks: int, wordings: int, rng: np.random.Generator) -> Bank:
    """Draw ``stories`` stories and look at every frame ``looks`` times, degraded but for the first."""
    plans = [plan_story("train", START_STORY + k, FRAMES) for k in range(stories)]
    scenes = [scene for plan in plans for scene in plan.scenes]
    grids, objects = [], []
    for start in range(0, len(scenes), CHUNK):
        clean = torch.stack([to_pixels(render(s).image) for s in scenes[start : start + CHUNK]])  # (C, 3, 128, 128)
        views = [look(eyes, clean if k == 0 else augment(clean, rng)) for k in range(looks)]
        grids.append(torch.stack([v.grid for v in views], dim=1).flatten(0, 1).half())
        objects.append(torch.stack([v.objects for v in views], dim=1).flatten(0, 1).half())
    told = [texts for plan in plans for texts in retellings(plan, wordings)]
    return Bank(Seen(torch.cat(grids), torch.cat(objects)), looks, told)


def train(
    output: str | None = None,
    stories: int = 1600,
    looks: int = 3,
    wordings: int = 24,
    steps: int = 1600,
    batch_size: int = 64,
    learning_rate: float = 1.5e-3,
    dropout: float = 0.05,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    seed: int = 20_261,
    threads: int = 1,
    check_stories: int = 100,
) -> dict[str, Any]:
    """Train, check on true test frames, and write weights and manifest.

    Args:
        output: Folder to write; by default the shipped one.
        stories: Train stories to draw, five frames each.
        looks: How often each frame is looked at; the first time undegraded.
        wordings: Of each story.
        steps: Optimiser steps.
        batch_size: Frames a step.
        learning_rate: Peak of the one-cycle schedule.
        dropout: On every residual branch.
        width: Of the decoder.
        layers: Of the decoder.
        heads: Of its attention.
        seed: Of degradation, order and initial weights.
        threads: CPU threads for torch.
        check_stories: Test stories whose true frames measure it.

    Returns:
        The manifest as written.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    eyes = assets.load_perceiver()
    bank = fill_bank(eyes.model, stories, looks, wordings, rng)
    words = Words(collect(text for texts in bank.wordings for text in texts), world.NAMES)
    log.info("%.1f min: saw %d frames, %d words", (time.perf_counter() - started) / 60, len(bank.wordings), len(words))
    architecture = {
        "cell_width": bank.seen.grid.shape[2],
        "object_width": bank.seen.objects.shape[2],
        "objects": bank.seen.objects.shape[1],
        "width": width,
        "layers": layers,
        "heads": heads,
    }
    decoder = CaptionDecoder(vocabulary=len(words), **architecture, dropout=dropout)
    optimise(decoder, words, bank, rng, steps, batch_size, learning_rate)
    folder = Path(output) if output else assets.WEIGHTS_ROOT / NAME
    facts = {
        "id": "toonsv-captioner-v1",
        "eyes": {"id": eyes.id, "sha256": eyes_hash()},
        "words": list(words.words),
        "architecture": architecture,
        "parameters": sum(p.numel() for p in decoder.parameters()),
        "training": {
            "command": "storybench train model=captioner stage=toonsv",
            "seed": seed,
            "stories": stories,
            "frames": len(bank.wordings),
            "looks": looks,
            "wordings": wordings,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "dropout": dropout,
            "data": f"true frames of ToonSV train stories {START_STORY} to {START_STORY + stories - 1}",
            "seconds": round(time.perf_counter() - started, 1),
            "hardware": f"{platform.machine()} CPU, {threads} thread",
            "torch": torch.__version__,
        },
    }
    from storybench.perception.captioning.selfcheck import check  # it tells frames in other words with this module

    files = {assets.WEIGHTS: assets.half(decoder)}
    assets.write_asset(folder, files, {**facts, "accuracies": {}})
    return assets.write_asset(folder, files, {**facts, "accuracies": check(load_captioner(folder), check_stories)})


def optimise(
    decoder: CaptionDecoder,
    words: Words,
    bank: Bank,
    rng: np.random.Generator,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Run the training loop in place and leave the decoder in eval mode."""
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=learning_rate, weight_decay=1e-2, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    decoder.train()
    started = time.perf_counter()
    for step, index in enumerate(islice(_orders(len(bank.wordings), batch_size, rng), steps)):
        texts = [bank.wordings[i][int(rng.integers(len(bank.wordings[i])))] for i in index]
        view = torch.from_numpy(index * bank.looks + rng.integers(bank.looks, size=len(index)))
        blind = torch.from_numpy(rng.random(len(index)) < BLIND_SHARE)
        loss = caption_loss(decoder, bank.seen.at(view), blind, words.batch(texts, MAX_WORDS))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            minutes = (time.perf_counter() - started) / 60
            log.info("step %d of %d, %.1f min: %.3f nats a word", step, steps, minutes, loss.item())
    decoder.eval()


def caption_loss(decoder: CaptionDecoder, seen: Seen, blind: Tensor, words: Tensor) -> Tensor:
    """Return the mean cross entropy of the next word in nats; pictures where ``blind`` (B,) is set are withheld."""
    memory = decoder.remember(seen)  # (B, M, W)
    memory = torch.where(blind[:, None, None], decoder.blind(len(memory)), memory)
    logits = decoder(words[:, :-1], decoder.picture_keys(memory))  # (B, L - 1, V)
    return F.cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten(), ignore_index=PAD)


def _orders(count: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield indices of a batch without end, each frame once a round."""
    while True:
        order = rng.permutation(count)
        yield from (order[k : k + batch_size] for k in range(0, count - batch_size + 1, batch_size))
