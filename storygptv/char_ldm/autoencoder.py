"""Stable Diffusion's KL autoencoder with its first scales folded into channels, which small machines can afford."""

from __future__ import annotations

import inspect
from typing import Any

from diffusers import AutoencoderKL
from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor
from torch.nn import functional as F


class PatchAutoencoderKL(AutoencoderKL):
    """An :class:`~diffusers.AutoencoderKL` between ``patch_size`` x ``patch_size`` pixel blocks and latents.

    With ``patch_size=1`` it is its parent. Otherwise each block of pixels becomes channels before the encoder, and the
    decoder writes a block at a time: the convolutions at full resolution, most of the cost, fall away.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: int = 1,
        block_out_channels: tuple[int, ...] = (64, 128),
        layers_per_block: int = 1,
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        sample_size: int = 128,
        scaling_factor: float = 1.0,
        latents_mean: tuple[float, ...] | None = None,
        latents_std: tuple[float, ...] | None = None,
        decoder_only: bool = False,
    ) -> None:
        """See :class:`~diffusers.AutoencoderKL`.

        ``sample_size`` is the side of the picture in pixels; ``decoder_only`` leaves out the encoder, which drawing
        never uses and only training needs.
        """
        channels = 3 * patch_size**2
        super().__init__(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(block_out_channels),
            up_block_types=("UpDecoderBlock2D",) * len(block_out_channels),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            sample_size=sample_size,
            scaling_factor=scaling_factor,
            latents_mean=latents_mean,
            latents_std=latents_std,
        )
        if decoder_only:
            del self.encoder, self.quant_conv
        own = set(inspect.signature(PatchAutoencoderKL.__init__).parameters)  # the parent adds what follows from these
        self._internal_dict = FrozenDict({k: v for k, v in self._internal_dict.items() if k in own or k[0] == "_"})

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple[Any, ...]:
        """Return the posterior over latents of pictures ``x`` (B, 3, H, W) in [-1, 1]."""
        if self.config.decoder_only:
            raise ValueError("this autoencoder was saved without its encoder: train one with stage=vae")
        return super().encode(F.pixel_unshuffle(x, self.config.patch_size), return_dict=return_dict)

    def decode(self, z: Tensor, return_dict: bool = True, generator: Any = None) -> DecoderOutput | tuple[Tensor, ...]:
        """Return pictures (B, 3, H, W) of latents ``z`` (B, C, H/f, W/f)."""
        blocks = super().decode(z, return_dict=False)[0]  # (B, 3 p p, H/p, W/p)
        pixels = F.pixel_shuffle(blocks, self.config.patch_size)
        return DecoderOutput(sample=pixels) if return_dict else (pixels,)
