"""What an archive of a benchmark version must hold: stories, counts, sizes, and the pictures no model may hand in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from storybench.benchmark import PACKAGE, Benchmark
from storybench.data.loading import frame_size, load_stories, text_mode
from storybench.data.splits import ids_sha256
from storybench.errors import ConfigError, DataError, unknown
from storybench.records.fingerprint import data_hash
from storybench.story import Story
from storybench.submission.known_frames import Hashes, hashes_of, toonsv_frames

FRAMES_IN_TABLE = 5  # a story, of the shipped hashes


@dataclass(frozen=True)
class Expectation:
    """One benchmark version in one text, as this installation knows it."""

    benchmark: Benchmark
    text: str
    data_hash: str
    ids_sha256: str
    counts: Mapping[str, int]
    """Story id -> frames."""
    size: tuple[int, int] | None
    """Width and height of every frame in pixels; None accepts any."""
    truth: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of the true frames."""
    training: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Of the frames that models are trained on."""

    @property
    def frames(self) -> int:
        """Number of frames of all stories."""
        return sum(self.counts.values())


def expectation(benchmark: Benchmark, text: str, root: Path | None = None) -> Expectation:
    """Return what an archive must hold.

    Args:
        benchmark: The version.
        text: Text mode, or a name that the data set has for one.
        root: Folder of the data set, for those that are not shipped.

    Raises:
        ConfigError: If the version has no such text.
        DataError: If the data set is not here, or is not that of the version.
    """
    dataset = dataset_config(benchmark, root)
    mode = text_mode(dataset, text)
    if mode not in benchmark.texts:
        raise unknown("text", text, benchmark.texts, f"benchmark {benchmark.name}")
    stories = benchmark_stories(benchmark, root)
    hashed, ids = data_hash(stories, mode), ids_sha256(story.id for story in stories)
    for what, found, stated in (("ids", ids, benchmark.ids_sha256), ("data", hashed, benchmark.texts[mode])):
        if stated is not None and found != stated:
            raise DataError(
                f"The stories here are not those of {benchmark.name}: hash of {what} {found[:12]}..., expected "
                f"{stated[:12]}...: install the version of storybench that the benchmark belongs to."
            )
    counts = {story.id: len(story.frames) for story in stories}
    size = benchmark.size or frame_size(stories)
    return Expectation(benchmark, mode, hashed, ids, counts, size, *_known(benchmark, stories))


def benchmark_stories(benchmark: Benchmark, root: Path | None = None) -> list[Story]:
    """Return the stories of a benchmark version.

    Raises:
        DataError: If the data set is not here.
    """
    return load_stories(dataset_config(benchmark, root), benchmark.subset, select=benchmark.select)


def dataset_config(benchmark: Benchmark, root: Path | None = None) -> dict[str, Any]:
    """Return the configuration of the data set of a benchmark version.

    Raises:
        ConfigError: If the data set must be brought and no folder is given.
    """
    text = resources.files(PACKAGE).joinpath("dataset", f"{benchmark.dataset}.yaml").read_text()
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    if root is None and benchmark.dataset != "toonsv":
        raise ConfigError(f"{benchmark.name} needs your copy of its data set: give dataset.root=DIR.")
    content["frames"] = benchmark.frames
    return {**content, "root": None if root is None else str(root)}


def _known(benchmark: Benchmark, stories: list[Story]) -> tuple[Hashes, Hashes]:
    """Return hashes of the true frames and of those for training, as far as they are known."""
    if benchmark.dataset == "toonsv" and benchmark.frames == FRAMES_IN_TABLE:
        table = toonsv_frames()
        return table[benchmark.subset], table["train"]
    return hashes_of(stories), np.zeros(0, np.uint64)
