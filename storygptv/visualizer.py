"""StoryGPT-V as a model of the harness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from PIL import Image

import storygptv
from storybench.story import StoryPrompt
from storygptv.char_ldm.sampling import SamplerConfig, to_images
from storygptv.pipeline import StoryGPTVPipeline
from storygptv.weights import hashes, quiet_loading, resolve


class StoryGPTV:
    """The aligned LLM reads the story, Char-LDM draws it."""

    def __init__(
        self,
        weights: str | None = None,
        device: str = "cpu",
        num_inference_steps: int = 6,
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.6, 1.0),
    ) -> None:
        """See ``configs/model/storygptv.yaml``.

        Args:
            weights: Folder of weights; None takes the miniature that is shipped.
            device: Where to run.
            num_inference_steps: Steps of the sampler.
            guidance_scale: Classifier-free guidance; 1 switches it off.
            guidance_interval: Noise levels at which guidance acts.
        """
        low, high = guidance_interval
        self.sampler = SamplerConfig(num_inference_steps, guidance_scale, (low, high))
        self.folder = resolve(weights)
        self.device = device
        self.batch_size = 16
        self._pipeline: StoryGPTVPipeline | None = None

    def identity(self) -> Mapping[str, object]:
        """Return name, version, weights and sampler settings."""
        return {
            "name": "storygptv",
            "version": storygptv.__version__,
            "weights": hashes(self.folder),
            "sampler": asdict(self.sampler),
        }

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield the frames of each story; ``batch_size`` stories are drawn together."""
        for start in range(0, len(stories), self.batch_size):
            group = stories[start : start + self.batch_size]
            pipeline = self._load(group[0])
            frames = pipeline([(s.id, s.captions) for s in group], seed)
            for story, pixels in zip(group, frames, strict=True):
                yield story.id, to_images(pixels)

    def _load(self, story: StoryPrompt) -> StoryGPTVPipeline:
        if self._pipeline is None:
            with quiet_loading():
                self._pipeline = StoryGPTVPipeline.from_pretrained(self.folder, self.sampler, story.cast)
            self._pipeline.char_ldm.to(self.device)
            self._pipeline.aligner.to(self.device)
        if self._pipeline.char_ldm.cast != story.cast:
            self._pipeline.char_ldm.set_cast(story.cast)
        return self._pipeline
