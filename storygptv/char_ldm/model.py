"""Char-LDM: a latent diffusion model whose name tokens carry the features of the characters' pictures.

Stage 1 of StoryGPT-V (storygptv.md section 2). The parts are those of Stable Diffusion; what is new is the fusion of
picture features into name tokens (:mod:`fusion`) and the mask-supervised attention (:mod:`attention`). Without fusion
and image encoder it is the plain latent diffusion model of the paper's Tables 1 and 7.

B captions, L tokens, K names a caption, N members of the cast, D text width, V width of pooled picture features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import diffusers
import torch
from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection, PreTrainedTokenizerBase

from storybench.errors import AssetError, ConfigError, unknown
from storybench.story import Character
from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.text import CaptionTokens, tokenize_captions
from storygptv.offloading import onload
from storygptv.weights import INDEX

ImageStatistics = Literal["symmetric", "clip"]
# Mean and standard deviation that an image encoder expects of pixels in [0, 1].
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # pixels in [-1, 1], as the miniature was trained
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),  # openai/CLIP
}
PARTS = ("tokenizer", "text_encoder", "image_encoder", "fusion", "unet", "vae", "scheduler")


class CharLDM(nn.Module):
    """The parts of stage 1 and what they do together."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: CLIPTextModel,
        image_encoder: CLIPVisionModelWithProjection | None,
        fusion: CharacterFusion | None,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        scheduler: SchedulerMixin,
        cast: Sequence[Character] = (),
        image_statistics: ImageStatistics = "symmetric",
        frame_encoder: CLIPVisionModelWithProjection | None = None,
    ) -> None:
        """Compose the parts.

        Args:
            tokenizer: Pads to ``model_max_length`` = L.
            text_encoder: CLIP's text tower; its last hidden state, after the final layer norm, is read.
            image_encoder: CLIP's vision tower; None where no picture is read.
            fusion: None leaves every caption's embedding as it is.
            unet: The denoiser.
            vae: A plain one, scaled by ``scaling_factor``, or one with ``latents_mean`` and ``latents_std``.
            scheduler: Any of diffusers'.
            cast: Whose portraits the names carry.
            image_statistics: What the image encoder's pixels are normalised with.
            frame_encoder: Vision tower that the LLM sees frames through, where it is not ``image_encoder``: published
                stage 2 keeps the original CLIP while stage 1 trains its last two layers.

        Raises:
            ConfigError: If ``image_statistics`` is unknown, or a member of the cast has no portrait.
        """
        super().__init__()
        if image_statistics not in STATISTICS:
            raise unknown("image_statistics", str(image_statistics), list(STATISTICS))
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.frame_encoder = frame_encoder
        self.fusion = fusion
        self.unet = unet
        self.vae = vae
        self.scheduler = scheduler
        self.image_statistics = image_statistics
        mean, std = latent_statistics(vae)
        self.register_buffer("latents_mean", mean, persistent=False)
        self.register_buffer("latents_std", std, persistent=False)
        self.cast: tuple[Character, ...] = ()
        self.set_cast(cast)

    @property
    def device(self) -> torch.device:
        """Where the parts compute; where they are offloaded, the device that they are brought to."""
        hook = getattr(self.unet, "_hf_hook", None)
        place = getattr(hook, "execution_device", None)
        return self.unet.device if place is None else torch.device(place)

    @torch.no_grad()
    def set_cast(self, cast: Sequence[Character]) -> None:
        """Encode the portraits of ``cast``: the pictures that its names will carry.

        Raises:
            ConfigError: If a member has no portrait and names are to carry pictures.
        """
        self.cast = tuple(cast)
        self.character_embeds = torch.zeros(0, self.unet.config.cross_attention_dim)
        if self.fusion is None or self.image_encoder is None or not cast:
            return
        if without := [c.name for c in cast if c.portrait is None]:
            raise ConfigError(
                f"Char-LDM needs a portrait of every member of the cast and has none of {', '.join(without)}: pass "
                "dataset.portraits=DIR, a folder with <name>.png for each."
            )
        portraits = [c.portrait().convert("RGB") for c in cast if c.portrait is not None]
        pixels = [
            torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8).view(p.height, p.width, 3) for p in portraits
        ]
        size = self.image_encoder.config.image_size
        squares = [_square(p.permute(2, 0, 1)[None].float() / 127.5 - 1) for p in pixels]
        batch = torch.cat([_resized(p, size) for p in squares])  # (N, 3, H, W)
        batch = self._normalised(batch, self.image_encoder.dtype)
        self.character_embeds = self.image_encoder(batch).image_embeds  # (N, D)

    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Return pooled vision features (B, V) of frames (B, 3, H, W) in [-1, 1]: what the LLM sees of them."""
        encoder = self.frame_encoder if self.frame_encoder is not None else self.image_encoder
        if encoder is None:
            raise ConfigError("This Char-LDM has no image encoder to see frames with: give it one (image_encoder).")
        size = encoder.config.image_size
        if pixels.shape[-2:] != (size, size):
            pixels = _resized(pixels.float(), size)  # in half precision the CPU has no kernel for it
        onload(encoder)
        return encoder.vision_model(self._normalised(pixels, encoder.dtype)).pooler_output

    def _normalised(self, pixels: Tensor, dtype: torch.dtype) -> Tensor:
        """Return pixels (B, 3, H, W) in [-1, 1] as the vision towers expect them, on their device."""
        pixels = pixels.to(self.device, dtype)
        if self.image_statistics == "symmetric":
            return pixels
        mean, std = (pixels.new_tensor(v).view(1, -1, 1, 1) for v in STATISTICS[self.image_statistics])
        return (pixels * 0.5 + 0.5 - mean) / std

    def tokenize(self, captions: Sequence[str], fuse: Sequence[bool] | None = None) -> CaptionTokens:
        """Return ids and places of names of ``captions``, on the model's device."""
        tokens = tokenize_captions(self.tokenizer, captions, self.cast, fuse)
        return CaptionTokens(
            *(t.to(self.device) for t in (tokens.ids, tokens.characters, tokens.token_idx, tokens.valid))
        )

    def encode_tokens(self, tokens: CaptionTokens) -> Tensor:
        """Return the fused embedding c (B, L, D) of tokenised captions (StoryGPT-V Eq. 1)."""
        text = self.text_encoder(tokens.ids).last_hidden_state  # (B, L, D)
        if self.fusion is None or self.image_encoder is None or not tokens.valid.any():
            return text
        pictures = self.character_embeds.to(text)[tokens.characters]  # (B, K, D)
        return self.fusion(text, pictures, tokens.token_mask(), tokens.valid.sum(1))

    def condition(self, captions: Sequence[str], fuse: Sequence[bool] | None = None) -> Tensor:
        """Return the fused embedding c (B, L, D) of captions; the plain text embedding where ``fuse`` is False."""
        return self.encode_tokens(self.tokenize(captions, fuse))

    def encode_latents(self, pixels: Tensor) -> Tensor:
        """Return standardised latents (B, C, h, w) of pictures (B, 3, H, W) in [-1, 1]: the posterior's mean."""
        latents = self.vae.encode(pixels).latent_dist.mean
        return (latents - self.latents_mean.to(latents)) / self.latents_std.to(latents)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W) in [-1, 1] of standardised latents."""
        latents = latents.to(self.vae.dtype)
        latents = latents * self.latents_std.to(latents) + self.latents_mean.to(latents)  # (B, C, h, w)
        return self.vae.decode(latents).sample.clamp(-1, 1)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        cast: Sequence[Character] = (),
        image_encoder: CLIPVisionModelWithProjection | None = None,
        fusion: CharacterFusion | None = None,
        image_statistics: ImageStatistics | None = None,
    ) -> CharLDM:
        """Load the parts from the sub-folders of a saved pipeline, ours or a Stable Diffusion one, in fp32.

        Args:
            folder: Where the sub-folders are.
            cast: Whose portraits the names carry.
            image_encoder: In place of the folder's; needed where it has none and pictures are to be read.
            fusion: In place of the folder's; needed where it has none and names are to carry pictures.
            image_statistics: By default what the folder's index says, else ``symmetric``.

        Raises:
            AssetError: If a sub-folder that every latent diffusion model has is missing.
        """
        root = Path(folder)
        needed = [part for part in PARTS if part not in ("image_encoder", "fusion")]
        if missing := [part for part in needed if not (root / part).is_dir()]:
            raise AssetError(f"{root} lacks {', '.join(missing)}/: expected the folder of a saved pipeline.")
        if image_encoder is None and (root / "image_encoder").is_dir():
            image_encoder = CLIPVisionModelWithProjection.from_pretrained(root / "image_encoder", dtype=torch.float32)
        if fusion is None and (root / "fusion").is_dir():
            fusion = CharacterFusion.from_pretrained(root / "fusion", torch_dtype=torch.float32)
        if image_statistics is None:
            index = json.loads((root / INDEX).read_text()) if (root / INDEX).is_file() else {}
            image_statistics = index.get("image_statistics", "symmetric")
        frame_encoder = None
        if (root / "frame_encoder").is_dir():
            frame_encoder = CLIPVisionModelWithProjection.from_pretrained(root / "frame_encoder", dtype=torch.float32)
        vae_class = {"AutoencoderKL": AutoencoderKL}.get(_class_name(root / "vae" / "config.json"), PatchAutoencoderKL)
        scheduler_class = getattr(diffusers, _class_name(root / "scheduler" / "scheduler_config.json"))
        return cls(
            AutoTokenizer.from_pretrained(root / "tokenizer"),
            CLIPTextModel.from_pretrained(root / "text_encoder", dtype=torch.float32),
            image_encoder,
            fusion,
            UNet2DConditionModel.from_pretrained(root / "unet", torch_dtype=torch.float32),
            vae_class.from_pretrained(root / "vae", torch_dtype=torch.float32),
            scheduler_class.from_pretrained(root / "scheduler"),
            cast,
            image_statistics,
            frame_encoder,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the parts as sub-folders, and the index that makes the folder a pipeline without a language model."""
        from storygptv.pipeline import StoryGPTVPipeline  # the pipeline knows this module

        parts = {part: getattr(self, part) for part in PARTS}
        pipeline = StoryGPTVPipeline(**parts, frame_encoder=self.frame_encoder, image_statistics=self.image_statistics)
        pipeline.save_pretrained(folder)


def latent_statistics(vae: AutoencoderKL) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the autoencoder's latents, each (1, C, 1, 1): what standardises them.

    Stable Diffusion 1.5 has one ``scaling_factor`` (0.18215 = 1 / deviation) and no mean.
    """
    channels, one = vae.config.latent_channels, 1.0 / vae.config.scaling_factor
    mean = vae.config.latents_mean or [getattr(vae.config, "shift_factor", None) or 0.0] * channels
    std = torch.tensor(vae.config.latents_std or [1.0] * channels) * one
    return torch.tensor(mean).view(1, -1, 1, 1), std.view(1, -1, 1, 1)


def _square(pixels: Tensor) -> Tensor:
    """Return pictures (B, 3, H, W) with black to both sides that makes them square, as the published portraits get."""
    height, width = pixels.shape[-2:]
    extra_w, extra_h = max(0, height - width), max(0, width - height)
    around = (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)
    return F.pad(pixels, around, value=-1.0)


def _resized(pixels: Tensor, size: int) -> Tensor:
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


def _class_name(file: Path) -> str:
    return str(json.loads(file.read_text())["_class_name"])
