"""Typed stories drawn by a shipped model, a frame at a time, and read by the classifier of the benchmark.

What ``storybench draw`` gives for the same story, model and seed, is what is drawn here: same captions, same noise.
Libraries are loaded when the first story is drawn. Nothing of Streamlit is known here; whoever serves several people
holds :data:`ONE_AT_A_TIME` around :meth:`Studio.draw`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image

from storybench.errors import ConfigError, unknown

if TYPE_CHECKING:
    from storybench.perception.reading import PerceiverObserver
    from storybench.story import Character

MODELS = {
    "storygptv": "StoryGPT-V miniature: reads the whole story",
    "char_ldm": "Char-LDM alone: reads one sentence at a time",
}
MAX_SENTENCES, MAX_CHARACTERS = 8, 600
MAX_SEED = 2**31 - 1
ONE_AT_A_TIME = threading.Lock()  # of all models of a process: they share its cores, and Hydra keeps global state


@dataclass(frozen=True)
class Shot:
    """One drawn frame, and whom the classifier sees in it."""

    caption: str
    image: Image.Image
    shown: frozenset[str]


@dataclass(frozen=True)
class Reel:
    """One drawn story."""

    story: str
    model: str
    seed: int
    shots: tuple[Shot, ...]
    remarks: tuple[str, ...]
    """What the world of the model does not know of the story, as ``storybench draw`` says it."""

    def png(self) -> bytes:
        """Return the strip that ``storybench draw`` writes."""
        from storybench.cli.draw import strip_png

        return strip_png([shot.caption for shot in self.shots], [shot.image for shot in self.shots])


class Studio:
    """One model and the classifier, loaded once and kept."""

    def __init__(self, model: str) -> None:
        """Name the model; nothing is loaded yet.

        Raises:
            ConfigError: If it is not one of ``MODELS``.
        """
        if model not in MODELS:
            raise unknown("model", model, MODELS)
        self.model = model

    @cached_property
    def config(self) -> dict[str, dict[str, Any]]:
        """Model and data set as ``storybench draw`` composes them, on the CPU."""
        from storybench.cli.config import DrawConfig, compose_tree, typed

        tree = compose_tree("draw", [f"model={self.model}", "device=cpu"])
        tree.story = ""
        config = typed(tree, DrawConfig)
        return {"model": config.model, "dataset": config.dataset}

    @cached_property
    def cast(self) -> tuple[Character, ...]:
        """Whom the model knows."""
        from storybench.data.loading import open_dataset

        dataset = self.config["dataset"]
        return open_dataset(dataset, dataset["subsets"][-1])[0].cast

    @cached_property
    def visualizer(self) -> Any:
        """The model."""
        from storybench.cli.config import build

        return build(self.config["model"], "model")

    @cached_property
    def reader(self) -> PerceiverObserver:
        """The classifier that the board's metrics read frames with."""
        from storybench.perception.assets import load_perceiver
        from storybench.perception.reading import PerceiverObserver

        return PerceiverObserver(load_perceiver())

    def captions(self, story: str) -> tuple[str, ...]:
        """Return the sentences of a story, one a frame.

        Raises:
            ConfigError: If there is none, or the story is longer than the limits.
        """
        from storybench.cli.draw import sentences

        if len(story) > MAX_CHARACTERS:
            raise ConfigError(f"The story has {len(story)} characters, {MAX_CHARACTERS} are drawn here: shorten it.")
        found = sentences(story)
        if not found:
            raise ConfigError(
                "The story has no sentence: write one a frame, such as: Zara waves. She opens an umbrella."
            )
        if len(found) > MAX_SENTENCES:
            raise ConfigError(f"The story has {len(found)} sentences, {MAX_SENTENCES} are drawn here: shorten it.")
        return found

    def remarks(self, story: str) -> tuple[str, ...]:
        """Return what ``storybench draw`` says of words and names that the model has not learned."""
        from storybench.cli.draw import unknown_in

        return tuple(unknown_in(story, self.cast, self.config["dataset"]).sentences(self.cast))

    def draw(self, story: str, seed: int, on_shot: Callable[[int, Shot], None]) -> Reel:
        """Draw and read a story.

        Args:
            story: Sentences, one a frame.
            seed: Of the noise.
            on_shot: Called with a frame's index and the frame as soon as it is drawn; what it raises ends the drawing.

        Raises:
            ConfigError: As :meth:`captions`.
        """
        from storybench.cli.draw import prompt_of

        captions = self.captions(story)
        shots: list[Shot] = []

        def keep(frame: int, image: Image.Image) -> None:
            (reading,) = self.reader.read([image])
            shots.append(Shot(captions[frame], image, reading.characters))
            on_shot(frame, shots[-1])

        self.visualizer.draw(prompt_of(story, captions, self.cast), seed=seed, on_frame=keep)
        return Reel(story, self.model, seed, tuple(shots), self.remarks(story))
