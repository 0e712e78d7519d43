"""Stage ``char_ldm``: denoiser, text tower and fusion, with the mask-supervised attention loss.

The published settings are in storygptv.md section 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionModelWithProjection

from storybench.data.toonsv.dataset import full_cast
from storybench.data.toonsv.lexicon import vocabulary
from storygptv.char_ldm.attention import attention_loss, record_character_columns
from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
from storygptv.char_ldm.captions import TextMixture, choose_text
from storygptv.char_ldm.frame_pool import FramePool, PoolBatch
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.objective import noised, sample_sigmas
from storygptv.char_ldm.text import CaptionTokens
from storygptv.tokenizer import build_tokenizer
from storygptv.training import FitConfig, fit


def new_model(vae: str, image_encoder: str, text: dict[str, Any], unet: dict[str, Any], shift: float) -> CharLDM:
    """Return a Char-LDM with a trained autoencoder and vision tower, and everything else at random."""
    tokenizer = build_tokenizer(vocabulary(), text["max_position_embeddings"])
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **text,
    )
    autoencoder = PatchAutoencoderKL.from_pretrained(vae)
    channels = autoencoder.config.latent_channels
    width = text["hidden_size"]
    return CharLDM(
        tokenizer,
        CLIPTextModel(text_config),
        CLIPVisionModelWithProjection.from_pretrained(image_encoder),
        CharacterFusion(width),
        UNet2DConditionModel(in_channels=channels, out_channels=channels, cross_attention_dim=width, **unet),
        autoencoder,
        FlowMatchEulerDiscreteScheduler(shift=shift),
        full_cast(),
    )


def character_masks(batch: PoolBatch, tokens: CaptionTokens, cast: list[str]) -> tuple[Tensor, Tensor]:
    """Return masks (B, K, H, W) of the characters named by each token, and which are valid (B, K).

    A name that the frame does not show has no mask and is left out of the loss.
    """
    masks = torch.zeros(*tokens.token_idx.shape, *batch.instances.shape[1:])
    valid = torch.zeros_like(tokens.valid)
    for i, frame in enumerate(batch.frames):
        for j in range(tokens.token_idx.shape[1]):
            name = cast[int(tokens.characters[i, j])]
            if tokens.valid[i, j] and name in frame.characters:
                masks[i, j] = (batch.instances[i] == frame.characters.index(name) + 1).float()
                valid[i, j] = bool(masks[i, j].any())
    return masks, valid


def train(
    fit_config: dict[str, Any],
    save_to: str,
    vae: str,
    image_encoder: str,
    text: dict[str, Any],
    unet: dict[str, Any],
    supervised_blocks: list[str],
    mixture: dict[str, float] | None = None,
    batch_size: int = 32,
    pool: int = 40_000,
    shift: float = 2.0,
    attention_weight: float = 0.1,
    character_weight: float = 2.0,
    parts: tuple[str, ...] = ("unet", "text_encoder", "fusion"),
    init_from: str | None = None,
) -> dict[str, Any]:
    """Train Char-LDM and save its parts.

    Args:
        fit_config: Fields of :class:`~storygptv.training.FitConfig`.
        save_to: Folder for the parts.
        vae: Folder of the autoencoder.
        image_encoder: Folder of the vision tower.
        text: Arguments of :class:`transformers.CLIPTextConfig`.
        unet: Arguments of :class:`diffusers.UNet2DConditionModel`.
        supervised_blocks: U-Net blocks whose cross-attention L_reg supervises.
        mixture: Fields of :class:`~storygptv.char_ldm.captions.TextMixture`.
        batch_size: Frames a step.
        pool: Frames whose latents are kept; they come again after ``pool / batch_size`` steps.
        shift: Shift of the noise levels towards high noise.
        attention_weight: Weight of L_reg.
        character_weight: Weight of a character's latents in the denoising loss; the background's is 1.
        parts: What is trained.
        init_from: Folder of a Char-LDM to go on from.
    """
    config = FitConfig(**fit_config)
    torch.manual_seed(config.seed)
    if init_from:
        model = CharLDM.from_pretrained(init_from, full_cast())
    else:
        model = new_model(vae, image_encoder, text, unet, shift)
    model.requires_grad_(False)
    for part in parts:
        getattr(model, part).requires_grad_(True).train()
    model.unet.to(memory_format=torch.channels_last)
    columns = record_character_columns(model.unet, supervised_blocks)
    texts = TextMixture(**(mixture or {}))
    names = [c.name for c in model.cast]
    frames = FramePool(pool, 21 + config.seed, model.encode_latents)

    def loss_fn(batch: PoolBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        chosen = [choose_text(frame, texts, generator) for frame in batch.frames]
        tokens = model.tokenize([caption for caption, _ in chosen], [fused for _, fused in chosen])
        context = model.encode_tokens(tokens)  # (B, L, D)
        z = batch.latents
        noise = torch.randn(z.shape, generator=generator)
        sigmas = sample_sigmas(len(z), shift, generator)
        x, target = noised(z, noise, sigmas)
        columns.token_idx = tokens.token_idx
        columns.maps.clear()
        velocity = model.unet(x.contiguous(memory_format=torch.channels_last), sigmas * 1000, context).sample
        inside = F.interpolate((batch.instances > 0).float()[:, None], z.shape[-2:], mode="area")  # (B, 1, h, w)
        weight = 1 + (character_weight - 1) * inside
        error = (velocity - target).square()
        denoise = (error * weight).sum() / (weight.sum() * z.shape[1])
        masks, valid = character_masks(batch, tokens, names)
        regulariser = attention_loss(columns.maps, masks, valid)
        values = {"mse": float(error.detach().mean()), "reg": float(regulariser.detach())}
        return denoise + attention_weight * regulariser, values

    result = fit(model, loss_fn, lambda step: frames.batch(step, batch_size, config.seed), config)
    model.eval()
    model.save_pretrained(Path(save_to))
    return result
