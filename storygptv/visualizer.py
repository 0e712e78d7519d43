"""StoryGPT-V as a model of the harness, and what it shares with every other model that draws with the pipeline.

The libraries are loaded when the first frame is drawn, not before: a run that is finished is read without them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import torch
from PIL import Image

import storygptv
from storybench.errors import AssetError, ConfigError, unknown
from storybench.story import StoryPrompt
from storygptv.char_ldm.sampling import DelayRule, SamplerConfig
from storygptv.weights import INDEX, hashes, quiet_loading, resolve, settings

if TYPE_CHECKING:
    from storygptv.pipeline import FirstFrame, StoryGPTVPipeline

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
STAGE_1 = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
PICTURES = ("image_encoder", "fusion")  # a plain latent diffusion model has neither
STAGE_2 = ("llm", "llm_tokenizer", "aligner")


class PipelineVisualizer:
    """A model of the harness that draws with :class:`~storygptv.pipeline.StoryGPTVPipeline`."""

    name = "pipeline"
    parts: tuple[str, ...] = STAGE_1  # sub-folders that must be there

    def __init__(
        self,
        weights: str | None = None,
        device: str = "cpu",
        num_inference_steps: int = 6,
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.6, 1.0),
        delay_rule: DelayRule = "none",
        start_merge_step: int = 15,
        scheduler: str | None = None,
        dtype: Literal["fp32", "bf16", "fp16"] = "fp32",
        offload: bool = False,
    ) -> None:
        """See ``configs/model/storygptv.yaml``.

        Args:
            weights: Folder of a saved pipeline; None takes the miniature that is shipped.
            device: Where to run.
            num_inference_steps: Steps of the sampler.
            guidance_scale: Classifier-free guidance; 1 switches it off.
            guidance_interval: Noise levels at which guidance acts.
            delay_rule: See :class:`~storygptv.char_ldm.sampling.SamplerConfig`.
            start_merge_step: See there.
            scheduler: Name of a scheduler of diffusers in place of the folder's, with the folder's noise schedule.
            dtype: What all parts compute in.
            offload: True keeps only the part that computes on ``device`` (``enable_model_cpu_offload``).

        Raises:
            AssetError: If ``weights`` is no folder of a saved pipeline with the parts that are needed.
            ConfigError: If a setting is unknown, or asks an oracle.
        """
        if delay_rule == "oracle_flag":
            raise oracle_refused("delay_rule=oracle_flag")
        if dtype not in DTYPES:
            raise unknown("dtype", str(dtype), DTYPES)
        low, high = guidance_interval
        self.sampler = SamplerConfig(num_inference_steps, guidance_scale, (low, high), delay_rule, start_merge_step)
        self.folder = resolve(weights)
        if not (self.folder / INDEX).is_file():
            raise AssetError(f"{self.folder} has no {INDEX}: give a saved pipeline, as stage=ship writes it.")
        if missing := [part for part in self.parts if not (self.folder / part).is_dir()]:
            raise AssetError(
                f"{self.folder} has no {missing[0]}/, which model={self.name} needs: train its stage first."
            )
        self.device = device
        self.scheduler = scheduler
        self.dtype = dtype
        self.offload = offload
        self.batch_size = 16
        self._pipeline: StoryGPTVPipeline | None = None

    def identity(self) -> Mapping[str, object]:
        """Return what decides the frames: name, version, weights, their settings, and how they are sampled."""
        config = json.loads((self.folder / "scheduler" / "scheduler_config.json").read_text())
        present = tuple(part for part in (*self.parts, *PICTURES) if (self.folder / part).is_dir())
        return {
            "name": self.name,
            "version": storygptv.__version__,
            "weights": hashes(self.folder, present),
            "settings": settings(self.folder, present),
            "sampler": asdict(self.sampler),
            "scheduler": self.scheduler or config["_class_name"],
            "dtype": self.dtype,
        }

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield the frames of each story; ``batch_size`` stories are drawn together."""
        for start in range(0, len(stories), self.batch_size):
            group = stories[start : start + self.batch_size]
            pipeline = self._ready(group[0])
            told = [(story.id, story.captions) for story in group]
            frames = pipeline(told, seed, **asdict(self.sampler), **self.options()).frames
            yield from zip((story.id for story in group), frames, strict=True)

    def draw(self, story: StoryPrompt, *, seed: int, on_frame: Callable[[int, Image.Image], None]) -> list[Image.Image]:
        """Return the frames of one story, the same as :meth:`visualize`; each is shown as soon as it is drawn.

        Args:
            story: What to draw.
            seed: Of the noise.
            on_frame: Called with a frame's index and its picture; what it raises ends the drawing.
        """
        from storygptv.char_ldm.sampling import to_images

        def shown(_: int, frame: int, pixels: torch.Tensor) -> None:
            on_frame(frame, to_images(pixels[None])[0])

        pipeline = self._ready(story)
        options = {**asdict(self.sampler), **self.options(), "callback_on_frame_end": shown}
        frames: list[Image.Image] = pipeline([(story.id, story.captions)], seed, **options).frames[0]
        return frames

    def options(self) -> dict[str, object]:
        """Return what the pipeline is told beside the sampler settings."""
        return {}

    def _ready(self, story: StoryPrompt) -> StoryGPTVPipeline:
        """Return the pipeline with the portraits of a story's cast."""
        pipeline = self._load()
        if pipeline.cast != story.cast:
            pipeline.set_cast(story.cast)
        return pipeline

    def _load(self) -> StoryGPTVPipeline:
        if self._pipeline is not None:
            return self._pipeline
        from storygptv.pipeline import StoryGPTVPipeline

        absent = {part: None for part in STAGE_2 if part not in self.parts}
        with quiet_loading():
            pipeline = StoryGPTVPipeline.from_pretrained(self.folder, dtype=DTYPES[self.dtype], **absent)
        pipeline.set_progress_bar_config(disable=True)
        if pipeline.llm is not None:
            pipeline.llm.set_attn_implementation("eager")  # one form on every machine: the kernels differ in rounding
        if self.scheduler is not None:
            pipeline.scheduler = scheduler_class(self.scheduler).from_config(pipeline.scheduler.config)
        if self.offload:
            pipeline.enable_model_cpu_offload(device=self.device)
        else:
            pipeline.to(self.device)
        self._pipeline = pipeline
        return pipeline


class StoryGPTV(PipelineVisualizer):
    """The aligned LLM reads the story, Char-LDM draws it."""

    name = "storygptv"
    parts = (*STAGE_1, *STAGE_2, "image_encoder")

    def __init__(
        self,
        weights: str | None = None,
        device: str = "cpu",
        num_inference_steps: int = 6,
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.6, 1.0),
        first_frame: FirstFrame = "llm",
        delay_rule: DelayRule = "none",
        start_merge_step: int = 15,
        pronoun_oracle: bool = False,
        scheduler: str | None = None,
        dtype: Literal["fp32", "bf16", "fp16"] = "fp32",
        offload: bool = False,
    ) -> None:
        """See :class:`PipelineVisualizer` for what is not said here.

        Args:
            weights: Folder of a saved pipeline.
            device: Where to run.
            num_inference_steps: Steps of the sampler.
            guidance_scale: Classifier-free guidance.
            guidance_interval: Noise levels at which guidance acts.
            first_frame: ``llm`` as the paper says, ``char_ldm`` as the published script does (storygptv.md section 5).
            delay_rule: ``none``, ``fixed`` or ``name_in_text``.
            start_merge_step: Of the delay rule.
            pronoun_oracle: The published option. Refused: a model gets no annotation.
            scheduler: Name of another scheduler.
            dtype: What all parts compute in.
            offload: Keep only the part that computes on ``device``.

        Raises:
            AssetError: As the parent.
            ConfigError: As the parent, and if ``first_frame`` is unknown.
        """
        if pronoun_oracle:
            raise oracle_refused("pronoun_oracle=true")
        if first_frame not in ("llm", "char_ldm"):
            raise unknown("first_frame", str(first_frame), ("llm", "char_ldm"))
        self.first_frame: FirstFrame = first_frame
        super().__init__(
            weights,
            device,
            num_inference_steps,
            guidance_scale,
            guidance_interval,
            delay_rule,
            start_merge_step,
            scheduler,
            dtype,
            offload,
        )

    def identity(self) -> Mapping[str, object]:
        """Return the parent's, and who draws the first frame."""
        return {**super().identity(), "first_frame": self.first_frame}

    def options(self) -> dict[str, object]:
        """Return who draws the first frame."""
        return {"first_frame": self.first_frame}


def oracle_refused(option: str) -> ConfigError:
    """Return the error for an option that reads annotations."""
    return ConfigError(
        f"{option} tells a model which captions are referential, and models get no annotation here: use "
        "delay_rule=name_in_text, or call StoryGPTVPipeline with pronoun_flags for a parity run."
    )


def scheduler_class(name: str) -> type:
    """Return a scheduler class of diffusers by its name.

    Raises:
        ConfigError: If diffusers has none of that name.
    """
    import diffusers

    known = [n for n in dir(diffusers) if n.endswith("Scheduler") and not n.startswith("Flax")]
    if name not in known:
        raise unknown("scheduler", name, known)
    found: type = getattr(diffusers, name)
    return found
