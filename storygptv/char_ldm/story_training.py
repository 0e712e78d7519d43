"""Stage ``char_ldm`` at paper scale: Stable Diffusion v1-5 fine-tuned on the frames of a data set's stories.

The published settings are in storygptv.md section 2 and in ``configs/train/storygptv/char_ldm_sd15.yaml``; where paper
and published code part, an option says which is followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from storybench.data.loading import open_dataset, text_mode
from storybench.errors import AssetError, ConfigError
from storybench.story import Character
from storygptv.char_ldm.attention import record_character_columns
from storygptv.char_ldm.conditioning import crop_features, fused_context, portrait_features, tokenized
from storygptv.char_ldm.crops import portrait_picture
from storygptv.char_ldm.frame_items import FrameOptions
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.model import CharLDM, ImageStatistics
from storygptv.char_ldm.objective import Objective
from storygptv.char_ldm.stage_loss import CharLDMLoss, Examples
from storygptv.char_ldm.story_frames import StoryBatch, StoryBatches, StoryFrames
from storygptv.char_ldm.text import CaptionTokens
from storygptv.char_ldm.trained_parts import checkpoint_gradients, train_only
from storygptv.char_ldm.validation import ValidationOptions, ValidationStrips
from storygptv.training import FitConfig, fit, is_main_process


def stable_diffusion(folder: str, clip: str, image_statistics: ImageStatistics = "clip") -> CharLDM:
    """Return a Char-LDM of Stable Diffusion, CLIP's vision tower, and a fuse module at random.

    Args:
        folder: Stable Diffusion v1-5 in diffusers' layout, or a Char-LDM to go on from.
        clip: CLIP ViT-L/14 in transformers' layout; unused where ``folder`` has an image encoder.
        image_statistics: See :class:`CharLDM`.

    Raises:
        AssetError: If a folder is missing or its towers do not fit together.
    """
    root = Path(folder)
    if (root / "fusion").is_dir() and (root / "image_encoder").is_dir():
        return CharLDM.from_pretrained(root)
    for what, path, file in (("Stable Diffusion", root, "unet/config.json"), ("CLIP", Path(clip), "config.json")):
        if not (path / file).is_file():
            raise AssetError(f"No {what} model at '{path}': expected a local folder with {file} in it.")
    encoder = CLIPVisionModelWithProjection.from_pretrained(clip, dtype=torch.float32)
    model = CharLDM.from_pretrained(root, (), encoder, image_statistics=image_statistics)
    width = model.text_encoder.config.hidden_size
    if encoder.config.projection_dim != width:
        raise AssetError(
            f"The CLIP model at '{clip}' projects to {encoder.config.projection_dim}, and the text encoder of "
            f"'{folder}' has width {width}: take the tower that the text encoder was trained with (ViT-L/14)."
        )
    model.fusion = CharacterFusion(width)
    return model


class StoryReader:
    """Reads :class:`StoryBatch` for :class:`CharLDMLoss`: names carry crops of their frame, or portraits."""

    def __init__(self, model: CharLDM, cast: Sequence[Character], character_images: str) -> None:
        """Prepare for batches of this cast.

        Raises:
            ConfigError: If portraits are asked for and somebody has none.
        """
        self.model, self.portraits = model, None
        if character_images == "portrait":
            model.set_cast(cast)
            if any(p.requires_grad for p in model.image_encoder.parameters()):
                self.portraits = torch.stack([portrait_picture(c.portrait()) for c in cast if c.portrait is not None])

    def __call__(self, batch: StoryBatch, generator: torch.Generator) -> Examples:
        """Return the batch on the model's device; latents are drawn from the VAE's posterior."""
        model, device = self.model, self.model.device
        found = tokenized(model.tokenizer, batch.captions, batch.spans)
        masks, supervised = found.pick(batch.masks), found.pick(batch.supervised)
        crops = None if batch.crops is None else found.pick(batch.crops).to(device)
        tokens = CaptionTokens(*(t.to(device) for t in vars(found.tokens).values()))
        if crops is not None:
            pictures = crop_features(model, crops, tokens.valid)
        else:
            portraits = None if self.portraits is None else self.portraits.to(device)
            pictures = portrait_features(model, portraits, tokens.characters)
        return Examples(
            sampled_latents(model, batch.pixels.to(device), generator),
            fused_context(model, tokens, pictures),
            tokens.token_idx,
            masks.to(device),
            supervised.to(device),
        )


@torch.no_grad()
def sampled_latents(model: CharLDM, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Return standardised latents (B, C, h, w) of pictures (B, 3, H, W) in [-1, 1], drawn from the posterior."""
    latents = model.vae.encode(pixels).latent_dist.sample(generator).float()
    return (latents - model.latents_mean) / model.latents_std


def train(
    fit_config: dict[str, Any],
    save_to: str,
    stable_diffusion_folder: str,
    clip_folder: str,
    dataset: Mapping[str, Any],
    subset: str = "train",
    text: str = "original",
    batch_size: int = 32,
    size_px: int = 512,
    objective: str = "epsilon",
    min_snr_gamma: float | None = None,
    mask_loss_prob: float = 0.3,
    cond_dropout: str = "paper",
    missing_mask: str = "skip",
    character_images: str = "crop",
    max_characters: int = 4,
    named_only: bool = True,
    augment: bool = True,
    flip: float = 0.5,
    supervised_blocks: Sequence[str] = ("down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.1", "up_blocks.2"),
    attention_weight: float = 1e-3,
    parts: Sequence[str] = ("unet", "fusion", "image_encoder"),
    image_encoder_layers: int | None = 2,
    gradient_checkpointing: bool = False,
    workers: int = 4,
    validation: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train Char-LDM and save its parts.

    Args:
        fit_config: Fields of :class:`~storygptv.training.FitConfig`.
        save_to: Folder for the parts.
        stable_diffusion_folder: Stable Diffusion v1-5 in diffusers' layout, or a Char-LDM to go on from.
        clip_folder: CLIP ViT-L/14 in transformers' layout.
        dataset: Configuration of the data set (``configs/dataset``).
        subset: Whose frames are learnt from.
        text: Text mode of the captions.
        batch_size: Frames a step, over all processes.
        size_px: See :class:`~storygptv.char_ldm.frame_items.FrameOptions`, as for ``cond_dropout``, ``missing_mask``,
            ``character_images``, ``max_characters``, ``named_only``, ``augment`` and ``flip``.
        objective: ``epsilon`` or ``v_prediction``, as the folder's scheduler samples; see
            :class:`~storygptv.char_ldm.objective.Objective`, as for ``min_snr_gamma`` and ``mask_loss_prob``.
        min_snr_gamma: See there.
        mask_loss_prob: See there; 0 is the paper.
        cond_dropout: ``paper``, ``published``, ``text_only`` or ``none``.
        missing_mask: ``skip``, ``error`` or ``zeros``.
        character_images: ``crop`` or ``portrait``.
        max_characters: Names of a caption that carry pictures at most.
        named_only: Learn only from frames whose caption names somebody who is shown.
        augment: Whether crops are varied.
        flip: Probability of a mirrored frame.
        supervised_blocks: U-Net blocks whose cross-attention L_reg supervises.
        attention_weight: Weight of L_reg; 0 leaves it out (Table 3, w/o L_reg).
        parts: What is trained.
        image_encoder_layers: How many of the image encoder's last layers, if it is among the parts; None: all of it.
        gradient_checkpointing: Trade time for memory.
        workers: Threads that make frames.
        validation: Fields of :class:`~storygptv.char_ldm.validation.ValidationOptions`; drawn each
            ``fit_config.validate_every`` steps.

    Raises:
        AssetError: If a model folder is missing.
        ConfigError: If a value is unknown or out of range.
        DataError: If the data set cannot be read or has no pictures.
    """
    config = FitConfig(**fit_config)
    goal = Objective(objective, min_snr_gamma=min_snr_gamma, mask_loss_prob=mask_loss_prob)
    look = FrameOptions(
        size_px, character_images, missing_mask, cond_dropout, max_characters, named_only, augment, flip
    )
    options = ValidationOptions(**(validation or {}))
    if workers < 0 or batch_size < 1:
        raise ConfigError(f"workers={workers}, batch_size={batch_size}: expected 0 or more and 1 or more.")
    torch.manual_seed(config.seed)
    frames = StoryFrames(open_dataset(dataset, subset), text_mode(dataset, text), look, config.seed)
    model = stable_diffusion(stable_diffusion_folder, clip_folder)
    counts = train_only(model, parts, image_encoder_layers)
    if gradient_checkpointing:
        checkpoint_gradients(model)
    model.unet.to(memory_format=torch.channels_last)
    columns = record_character_columns(model.unet, supervised_blocks) if attention_weight else None
    loss_fn = CharLDMLoss(model, StoryReader(model, frames.cast, character_images), goal, columns, attention_weight)
    strips = None
    if config.validate_every:
        strips = ValidationStrips(model, open_dataset(dataset, options.subset), options)
    if is_main_process():
        learning = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        print(f"{len(frames):,} frames of {dataset['name']} {subset}; parameters that learn: {learning}", flush=True)
    result = fit(model, loss_fn, StoryBatches(frames, batch_size, workers), config, on_validate=strips)
    model.eval()
    if is_main_process():
        model.save_pretrained(Path(save_to))
    return {**result, "trained": counts}
