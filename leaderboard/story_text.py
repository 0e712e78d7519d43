"""Captions and true frames of a benchmark's stories, where its data set is at hand.

ToonSV is made from seeds and always is. FlintstonesSV and PororoSV are read from the folder that
``STORYBENCH_FLINTSTONES`` or ``STORYBENCH_PORORO`` names. True frames are drawn or decoded when they are asked for and
never written anywhere. Nothing of torch is imported.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from importlib import resources
from typing import Any

from omegaconf import OmegaConf
from PIL import Image

from leaderboard.browsing import Reference, Told
from storybench.benchmark import Benchmark
from storybench.data.loading import load_stories, text_mode
from storybench.errors import DataError
from storybench.story import Story

THUMB_PX = 96  # height of a strip, as of the rows' own


def stories_of(benchmark: Benchmark) -> list[Story]:
    """Return the stories of a benchmark version.

    Raises:
        DataError: If the data set is not at hand; the sentence says how to bring it.
    """
    return load_stories(_dataset(benchmark), benchmark.subset, select=benchmark.select)


def caption_mode(benchmark: Benchmark, text: str) -> str:
    """Return what the data set of a benchmark version calls a text mode."""
    return text_mode(_dataset(benchmark), text)


def told(story: Story, mode: str) -> tuple[Told, ...]:
    """Return the captions of a story in a text mode, with the references whose antecedents are known."""
    return tuple(
        Told(
            frame.captions[mode].text,
            tuple(
                Reference(m.start, m.end, m.surface, m.characters, m.distance, m.ambiguous)
                for m in frame.captions[mode].mentions
                if m.kind == "referential"
            ),
        )
        for frame in story.frames
    )


def true_strip(story: Story) -> bytes:
    """Return the true frames of a story side by side as WebP, 96 pixels high.

    Raises:
        DataError: If the copy at hand has no pictures.
    """
    try:
        images = [frame.image for frame in story.frames]
    except ValueError as error:
        raise DataError("The copy of the data set at hand has captions and no pictures.") from error
    return strip(images)


def strip(images: Sequence[Image.Image]) -> bytes:
    """Return pictures side by side as WebP, 96 pixels high."""
    small = [
        image.resize((round(image.width * THUMB_PX / image.height), THUMB_PX), Image.Resampling.BILINEAR)
        for image in images
    ]
    joined = Image.new("RGB", (sum(image.width for image in small), THUMB_PX))
    x = 0
    for image in small:
        joined.paste(image, (x, 0))
        x += image.width
    buffer = io.BytesIO()
    joined.save(buffer, format="WEBP", quality=85)
    return buffer.getvalue()


def variable(dataset: str) -> str:
    """Return the environment variable that names the folder of a data set."""
    return f"STORYBENCH_{dataset.upper()}"


def _dataset(benchmark: Benchmark) -> dict[str, Any]:
    """Return the configuration of the data set of a benchmark version.

    Raises:
        DataError: If it needs a folder and none is named.
    """
    file = resources.files("storybench_configs").joinpath("dataset", f"{benchmark.dataset}.yaml")
    content: Any = OmegaConf.to_container(OmegaConf.create(file.read_text()))
    config: dict[str, Any] = {**content, "frames": benchmark.frames}
    if benchmark.dataset == "toonsv":
        return config
    root = os.environ.get(variable(benchmark.dataset))
    if not root:
        raise DataError(
            f"{benchmark.title} is not installed here: start the board with {variable(benchmark.dataset)}=DIR, "
            "the folder of your copy."
        )
    return {**config, "root": root}
