"""Validation strips of stage 1: a few stories of the validation subset, true frames above drawn ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from storybench.errors import ConfigError
from storybench.story import Story
from storybench.strips import story_strip
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.sampling import SamplerConfig, draw, to_images


@dataclass(frozen=True)
class ValidationOptions:
    """What is drawn, and how; the same noise each time, so that strips of two steps can be compared."""

    stories: int = 2
    subset: str = "val"
    text: str = "original"
    seed: int = 0
    num_inference_steps: int = 30
    guidance_scale: float = 5.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    frame_px: int = 128  # side of a frame in the strip, which doubles it

    def __post_init__(self) -> None:
        if self.stories < 1 or self.frame_px < 1:
            raise ConfigError(f"validation.stories={self.stories}, frame_px={self.frame_px}: expected 1 or more.")
        object.__setattr__(self, "guidance_interval", tuple(self.guidance_interval))


class ValidationStrips:
    """Draws the strips, for ``on_validate`` of :func:`storygptv.training.fit`."""

    def __init__(self, model: CharLDM, stories: Sequence[Story], options: ValidationOptions) -> None:
        """Take the first ``options.stories`` of ``stories``.

        Names carry portraits where the whole cast has them, and nothing otherwise (Table 3, w/o img at inference).
        """
        self.model, self.options = model, options
        self.stories = [stories[k] for k in range(min(options.stories, len(stories)))]
        self.sampler = SamplerConfig(options.num_inference_steps, options.guidance_scale, options.guidance_interval)

    @torch.no_grad()
    def __call__(self, step: int) -> dict[str, Image.Image]:
        """Return story id -> strip, drawn with the weights of now."""
        model = self.model
        learning = [module for module in model.modules() if module.training]
        model.eval()
        try:
            return {story.id: self._strip(story, step) for story in self.stories}
        finally:
            for module in learning:
                module.training = True

    def _strip(self, story: Story, step: int) -> Image.Image:
        model, options = self.model, self.options
        model.set_cast(story.cast if all(c.portrait for c in story.cast) else ())
        captions = [frame.captions[options.text].text for frame in story.frames]
        context = model.condition(captions)  # (T, L, D)
        drawn = []
        for k in range(len(captions)):  # one by one: a strip must not need more memory than a step
            drawn += to_images(draw(model, context[k : k + 1], [(story.id, k)], options.seed, self.sampler))
        size = (options.frame_px, options.frame_px)
        rows = [("true", [frame.image for frame in story.frames]), (f"step {step}", drawn)]
        return story_strip([(name, [image.resize(size) for image in images]) for name, images in rows], captions)
