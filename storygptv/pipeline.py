"""StoryGPT-V as a diffusers pipeline: story in, frames out, each drawn on the story's own generated history.

Frame t is drawn from the LLM's embedding of what it has read: the frames it has drawn so far, their captions, and the
caption of frame t (storygptv.md section 5). Stories are batched at the same frame index, the LLM keeps keys and values
of the history, its R [IMG] tokens are read in one forward, and each generated frame is encoded once.

B stories, T frames, L tokens, D text width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPVisionModelWithProjection, PreTrainedModel, PreTrainedTokenizerBase

from storybench.errors import ConfigError, DataError, unknown
from storybench.story import Character
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.model import AlignedLLM
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.model import PARTS, CharLDM
from storygptv.char_ldm.sampling import (
    SamplerConfig,
    delayed,
    frame_generators,
    initial_noise,
    latent_shape,
    sample_latents,
    to_images,
)

FirstFrame = Literal["llm", "char_ldm"]
# storygptv.md section 2: 30 steps, guidance 5 at every noise level, no delay (the paper describes none)
PUBLISHED = {"num_inference_steps": 30, "guidance_scale": 5.0, "guidance_interval": (0.0, 1.0)}


@dataclass
class StoryGPTVPipelineOutput(BaseOutput):
    """Frames of each story, in the order asked: lists of T pictures, or tensors (T, 3, H, W) in [0, 1]."""

    frames: list[list[Image.Image]] | list[Tensor]


class StoryGPTVPipeline(DiffusionPipeline):
    """Char-LDM (stage 1) and the aligned LLM (stage 2) together.

    ``save_pretrained`` and ``from_pretrained``, ``to``, ``enable_model_cpu_offload`` and the exchange of components,
    the scheduler above all, are those of diffusers. Without ``llm``, ``llm_tokenizer`` and ``aligner`` it is Char-LDM
    alone: every frame is drawn from its own caption.
    """

    model_cpu_offload_seq = "text_encoder->llm->unet->vae->image_encoder->frame_encoder"  # the order within a frame
    _exclude_from_cpu_offload: ClassVar[list[str]] = ["fusion", "aligner"]  # small (52 M at paper scale): they stay
    _optional_components: ClassVar[list[str]] = [
        "image_encoder",
        "fusion",
        "llm",
        "llm_tokenizer",
        "aligner",
        "frame_encoder",
    ]

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        fusion: CharacterFusion | None = None,
        llm: PreTrainedModel | None = None,
        llm_tokenizer: PreTrainedTokenizerBase | None = None,
        aligner: AlignerHeads | None = None,
        image_statistics: str = "symmetric",
        sampler: dict[str, Any] | None = None,
        frame_encoder: CLIPVisionModelWithProjection | None = None,
    ) -> None:
        """Register the components.

        Args:
            vae: Stable Diffusion's, or a :class:`~storygptv.char_ldm.autoencoder.PatchAutoencoderKL`.
            text_encoder: CLIP's text tower.
            tokenizer: Its tokenizer.
            unet: The denoiser, of any prediction type that ``scheduler`` has.
            scheduler: Any of diffusers'.
            image_encoder: CLIP's vision tower, for portraits and for the LLM's view of earlier frames.
            fusion: Puts portraits into names; None is a plain latent diffusion model.
            llm: The frozen language model, of the OPT or the Llama family.
            llm_tokenizer: Its tokenizer.
            aligner: Visual projection, [IMG] rows and mapper.
            image_statistics: ``symmetric`` or ``clip``: how the image encoder's pixels are normalised.
            sampler: Fields of :class:`~storygptv.char_ldm.sampling.SamplerConfig` for calls that do not say them; what
                is left out is as published (30 steps, guidance 5 throughout).
            frame_encoder: The LLM's view of earlier frames, where it is another tower than ``image_encoder``.

        Raises:
            ConfigError: If only some parts of stage 2 are given, or the two stages do not fit each other.
        """
        super().__init__()
        stage_2 = {"llm": llm, "llm_tokenizer": llm_tokenizer, "aligner": aligner}
        absent = [name for name, part in stage_2.items() if part is None]
        if absent and len(absent) < len(stage_2):
            raise ConfigError(f"Stage 2 lacks {' and '.join(absent)}: give llm, llm_tokenizer and aligner, or none.")
        if aligner is not None:
            found = (aligner.config.num_queries, aligner.config.out_dim)
            wanted = (tokenizer.model_max_length, unet.config.cross_attention_dim)
            if found != wanted:
                raise ConfigError(f"The aligner makes embeddings of {found}, Char-LDM takes {wanted}: not one model's.")
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            fusion=fusion,
            llm=llm,
            llm_tokenizer=llm_tokenizer,
            aligner=aligner,
            frame_encoder=frame_encoder,
        )
        self.register_to_config(image_statistics=image_statistics, sampler=dict(sampler or {}))
        self._portraits: tuple[tuple[Character, ...], Tensor | None] = ((), None)
        self._composed: AlignedLLM | None = None

    def register_to_config(self, **kwargs: Any) -> None:
        """Register, with our own classes under ``storygptv`` (see there): the index says no module of ours."""
        for name, value in kwargs.items():
            if isinstance(value, tuple) and str(value[0]).startswith("storygptv."):
                kwargs[name] = ("storygptv", value[1])
        super().register_to_config(**kwargs)

    @property
    def char_ldm(self) -> CharLDM:
        """Stage 1 of the components as they are now, with the portraits of :meth:`set_cast`."""
        parts = {part: getattr(self, part) for part in PARTS}
        model = CharLDM(**parts, image_statistics=self.config.image_statistics, frame_encoder=self.frame_encoder).eval()
        cast, embeds = self._portraits
        if embeds is not None:
            model.cast, model.character_embeds = cast, embeds
        return model

    @property
    def aligned_llm(self) -> AlignedLLM | None:
        """Stage 2 of the components as they are now; None without a language model."""
        if self.aligner is None:
            return None
        made = self._composed
        if made is None or (made.llm, made.tokenizer, made.heads) != (self.llm, self.llm_tokenizer, self.aligner):
            self._composed = made = AlignedLLM(self.llm, self.llm_tokenizer, self.aligner).eval()
        return made

    def set_cast(self, cast: Sequence[Character]) -> None:
        """Encode the portraits that the names of ``cast`` will carry.

        Raises:
            ConfigError: If a member has no portrait.
        """
        model = self.char_ldm
        with torch.no_grad():
            model.set_cast(cast)
        self._portraits = (model.cast, model.character_embeds)

    @property
    def cast(self) -> tuple[Character, ...]:
        """Whose portraits were encoded."""
        return self._portraits[0]

    def sampler_config(self, given: Mapping[str, Any]) -> SamplerConfig:
        """Return the settings of a call: those ``given`` and not None, then the pipeline's, then the published."""
        said = {name: value for name, value in given.items() if value is not None}
        return SamplerConfig(**{**PUBLISHED, **self.config.sampler, **said})

    @torch.no_grad()  # not inference_mode: weights that offloading moves inside it could not be trained afterwards
    def __call__(
        self,
        stories: Sequence[tuple[str, Sequence[str]]],
        seed: int = 0,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] | None = None,
        first_frame: FirstFrame = "llm",
        delay_rule: str | None = None,
        start_merge_step: int | None = None,
        pronoun_oracle: bool = False,
        pronoun_flags: Sequence[Sequence[bool]] | None = None,
        output_type: Literal["pil", "pt"] = "pil",
        callback_on_frame_end: Callable[[int, int, Tensor], None] | None = None,
    ) -> StoryGPTVPipelineOutput:
        """Draw stories, batched at the same frame index.

        Args:
            stories: Pairs of story id and T captions; T may differ.
            seed: The noise of a frame follows from (seed, story id, frame) alone, so that company changes nothing.
            generator: In place of ``seed``: one for each story, or one that is drawn from for every story in turn.
            num_inference_steps: Steps of the scheduler (published 30).
            guidance_scale: Classifier-free guidance (published 5); 1 switches it off.
            guidance_interval: Noise levels, 0 to 1, at which guidance acts (published: all).
            first_frame: ``llm`` draws frame 0 as all others, as the paper says; ``char_ldm`` draws it from its caption
                without the LLM, as the published script does (storygptv.md section 5, item 2).
            delay_rule: See :class:`~storygptv.char_ldm.sampling.SamplerConfig`; the paper has none.
            start_merge_step: See there (published 15, and 0 by the oracle).
            pronoun_oracle: True says that ``delay_rule="oracle_flag"`` is meant: annotations decide (``ref_flag`` of
                the published evaluation, section 5, item 4). For parity with it only.
            pronoun_flags: The oracle's word, for each story one a caption: is the caption referential?
            output_type: ``pil``, or ``pt`` for tensors (T, 3, H, W) in [0, 1].
            callback_on_frame_end: Called with the story's place in ``stories``, the frame's index and its pixels
                (3, H, W) in [-1, 1] as soon as the frame is drawn; what it raises ends the drawing.

        Returns:
            Frames of each story, in the order of ``stories``.

        Raises:
            ConfigError: If an option is unknown or contradicts another.
            DataError: If a story has no caption.
        """
        if output_type not in ("pil", "pt"):
            raise unknown("output_type", output_type, ("pil", "pt"))
        if first_frame not in ("llm", "char_ldm"):
            raise unknown("first_frame", first_frame, ("llm", "char_ldm"))
        if empty := [story for story, captions in stories if not captions]:
            raise DataError(f"Story {empty[0]} has no caption: give one a frame.")
        sampler = self.sampler_config(
            {
                "num_inference_steps": num_inference_steps,
                "guidance_scale": guidance_scale,
                "guidance_interval": guidance_interval,
                "delay_rule": oracle_rule(delay_rule, pronoun_oracle),
                "start_merge_step": start_merge_step,
            }
        )
        order = sorted(range(len(stories)), key=lambda i: -len(stories[i][1]))  # the longest first: the rest drops off
        told = [stories[i] for i in order]
        flags = [pronoun_flags[i] for i in order] if pronoun_flags is not None else None
        own = None if generator is None else _per_story(generator, order)
        frames: list[list[Tensor]] = [[] for _ in told]
        length = len(told[0][1]) if told else 0
        model = self.char_ldm
        unconditional = model.condition([""])  # (1, L, D), once for all frames
        state = self.aligned_llm.start(len(told)) if self.aligner is not None and told else None
        for t in self.progress_bar(range(length)):
            alive = [i for i, (_, captions) in enumerate(told) if len(captions) > t]
            captions = [told[i][1][t] for i in alive]
            if state is not None and len(alive) < len(state.history):
                state = self.aligned_llm.select(state, alive)
            if state is None or (t == 0 and first_frame == "char_ldm"):
                condition = model.condition(captions)  # (B, L, D)
            else:
                condition, state = self.aligned_llm.step(state, captions)
            delay = delayed(model, sampler, captions, None if flags is None else [flags[i][t] for i in alive])
            draws = [own[i] for i in alive] if own else frame_generators(seed, [(told[i][0], t) for i in alive])
            condition = condition.to(unconditional)
            noise = initial_noise(draws, latent_shape(model)).to(condition)  # (B, C, h, w)
            latents = sample_latents(model, condition, unconditional, noise, sampler, delay, draws)
            pixels = model.decode_latents(latents)  # (B, 3, H, W)
            for i, picture in zip(alive, pixels, strict=True):
                frames[i].append(picture)
                if callback_on_frame_end is not None:
                    callback_on_frame_end(order[i], t, picture)
            if state is not None and t + 1 < length:
                features = model.encode_frames(pixels)  # (B, V)
                state = self.aligned_llm.observe(state, features, captions)
        self.maybe_free_model_hooks()
        drawn = dict(zip(order, (torch.stack(pictures) for pictures in frames), strict=True))
        finished = [drawn[i] for i in range(len(stories))]
        if output_type == "pt":
            return StoryGPTVPipelineOutput(frames=[pixels * 0.5 + 0.5 for pixels in finished])
        return StoryGPTVPipelineOutput(frames=[to_images(pixels) for pixels in finished])


def oracle_rule(delay_rule: str | None, pronoun_oracle: bool) -> str | None:
    """Return the delay rule that both options together mean.

    Raises:
        ConfigError: If one asks for the oracle and the other does not.
    """
    if pronoun_oracle and delay_rule not in (None, "oracle_flag"):
        raise ConfigError(f"pronoun_oracle=true means delay_rule=oracle_flag, not {delay_rule}: leave one of them out.")
    if delay_rule == "oracle_flag" and not pronoun_oracle:
        raise ConfigError("delay_rule=oracle_flag consults annotations: say pronoun_oracle=true if that is meant.")
    return "oracle_flag" if pronoun_oracle else delay_rule


def _per_story(generator: torch.Generator | Sequence[torch.Generator], order: Sequence[int]) -> list[torch.Generator]:
    """Return a generator a story, in ``order``."""
    if isinstance(generator, torch.Generator):
        return [generator] * len(order)
    if len(generator) != len(order):
        raise ConfigError(f"{len(generator)} generators for {len(order)} stories: give one a story, or one for all.")
    return [generator[i] for i in order]
