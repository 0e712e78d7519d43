"""From conditioning embeddings to pictures, with classifier-free guidance."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.seeding import frame_seed
from storygptv.char_ldm.model import CharLDM


@dataclass(frozen=True)
class SamplerConfig:
    """Sampler settings; all of them decide the frames.

    Guidance acts only at noise levels of ``guidance_interval``: outside it changes little and costs a second pass
    (Kynkaanniemi et al. 2024).
    """

    num_inference_steps: int = 6
    guidance_scale: float = 2.0
    guidance_interval: tuple[float, float] = (0.6, 1.0)


def frame_noise(seed: int, frames: Sequence[tuple[str, int]], shape: tuple[int, ...]) -> Tensor:
    """Return initial noise (B, *shape), each row from (seed, story id, frame) alone."""
    rows = []
    for story, frame in frames:
        generator = torch.Generator().manual_seed(frame_seed(seed, story, frame))
        rows.append(torch.randn(shape, generator=generator))
    return torch.stack(rows)


@torch.inference_mode()
def sample_latents(
    model: CharLDM, condition: Tensor, unconditional: Tensor, noise: Tensor, config: SamplerConfig
) -> Tensor:
    """Return standardised latents (B, C, h, w).

    Args:
        model: Char-LDM.
        condition: Embeddings (B, L, D).
        unconditional: Embedding of the empty caption, (1, L, D).
        noise: (B, C, h, w) standard normal.
        config: Sampler settings.
    """
    scheduler = copy.deepcopy(model.scheduler)
    steps = config.num_inference_steps
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps), device=noise.device)
    x = noise
    both = torch.cat([condition, unconditional.expand_as(condition)])  # (2B, L, D)
    low, high = config.guidance_interval
    for i, t in enumerate(scheduler.timesteps):
        guided = config.guidance_scale != 1 and low <= float(scheduler.sigmas[i]) <= high
        if guided:
            v, v_un = model.unet(torch.cat([x, x]), t, both).sample.chunk(2)
            v = v_un + config.guidance_scale * (v - v_un)
        else:
            v = model.unet(x, t, condition).sample
        x = scheduler.step(v, t, x, return_dict=False)[0]
    return x


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Return pictures of (B, 3, H, W) in [-1, 1]."""
    arrays = pixels.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(a) for a in arrays]


@torch.inference_mode()
def draw(
    model: CharLDM, condition: Tensor, frames: Sequence[tuple[str, int]], seed: int, config: SamplerConfig
) -> Tensor:
    """Return pixels (B, 3, H, W) in [-1, 1] for embeddings (B, L, D) of ``frames``, pairs of (story id, frame)."""
    channels, side = model.unet.config.in_channels, model.unet.config.sample_size
    noise = frame_noise(seed, frames, (channels, side, side)).to(condition)
    latents = sample_latents(model, condition, model.condition([""]), noise, config)
    return model.decode_latents(latents)
