"""Char-LDM: a latent diffusion model whose name tokens carry the features of the characters' pictures.

Stage 1 of StoryGPT-V (storygptv.md section 2). The parts are those of Stable Diffusion; what is new is the fusion of
picture features into name tokens (:mod:`fusion`) and the mask-supervised attention (:mod:`attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection, PreTrainedTokenizerBase

from storybench.errors import ConfigError
from storybench.story import Character
from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.text import CaptionTokens, tokenize_captions


class CharLDM(nn.Module):
    """The parts of stage 1 and what they do together. B captions, L tokens, K names a caption, D text width."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: CLIPTextModel,
        image_encoder: CLIPVisionModelWithProjection,
        fusion: CharacterFusion,
        unet: UNet2DConditionModel,
        vae: PatchAutoencoderKL,
        scheduler: FlowMatchEulerDiscreteScheduler,
        cast: Sequence[Character] = (),
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.fusion = fusion
        self.unet = unet
        self.vae = vae
        self.scheduler = scheduler
        mean, std = vae.config.latents_mean, vae.config.latents_std
        channels = vae.config.latent_channels
        self.register_buffer("latents_mean", torch.tensor(mean or [0.0] * channels).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("latents_std", torch.tensor(std or [1.0] * channels).view(1, -1, 1, 1), persistent=False)
        self.cast: tuple[Character, ...] = ()
        self.set_cast(cast)

    @property
    def device(self) -> torch.device:
        """Where the parts live."""
        return self.unet.device

    @torch.no_grad()
    def set_cast(self, cast: Sequence[Character]) -> None:
        """Encode the portraits of ``cast``: the pictures that its names will carry."""
        self.cast = tuple(cast)
        if without := [c.name for c in cast if c.portrait is None]:
            raise ConfigError(
                f"Char-LDM needs a portrait of every member of the cast and has none of {', '.join(without)}: pass "
                "dataset.portraits=DIR, a folder with <name>.png for each."
            )
        portraits = [c.portrait().convert("RGB") for c in cast if c.portrait is not None]
        if not portraits:
            self.character_embeds = torch.zeros(0, self.fusion.config.embed_dim)
            return
        size = self.image_encoder.config.image_size
        pixels = [
            torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8).view(p.height, p.width, 3) for p in portraits
        ]
        batch = torch.stack(
            [
                F.interpolate(
                    p.permute(2, 0, 1)[None].float() / 127.5 - 1, (size, size), mode="bilinear", antialias=True
                )[0]
                for p in pixels
            ]
        ).to(self.device)
        self.character_embeds = self.image_encoder(batch).image_embeds  # (N, D)

    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Return pooled vision features (B, V) of frames (B, 3, H, W) in [-1, 1]."""
        size = self.image_encoder.config.image_size
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        return self.image_encoder.vision_model(pixels).pooler_output

    def tokenize(self, captions: Sequence[str], fuse: Sequence[bool] | None = None) -> CaptionTokens:
        """Return ids and places of names of ``captions``, on the model's device."""
        tokens = tokenize_captions(self.tokenizer, captions, self.cast, fuse)
        return CaptionTokens(
            *(t.to(self.device) for t in (tokens.ids, tokens.characters, tokens.token_idx, tokens.valid))
        )

    def encode_tokens(self, tokens: CaptionTokens) -> Tensor:
        """Return the fused embedding c (B, L, D) of tokenised captions (paper eq. 2)."""
        text = self.text_encoder(tokens.ids).last_hidden_state  # (B, L, D)
        if not tokens.valid.any():
            return text
        pictures = self.character_embeds.to(text)[tokens.characters]  # (B, K, D)
        return self.fusion(text, pictures, tokens.token_mask(), tokens.valid.sum(1))

    def condition(self, captions: Sequence[str]) -> Tensor:
        """Return the fused embedding c (B, L, D) of captions."""
        return self.encode_tokens(self.tokenize(captions))

    def encode_latents(self, pixels: Tensor) -> Tensor:
        """Return standardised latents (B, C, h, w) of pictures (B, 3, H, W) in [-1, 1]: the posterior's mean."""
        return (self.vae.encode(pixels).latent_dist.mean - self.latents_mean) / self.latents_std

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W) in [-1, 1] of standardised latents."""
        return self.vae.decode(latents * self.latents_std + self.latents_mean).sample.clamp(-1, 1)

    @classmethod
    def from_pretrained(cls, folder: str | Path, cast: Sequence[Character] = ()) -> CharLDM:
        """Load the parts from the sub-folders of a saved pipeline, in fp32."""
        root = Path(folder)
        return cls(
            AutoTokenizer.from_pretrained(root / "tokenizer"),
            CLIPTextModel.from_pretrained(root / "text_encoder", dtype=torch.float32),
            CLIPVisionModelWithProjection.from_pretrained(root / "image_encoder", dtype=torch.float32),
            CharacterFusion.from_pretrained(root / "fusion", torch_dtype=torch.float32),
            UNet2DConditionModel.from_pretrained(root / "unet", torch_dtype=torch.float32),
            PatchAutoencoderKL.from_pretrained(root / "vae", torch_dtype=torch.float32),
            FlowMatchEulerDiscreteScheduler.from_pretrained(root / "scheduler"),
            cast,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the parts as sub-folders, fp32."""
        root = Path(folder)
        for part in ("tokenizer", "text_encoder", "image_encoder", "fusion", "unet", "vae", "scheduler"):
            getattr(self, part).save_pretrained(root / part)
