"""The floor: true frames of other stories. Good pictures that have nothing to do with the text."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from PIL import Image

from baselines.ground_truth import GroundTruth
from storybench.errors import DataError
from storybench.seeding import frame_seed
from storybench.story import StoryPrompt


class Shuffled(GroundTruth):
    """Returns for each story the frames of another: a derangement of the bound stories, decided by the seed."""

    name = "shuffled"

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield frames of another story, frame k for frame k (from the start again if that story is shorter).

        Raises:
            DataError: If a single story is bound: there is no other.
        """
        other = derangement(sorted(self._stories), seed)
        for prompt in stories:
            frames = self._stories[other[prompt.id]].frames
            yield prompt.id, [frames[k % len(frames)].image for k in range(len(prompt.captions))]


def derangement(ids: Sequence[str], seed: int) -> dict[str, str]:
    """Return a seeded permutation that leaves no id in place: one cycle through all in random order.

    Raises:
        DataError: If there are fewer than two ids.
    """
    if len(ids) < 2:
        raise DataError(f"model=shuffled needs at least 2 stories, found {len(ids)}.")
    order = list(ids)
    random.Random(frame_seed(seed, "shuffled", 0)).shuffle(order)
    return dict(zip(order, order[1:] + order[:1], strict=True))
