"""From conditioning embeddings to pictures: any scheduler of diffusers, guidance, and delayed conditioning.

B frames, L tokens, D text width, (C, h, w) latents.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.errors import ConfigError, unknown
from storybench.seeding import frame_seed
from storygptv.char_ldm.character_tokens import find_name_spans

if TYPE_CHECKING:  # the visualizers read the settings below without loading diffusers
    from storygptv.char_ldm.model import CharLDM

DelayRule = Literal["none", "fixed", "name_in_text", "oracle_flag"]
DELAY_RULES: tuple[DelayRule, ...] = ("none", "fixed", "name_in_text", "oracle_flag")


@dataclass(frozen=True)
class SamplerConfig:
    """Sampler settings; all of them decide the frames.

    ``guidance_interval`` are the noise levels, t over the scheduler's number of training steps, at which guidance acts:
    outside it changes little and costs a second pass (Kynkaanniemi et al. 2024). (0, 1) is plain guidance.

    ``delay_rule`` is the published code's delayed conditioning (storygptv.md section 2; not in the paper): calls
    0 to ``start_merge_step`` of the denoiser see the plain text embedding of the caption as given, which lays the
    picture out, and the rest the fused or the LLM's embedding, which says who is in it.

    - ``none``: every call sees the fused or the LLM's embedding, as the paper describes.
    - ``fixed``: ``start_merge_step`` for every frame.
    - ``name_in_text``: ``start_merge_step`` where the caption names somebody, 0 where it does not. It says from the
      caption what the published rule takes from annotations.
    - ``oracle_flag``: 0 where the caller says that the caption is referential, else ``start_merge_step``, as published
      (section 5). For parity runs only: models get no annotation.

    The published 15 gives the text 16 of PNDM's 31 calls, and 0 gives it one.
    """

    num_inference_steps: int = 6
    guidance_scale: float = 2.0
    guidance_interval: tuple[float, float] = (0.6, 1.0)
    delay_rule: DelayRule = "none"
    start_merge_step: int = 15

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        low, high = self.guidance_interval
        if self.num_inference_steps < 1:
            raise ConfigError(f"num_inference_steps is {self.num_inference_steps}: give 1 or more.")
        if not 0 <= low <= high <= 1:
            raise ConfigError(f"guidance_interval is [{low}, {high}]: give two noise levels in order, 0 to 1.")
        if self.delay_rule not in DELAY_RULES:
            raise unknown("delay_rule", str(self.delay_rule), DELAY_RULES)
        if self.start_merge_step < 0:
            raise ConfigError(f"start_merge_step is {self.start_merge_step}: give 0 or more, or delay_rule=none.")


class Delay(NamedTuple):
    """Delayed conditioning of B frames: plain text embeddings (B, L, D) and the last call that sees them (B,)."""

    plain: Tensor
    last_call: Tensor


def delayed(
    model: CharLDM, config: SamplerConfig, captions: Sequence[str], referential: Sequence[bool] | None = None
) -> Delay | None:
    """Return how ``captions`` delay their conditioning, None if they do not.

    Args:
        model: Char-LDM, whose text encoder and cast are asked.
        config: Sampler settings.
        captions: B sentences, as given to the story model.
        referential: The oracle's word on each, read by ``delay_rule="oracle_flag"`` alone.

    Raises:
        ConfigError: If the rule asks an oracle and none is given.
    """
    if config.delay_rule == "none":
        return None
    if config.delay_rule == "fixed":
        late = [True] * len(captions)
    elif config.delay_rule == "name_in_text":
        late = [bool(find_name_spans(caption, model.cast)) for caption in captions]
    else:
        if referential is None:
            raise ConfigError("delay_rule=oracle_flag asks which captions are referential: pass pronoun_flags.")
        late = [not flag for flag in referential]
    plain = model.condition(captions, fuse=[False] * len(captions))  # (B, L, D)
    last = torch.tensor([config.start_merge_step if wait else 0 for wait in late], device=plain.device)
    return Delay(plain, last)


def frame_generators(seed: int, frames: Sequence[tuple[str, int]]) -> list[torch.Generator]:
    """Return a generator a frame, started from (seed, story id, frame) alone."""
    return [torch.Generator().manual_seed(frame_seed(seed, story, frame)) for story, frame in frames]


def initial_noise(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Return standard normal noise (B, *shape) on the CPU, each row from its own generator."""
    return torch.stack([torch.randn(shape, generator=g, device=g.device).cpu() for g in generators])


def latent_shape(model: CharLDM) -> tuple[int, int, int]:
    """Return (C, h, w) of the model's latents."""
    side = model.unet.config.sample_size
    height, width = (side, side) if isinstance(side, int) else side
    return model.unet.config.in_channels, height, width


def prepare_scheduler(model: CharLDM, steps: int, device: torch.device) -> Any:
    """Return a copy of the model's scheduler that is set to ``steps`` steps.

    Flow matching gets the noise levels 1, (n - 1) / n, ..., 1 / n before the scheduler's shift, as the miniature was
    tuned; the others space their steps as their configuration says (PNDM with ``skip_prk_steps`` takes one more).
    """
    scheduler = copy.deepcopy(model.scheduler)
    if type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler":
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps), device=device)
    else:
        scheduler.set_timesteps(steps, device=device)
    return scheduler


@torch.no_grad()
def sample_latents(
    model: CharLDM,
    condition: Tensor,
    unconditional: Tensor,
    noise: Tensor,
    config: SamplerConfig,
    delay: Delay | None = None,
    generators: Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Return standardised latents (B, C, h, w).

    Args:
        model: Char-LDM.
        condition: Embeddings (B, L, D).
        unconditional: Embedding of the empty caption, (1, L, D).
        noise: (B, C, h, w) standard normal.
        config: Sampler settings.
        delay: What the first calls see instead of ``condition``.
        generators: One a row, for schedulers that add noise on the way.
    """
    scheduler = prepare_scheduler(model, config.num_inference_steps, noise.device)
    takes = inspect.signature(scheduler.step).parameters
    options = {"generator": list(generators)} if generators is not None and "generator" in takes else {}
    scaled = getattr(scheduler, "scale_model_input", None)
    levels = scheduler.config.num_train_timesteps
    low, high = config.guidance_interval
    x = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    x = x.to(noise.dtype)
    for i, t in enumerate(scheduler.timesteps):
        seen = condition
        if delay is not None:
            seen = torch.where((i <= delay.last_call)[:, None, None], delay.plain, condition)  # (B, L, D)
        given = x if scaled is None else scaled(x, t)
        if config.guidance_scale != 1 and low <= float(t) / levels <= high:
            both = torch.cat([seen, unconditional.expand_as(seen)])  # (2B, L, D)
            out, free = model.unet(torch.cat([given, given]), t, both).sample.chunk(2)
            out = free + config.guidance_scale * (out - free)  # Ho and Salimans 2022, Eq. 6
        else:
            out = model.unet(given, t, seen).sample
        x = scheduler.step(out, t, x, return_dict=False, **options)[0]
    return x


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Return pictures of (B, 3, H, W) in [-1, 1]."""
    arrays = pixels.float().add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(a) for a in arrays]


@torch.no_grad()
def draw(
    model: CharLDM, condition: Tensor, frames: Sequence[tuple[str, int]], seed: int, config: SamplerConfig
) -> Tensor:
    """Return pixels (B, 3, H, W) in [-1, 1] for embeddings (B, L, D) of ``frames``, pairs of (story id, frame).

    Raises:
        ConfigError: If conditioning is to be delayed, which needs the captions.
    """
    if config.delay_rule != "none":
        raise ConfigError(f"delay_rule={config.delay_rule} needs the captions: draw with StoryGPTVPipeline.")
    noise = initial_noise(frame_generators(seed, frames), latent_shape(model)).to(condition)
    return model.decode_latents(sample_latents(model, condition, model.condition([""]), noise, config))
