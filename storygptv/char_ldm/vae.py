"""Stage ``vae``: the KL autoencoder of the miniature, trained from scratch on fresh frames.

Paper scale takes Stable Diffusion's and never trains it. Characters are small and are what a reader looks at, so their
pixels weigh more in the reconstruction loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
from storygptv.char_ldm.toonsv_data import FrameBatch, fresh_batch
from storygptv.training import FitConfig, fit, is_main_process

DECODER_PARTS = ("decoder", "post_quant_conv")


def reconstruction_loss(decoded: Tensor, batch: FrameBatch, character_weight: float, edge_weight: float) -> Tensor:
    """Return the weighted L1 error plus the L1 error of the picture's gradients (sharp outlines).

    Args:
        decoded: (B, 3, H, W) in [-1, 1].
        batch: The truth.
        character_weight: Weight of a character's pixel; a background pixel weighs 1.
        edge_weight: Weight of the gradient term.
    """
    weight = 1 + (character_weight - 1) * (batch.instances > 0).float()[:, None]  # (B, 1, H, W)
    error = decoded - batch.pixels
    plain = (weight * error.abs()).mean() + (weight * error.square()).mean()
    dx, dy = error.diff(dim=-1).abs(), error.diff(dim=-2).abs()
    return plain + edge_weight * ((weight[..., 1:] * dx).mean() + (weight[..., 1:, :] * dy).mean())


@torch.no_grad()
def latent_statistics(vae: PatchAutoencoderKL, stream: int, frames: int) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each latent channel over fresh frames."""
    batches = (fresh_batch(stream, i, 20).to(vae.device) for i in range(frames // 20))
    latents = torch.cat([vae.encode(batch.pixels).latent_dist.mean for batch in batches])  # (N, C, h, w)
    return latents.mean((0, 2, 3)).tolist(), latents.std((0, 2, 3)).tolist()


@torch.no_grad()
def psnr(vae: PatchAutoencoderKL, stream: int = 77, frames: int = 100) -> dict[str, float]:
    """Return the peak signal-to-noise ratio in dB over whole frames and over characters' pixels."""
    every, people = [], []
    for i in range(frames // 20):
        batch = fresh_batch(stream, i, 20).to(vae.device)
        decoded = vae.decode(vae.encode(batch.pixels).latent_dist.mean).sample.clamp(-1, 1)
        error = ((decoded - batch.pixels) / 2).square().mean(1)  # (B, H, W)
        every.append(error.mean())
        people.append(error[batch.instances > 0].mean())
    return {
        "psnr": float(-10 * torch.stack(every).mean().log10()),
        "psnr_characters": float(-10 * torch.stack(people).mean().log10()),
    }


def train(
    fit_config: dict[str, Any],
    save_to: str,
    vae: dict[str, Any],
    batch_size: int = 16,
    kl_weight: float = 1e-4,
    character_weight: float = 3.0,
    edge_weight: float = 0.5,
    init_from: str | None = None,
    decoder_only: bool = False,
    latent_noise: float = 0.0,
) -> dict[str, Any]:
    """Train the autoencoder and save it with the statistics of its latents.

    Args:
        fit_config: Fields of :class:`~storygptv.training.FitConfig`.
        save_to: Folder for ``config.json`` and the weights.
        vae: Arguments of :class:`~storygptv.char_ldm.autoencoder.PatchAutoencoderKL`.
        batch_size: Frames a step.
        kl_weight: Weight of the mean KL divergence of a latent number.
        character_weight: See :func:`reconstruction_loss`.
        edge_weight: Likewise.
        init_from: Folder of an autoencoder to go on from.
        decoder_only: Leave the encoder, and so every latent, as it is.
        latent_noise: Largest noise on the latents, in their standard deviations: a decoder that has met it forgives the
            small errors of a denoiser.
    """
    config = FitConfig(**fit_config)
    torch.manual_seed(config.seed)
    model = PatchAutoencoderKL.from_pretrained(init_from) if init_from else PatchAutoencoderKL(**vae)
    model = model.to(memory_format=torch.channels_last)
    if decoder_only:
        model.requires_grad_(False)
        for part in DECODER_PARTS:
            getattr(model, part).requires_grad_(True)

    def loss_fn(batch: FrameBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = batch.to(model.device)
        x = batch.pixels.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(not decoder_only):
            posterior = model.encode(x).latent_dist
        z = posterior.sample(generator=generator)
        if latent_noise:
            amount = latent_noise * torch.rand(len(z), 1, 1, 1, generator=generator)
            noise = amount * torch.randn(z.shape, generator=generator)
            z = z + z.detach().std((0, 2, 3), keepdim=True) * noise.to(z)
        decoded = model.decode(z).sample
        loss = reconstruction_loss(decoded, batch, character_weight, edge_weight)
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        mse = float(F.mse_loss(decoded.detach(), batch.pixels)) / 4  # of pixels in [0, 1]
        return loss + (0.0 if decoder_only else kl_weight) * kl, {"mse": mse, "kl": float(kl.detach())}

    result = fit(model, loss_fn, lambda step: fresh_batch(11 + config.seed, step, batch_size), config)
    model.eval()
    if not decoder_only:
        mean, std = latent_statistics(model, stream=12, frames=400)
        model.register_to_config(latents_mean=mean, latents_std=std)
    result |= psnr(model)
    if is_main_process():
        model.save_pretrained(Path(save_to))
        print(result)
    return result
