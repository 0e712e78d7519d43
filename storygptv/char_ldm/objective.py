"""The denoising objectives of stage 1: noise levels, what is predicted, and how errors are weighed.

Every objective is one path x = a z + s e from latents z to noise e, so that the kinds differ in a, s and the target:

* ``epsilon``: a = sqrt(abar), s = sqrt(1 - abar), target e (Ho et al. 2020, Eq. 14). Stable Diffusion 1.5, the paper.
* ``v_prediction``: the same path, target a e - s z (Salimans and Ho 2022, Appendix D).
* ``flow``: a = 1 - sigma, s = sigma, target e - z (Esser et al. 2024, Eqs. 13 and 23). The miniature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, SchedulerMixin
from torch import Tensor
from torch.nn import functional as F

from storybench.errors import ConfigError, unknown

KINDS = ("epsilon", "v_prediction", "flow")
FLOW_STEPS = 1000  # what a noise level of 1 is called as a timestep
# Stable Diffusion's noise schedule, for models that are trained from scratch with epsilon or v_prediction.
SD_SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}


class NoiseLevels(NamedTuple):
    """Noise levels of a batch: x = signal z + noise e. All of shape (B,)."""

    signal: Tensor
    noise: Tensor
    timesteps: Tensor  # as the U-Net is told them


def sample_sigmas(count: int, shift: float, generator: torch.Generator) -> Tensor:
    """Return noise levels (count,) in (0, 1): uniform, then shifted by s u / (1 + (s - 1) u).

    Stratified over the batch, so that each step sees all levels. The shift is that of Esser et al. 2024, eq. 23.
    """
    u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return shift * u / (1 + (shift - 1) * u)


def noised(latents: Tensor, noise: Tensor, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x_sigma, velocity target), both (B, C, h, w): x = (1 - s) z + s e, v = e - z."""
    s = sigmas.view(-1, 1, 1, 1)
    return (1 - s) * latents + s * noise, noise - latents


def min_snr_weights(levels: NoiseLevels, gamma: float, kind: str) -> Tensor:
    """Return min-SNR loss weights (B,): min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v.

    SNR is a^2 / s^2. Reference: Hang et al. 2023, Efficient Diffusion Training via Min-SNR Weighting Strategy.
    """
    snr = (levels.signal / levels.noise).square()
    return snr.clamp(max=gamma) / (snr + 1 if kind == "v_prediction" else snr)


@dataclass(frozen=True)
class Objective:
    """What the U-Net learns to predict, and how its errors are weighed.

    Attributes:
        kind: One of :data:`KINDS`.
        shift: Of noise levels towards high noise; flow only.
        min_snr_gamma: Cap of the signal-to-noise ratio in the weights (published: 5); None for equal weights.
        mask_loss_prob: Probability, drawn once a batch, that only latents inside the characters' masks count. The
            published code has 0.3, the paper none (0).
        character_weight: Weight of a latent inside any character; the background's is 1.
    """

    kind: str = "flow"
    shift: float = 2.0
    min_snr_gamma: float | None = None
    mask_loss_prob: float = 0.0
    character_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("objective", self.kind, KINDS)
        if self.min_snr_gamma is not None and (self.kind == "flow" or self.min_snr_gamma <= 0):
            raise ConfigError(
                f"min_snr_gamma is {self.min_snr_gamma} for objective {self.kind!r}: expected a number above 0 and "
                "objective epsilon or v_prediction, or null for equal weights."
            )
        if not 0 <= self.mask_loss_prob <= 1:
            raise ConfigError(f"mask_loss_prob is {self.mask_loss_prob}: expected a probability from 0 to 1.")

    def levels(self, count: int, alphas_cumprod: Tensor | None, generator: torch.Generator) -> NoiseLevels:
        """Draw the noise levels of a batch of ``count``, on the CPU.

        Args:
            count: Size of the batch.
            alphas_cumprod: Signal kept until each timestep, abar of shape (T,), from the model's scheduler; unused by
                flow.
            generator: Of the step.
        """
        if self.kind == "flow":
            sigmas = sample_sigmas(count, self.shift, generator)
            return NoiseLevels(1 - sigmas, sigmas, sigmas * FLOW_STEPS)
        assert alphas_cumprod is not None
        steps = torch.randint(len(alphas_cumprod), (count,), generator=generator)
        kept = alphas_cumprod.cpu()[steps]  # (B,)
        return NoiseLevels(kept.sqrt(), (1 - kept).sqrt(), steps)

    def path(self, latents: Tensor, noise: Tensor, levels: NoiseLevels) -> tuple[Tensor, Tensor]:
        """Return noised latents and the target of the prediction, both (B, C, h, w)."""
        a, s = (level.to(latents).view(-1, 1, 1, 1) for level in levels[:2])
        x = a * latents + s * noise
        if self.kind == "flow":
            return x, noise - latents
        return x, noise if self.kind == "epsilon" else a * noise - s * latents

    def weights(self, levels: NoiseLevels) -> Tensor | None:
        """Return the weight of each sample's error (B,), or None where all are 1."""
        return None if self.min_snr_gamma is None else min_snr_weights(levels, self.min_snr_gamma, self.kind)

    def masks_this_batch(self, generator: torch.Generator) -> bool:
        """Draw whether this batch has the masked loss; nothing is drawn if it never has."""
        return self.mask_loss_prob > 0 and bool(torch.rand((), generator=generator) < self.mask_loss_prob)


def denoising_loss(
    prediction: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    emphasis: Tensor | None = None,
    character_weight: float = 1.0,
    inside: Tensor | None = None,
) -> Tensor:
    """Return the mean squared error of the prediction, weighed.

    Args:
        prediction: (B, C, h, w).
        target: (B, C, h, w).
        weights: Of samples, (B,); None for equal weights.
        emphasis: Share of a latent that characters cover, (B, 1, h, w): it weighs ``character_weight``, and the weights
            are normalised; None for equal weights.
        character_weight: See ``emphasis``.
        inside: Union of the character masks (B, 1, h, w): prediction and target are multiplied by it before a mean over
            all latents, as published (no normalisation by area; a sample without a mask adds 0). None: no masked loss.
    """
    error = (prediction - target).square()
    if weights is not None:
        error = error * weights.to(error).view(-1, 1, 1, 1)
    if inside is not None:
        return (error * inside.square()).mean()
    if emphasis is None or character_weight == 1:
        return error.mean()
    weight = 1 + (character_weight - 1) * emphasis
    return (error * weight).sum() / (weight.sum() * error.shape[1])


def union_mask(masks: Tensor, supervised: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the union of the character masks at latent size, (B, 1, h, w), bilinear without antialiasing as published.

    Args:
        masks: (B, K, H, W).
        supervised: Which of them exist, (B, K).
        size: (h, w).
    """
    union = (masks.float() * supervised[..., None, None]).amax(1, keepdim=True)  # (B, 1, H, W)
    return F.interpolate(union, size, mode="bilinear")


def new_scheduler(objective: Objective) -> SchedulerMixin:
    """Return the scheduler that samples what a model trained from scratch with ``objective`` predicts."""
    if objective.kind == "flow":
        return FlowMatchEulerDiscreteScheduler(shift=objective.shift)
    settings: dict[str, Any] = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, **SD_SCHEDULE}
    return DDIMScheduler(prediction_type=objective.kind, **settings)


def training_alphas(scheduler: SchedulerMixin, objective: Objective) -> Tensor | None:
    """Return abar (T,) of the model's scheduler; None for flow.

    Raises:
        ConfigError: If the scheduler would sample another kind of prediction than the objective trains.
    """
    sampled = "flow" if hasattr(scheduler, "sigmas") and not hasattr(scheduler, "alphas_cumprod") else None
    sampled = sampled or str(scheduler.config.prediction_type)
    if sampled != objective.kind:
        raise ConfigError(
            f"Objective {objective.kind!r} does not fit the model's {type(scheduler).__name__}, which samples "
            f"{sampled!r}: pass objective={sampled} or a model folder with another scheduler."
        )
    return None if objective.kind == "flow" else scheduler.alphas_cumprod
