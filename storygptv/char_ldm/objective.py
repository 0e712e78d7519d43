"""The denoising objective of flow matching, with time shifted to high noise, where composition is decided."""

from __future__ import annotations

import torch
from torch import Tensor


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
