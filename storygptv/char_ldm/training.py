"""Stage ``char_ldm`` of the miniature: everything but autoencoder and vision tower from scratch, on ToonSV's latents.

Paper scale is :mod:`story_training`; loss, objectives and parts are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionModelWithProjection

from storybench.data.toonsv.dataset import ToonSV, full_cast
from storybench.data.toonsv.lexicon import vocabulary
from storygptv.char_ldm.attention import record_character_columns
from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
from storygptv.char_ldm.captions import TextMixture, choose_text
from storygptv.char_ldm.frame_pool import FramePool, PoolBatch
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.objective import Objective, new_scheduler
from storygptv.char_ldm.stage_loss import CharLDMLoss, Examples
from storygptv.char_ldm.text import CaptionTokens
from storygptv.char_ldm.trained_parts import checkpoint_gradients, train_only
from storygptv.char_ldm.validation import ValidationOptions, ValidationStrips
from storygptv.tokenizer import build_tokenizer
from storygptv.training import FitConfig, fit, is_main_process


def new_model(
    vae: str, image_encoder: str, text: dict[str, Any], unet: dict[str, Any], objective: Objective
) -> CharLDM:
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
        new_scheduler(objective),
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


class PoolReader:
    """Reads :class:`PoolBatch` for :class:`CharLDMLoss`: texts of the mixture, names that carry portraits."""

    def __init__(self, model: CharLDM, mixture: TextMixture) -> None:
        self.model, self.mixture = model, mixture
        self.names = [c.name for c in model.cast]

    def __call__(self, batch: PoolBatch, generator: torch.Generator) -> Examples:
        """Return the batch with drawn texts, on the model's device."""
        model = self.model
        chosen = [choose_text(frame, self.mixture, generator) for frame in batch.frames]
        tokens = model.tokenize([caption for caption, _ in chosen], [fused for _, fused in chosen])
        masks, supervised = character_masks(batch, tokens, self.names)
        return Examples(
            batch.latents.to(model.device),
            model.encode_tokens(tokens),
            tokens.token_idx,
            masks.to(model.device),
            supervised,
            (batch.instances > 0).to(model.device),
        )


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
    objective: str = "flow",
    min_snr_gamma: float | None = None,
    mask_loss_prob: float = 0.0,
    gradient_checkpointing: bool = False,
    validation: dict[str, Any] | None = None,
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
        shift: Shift of the noise levels towards high noise (objective flow).
        attention_weight: Weight of L_reg; 0 leaves it out.
        character_weight: Weight of a character's latents in the denoising loss; the background's is 1.
        parts: What is trained.
        init_from: Folder of a Char-LDM to go on from.
        objective: ``flow``, ``epsilon`` or ``v_prediction``.
        min_snr_gamma: See :class:`~storygptv.char_ldm.objective.Objective`.
        mask_loss_prob: Likewise.
        gradient_checkpointing: Trade time for memory.
        validation: Fields of :class:`~storygptv.char_ldm.validation.ValidationOptions`; drawn each
            ``fit_config.validate_every`` steps.
    """
    config = FitConfig(**fit_config)
    goal = Objective(objective, shift, min_snr_gamma, mask_loss_prob, character_weight)
    torch.manual_seed(config.seed)
    if init_from:
        model = CharLDM.from_pretrained(init_from, full_cast())
    else:
        model = new_model(vae, image_encoder, text, unet, goal)
    train_only(model, parts)
    if gradient_checkpointing:
        checkpoint_gradients(model)
    model.unet.to(memory_format=torch.channels_last)
    columns = record_character_columns(model.unet, supervised_blocks) if attention_weight else None
    loss_fn = CharLDMLoss(model, PoolReader(model, TextMixture(**(mixture or {}))), goal, columns, attention_weight)
    frames = FramePool(pool, 21 + config.seed, lambda pixels: model.encode_latents(pixels.to(model.device)))
    strips = None
    if config.validate_every:
        options = ValidationOptions(**(validation or {}))
        strips = ValidationStrips(model, ToonSV(options.subset), options)
    result = fit(
        model,
        loss_fn,
        lambda step, share, shares: frames.batch(step, batch_size, config.seed, share, shares),
        config,
        on_validate=strips,
    )
    model.eval()
    if is_main_process():
        model.save_pretrained(Path(save_to))
    return result
