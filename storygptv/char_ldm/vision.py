"""Stage ``vision``: the CLIP vision tower of the miniature, trained from scratch on pictures and their captions.

The tower learns to tell from the picture which words and which short detail sentences its dense caption holds
(image-text pretraining as classification over the caption's words: Huang et al. 2024, SuperClass), which needs far
fewer pictures than a contrastive loss. Paper scale takes CLIP ViT-L/14.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from storybench.data.toonsv.drawing import portrait
from storybench.data.toonsv.lexicon import tokenize_words, vocabulary
from storybench.data.toonsv.world import NAMES
from storygptv.char_ldm.toonsv_data import FrameBatch, fresh_batch, to_pixels
from storygptv.training import FitConfig, fit, is_main_process


def portrait_pixels(names: tuple[str, ...] = NAMES, size: int = 128) -> Tensor:
    """Return the portraits as (N, 3, size, size) in [-1, 1]."""
    pictures = torch.stack([to_pixels(portrait(name)) for name in names])
    return F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


class WordTargets:
    """Maps a dense caption to a multi-hot vector over words and over detail sentences."""

    def __init__(self, frames: int = 20_000) -> None:
        from storybench.data.toonsv.sampling import sample_training_frames

        sentences = {s for f in sample_training_frames(3, frames) for s in self._details(f.dense, f.explicit)}
        self.index = {word: i for i, word in enumerate((*vocabulary(), *sorted(sentences)))}

    @staticmethod
    def _details(dense: str, explicit: str) -> list[str]:
        rest = dense[len(explicit) :].strip()
        return [s.strip() + "." for s in rest.split(".") if s.strip()]

    def __call__(self, dense: str, explicit: str) -> Tensor:
        """Return the targets (len(self.index),) of one frame."""
        target = torch.zeros(len(self.index))
        known = [self.index[w] for w in (*tokenize_words(explicit), *self._details(dense, explicit)) if w in self.index]
        target[known] = 1
        return target


def soften(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures (B, 3, H, W) blurred and noised at random, each its own way, as generated frames are."""
    small = F.avg_pool2d(pixels, 2)
    blurred = F.interpolate(small, scale_factor=2, mode="bilinear")
    mix = torch.rand(len(pixels), 1, 1, 1, generator=generator)
    noise = (
        torch.randn(pixels.shape, generator=generator) * 0.06 * torch.rand(len(pixels), 1, 1, 1, generator=generator)
    )
    return (pixels.lerp(blurred, mix) + noise).clamp(-1, 1)


def train(
    fit_config: dict[str, Any],
    save_to: str,
    vision: dict[str, Any],
    batch_size: int = 32,
    portraits: int = 4,
    detail_weight: float = 5.0,
) -> dict[str, Any]:
    """Train the tower and save it.

    Args:
        fit_config: Fields of :class:`~storygptv.training.FitConfig`.
        save_to: Folder for the tower.
        vision: Arguments of :class:`transformers.CLIPVisionConfig`.
        batch_size: Frames a step.
        portraits: Portraits added to each batch, labelled by the name alone.
        detail_weight: Weight of a detail sentence; a word, which may be one of many synonyms, weighs 1.
    """
    config = FitConfig(**fit_config)
    torch.manual_seed(config.seed)
    targets = WordTargets()
    tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**vision))
    head = nn.Linear(vision["projection_dim"], len(targets.index))
    faces = portrait_pixels(size=vision["image_size"])
    face_targets = torch.stack([targets("", name) for name in NAMES])

    def loss_fn(batch: FrameBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        who = torch.randint(len(NAMES), (portraits,), generator=generator)
        pixels = soften(torch.cat([batch.pixels, faces[who]]), generator).to(tower.device)
        goal = torch.stack([targets(f.dense, f.explicit) for f in batch.frames])
        goal = torch.cat([goal, face_targets[who]]).to(tower.device)  # (B, W)
        logits = head(tower(pixels).image_embeds)
        details = slice(len(vocabulary()), None)
        weight = torch.ones_like(logits[0])
        weight[details] = detail_weight
        loss = F.binary_cross_entropy_with_logits(logits, goal, weight, reduction="none").sum(-1).mean()
        hit = (logits > 0) == (goal > 0)
        exact = hit[: len(batch.frames), details].all(-1).float().mean()
        recall = hit[:, details][goal[:, details] > 0].float().mean()
        return loss, {"details_exact": float(exact), "details_recall": float(recall)}

    model = nn.ModuleDict({"tower": tower, "head": head})
    result = fit(model, loss_fn, lambda step: fresh_batch(31 + config.seed, step, batch_size), config)
    if is_main_process():
        tower.eval().save_pretrained(save_to)
    return result
