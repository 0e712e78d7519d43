"""The ceiling: the true frames, seen through the same evaluator as any model's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from storybench.story import Story, StoryPrompt

SAMPLED_FRAMES = 16  # hashed into the identity, so that a world drawn anew is another run


class GroundTruth:
    """Returns the true frames. An oracle (:mod:`storybench.oracle`): a pinned row, not a competitor."""

    needs_truth = True
    name = "ground_truth"

    def __init__(self) -> None:
        """Start without truth; the harness binds it."""
        self._stories: dict[str, Story] = {}

    def bind(self, stories: Sequence[Story]) -> None:
        """Take the annotated stories."""
        self._stories = {story.id: story for story in stories}

    def identity(self) -> Mapping[str, object]:
        """Return the name and a hash of some true frames."""
        return {"name": self.name, "version": "1", "weights": {}, "sampler": {"truth": self._sample_hash()}}

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield the true frames of each story; ``seed`` changes nothing."""
        for prompt in stories:
            yield prompt.id, [frame.image for frame in self._stories[prompt.id].frames]

    def _sample_hash(self) -> str:
        """Return a hash of the first pixels, in order of story id."""
        total = hashlib.sha256()
        for story_id in sorted(self._stories)[:SAMPLED_FRAMES]:
            image = self._stories[story_id].frames[0].image
            total.update(f"{story_id} {image.size}".encode() + image.tobytes())
        return total.hexdigest()
