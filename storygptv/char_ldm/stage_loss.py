"""What one training step of stage 1 computes: denoising error plus L_reg, the mask-supervised attention loss.

Where batches come from does not matter here: a *reader* turns each into :class:`Examples`. The miniature reads a pool
of ToonSV latents (:mod:`training`), paper scale the frames of a data set's stories (:mod:`story_training`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from storygptv.char_ldm.attention import CharacterColumns
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.objective import Objective, denoising_loss, training_alphas, union_mask

B = TypeVar("B")


@dataclass(frozen=True)
class Examples:
    """A batch as the loss needs it, on the model's device; B samples, K names with pictures at most."""

    latents: Tensor  # (B, C, h, w), standardised
    context: Tensor  # (B, L, D), the fused embedding c
    token_idx: Tensor  # (B, K)
    masks: Tensor  # (B, K, H, W)
    supervised: Tensor  # (B, K) bool: the name is fused and its mask is known
    foreground: Tensor | None = None  # (B, H', W') bool, any character; for Objective.character_weight


class CharLDMLoss(Generic[B]):
    """The loss of a batch, ``denoising + attention_weight * L_reg``, for :func:`storygptv.training.fit`."""

    def __init__(
        self,
        model: CharLDM,
        read: Callable[[B, torch.Generator], Examples],
        objective: Objective,
        columns: CharacterColumns | None,
        attention_weight: float,
    ) -> None:
        """Prepare.

        Args:
            model: Its scheduler must sample what ``objective`` predicts.
            read: From a batch and the step's generator to examples.
            objective: What the U-Net predicts and how errors are weighed.
            columns: The supervised layers (:func:`~storygptv.char_ldm.attention.record_character_columns`); None for no
                L_reg.
            attention_weight: Weight of L_reg (published: 1e-3).

        Raises:
            ConfigError: If objective and scheduler do not fit.
        """
        self.model, self.read, self.objective = model, read, objective
        self.columns, self.attention_weight = columns, attention_weight
        self.alphas_cumprod = training_alphas(model.scheduler, objective)

    def __call__(self, batch: B, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of ``batch`` and what the log shows: ``mse`` and ``reg``."""
        examples = self.read(batch, generator)
        z, objective = examples.latents, self.objective
        noise = torch.randn(z.shape, generator=generator).to(z)
        levels = objective.levels(len(z), self.alphas_cumprod, generator)
        x, target = objective.path(z, noise, levels)
        if self.columns is not None:
            self.columns.supervise(examples.token_idx, examples.masks, examples.supervised)
        x = x.contiguous(memory_format=torch.channels_last)
        prediction = self.model.unet(x, levels.timesteps.to(z.device), examples.context).sample
        inside = emphasis = None
        if objective.masks_this_batch(generator):
            inside = union_mask(examples.masks, examples.supervised, z.shape[-2:])
        if examples.foreground is not None and objective.character_weight != 1:
            emphasis = F.interpolate(examples.foreground.float()[:, None], z.shape[-2:], mode="area")  # (B, 1, h, w)
        weights = objective.weights(levels)
        loss = denoising_loss(prediction.float(), target, weights, emphasis, objective.character_weight, inside)
        values = {"mse": float((prediction.detach().float() - target).square().mean())}
        if self.columns is not None:
            regulariser = self.columns.loss()
            loss = loss + self.attention_weight * regulariser
            values["reg"] = float(regulariser.detach())
        return loss, values
