"""Char-LDM alone: stage 1 of StoryGPT-V on the caption as given, frame by frame, without a history.

It has been trained on referential captions too, so what it lacks beside StoryGPT-V is the story, not the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from PIL import Image

from storybench.story import StoryPrompt

if TYPE_CHECKING:
    from storygptv.char_ldm.model import CharLDM

PARTS = ("fusion", "image_encoder", "text_encoder", "unet", "vae")


class CharLDMBaseline:
    """Stage 1 on the given caption."""

    def __init__(
        self,
        weights: str | None = None,
        device: str = "cpu",
        num_inference_steps: int = 6,
        guidance_scale: float = 2.0,
        guidance_interval: Sequence[float] = (0.6, 1.0),
    ) -> None:
        """Arguments are those of :class:`storygptv.visualizer.StoryGPTV`."""
        from storygptv.char_ldm.sampling import SamplerConfig
        from storygptv.weights import resolve

        low, high = guidance_interval
        self.sampler = SamplerConfig(num_inference_steps, guidance_scale, (low, high))
        self.folder = resolve(weights)
        self.device = device
        self.batch_size = 16
        self._model: CharLDM | None = None

    def identity(self) -> Mapping[str, object]:
        """Return name, version, weights and sampler settings."""
        import storygptv
        from storygptv.weights import hashes

        return {
            "name": "char_ldm",
            "version": storygptv.__version__,
            "weights": hashes(self.folder, PARTS),
            "sampler": asdict(self.sampler),
        }

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield the frames of each story; one batch holds the stories' frames of one index."""
        from storygptv.char_ldm.sampling import draw, to_images

        for start in range(0, len(stories), self.batch_size):
            group = stories[start : start + self.batch_size]
            model = self._load(group[0])
            frames: dict[str, list[Image.Image]] = {story.id: [] for story in group}
            for t in range(max(len(story.captions) for story in group)):
                alive = [story for story in group if len(story.captions) > t]
                condition = model.condition([story.captions[t] for story in alive])
                pixels = draw(model, condition, [(story.id, t) for story in alive], seed, self.sampler)
                for story, image in zip(alive, to_images(pixels), strict=True):
                    frames[story.id].append(image)
            yield from frames.items()

    def _load(self, story: StoryPrompt) -> CharLDM:
        from storygptv.char_ldm.model import CharLDM
        from storygptv.weights import quiet_loading

        if self._model is None:
            with quiet_loading():
                self._model = CharLDM.from_pretrained(self.folder, story.cast).to(self.device).eval()
        if self._model.cast != story.cast:
            self._model.set_cast(story.cast)
        return self._model
