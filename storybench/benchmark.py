"""Frozen benchmark versions: which stories, in which texts, at which size a row of the board is about.

``configs/benchmark/<name>.yaml`` states one. It never changes once rows exist; other stories are another version. What
cannot be fixed without the data set itself (FlintstonesSV and PororoSV are not shipped) is null there and is taken from
the copy at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict

from storybench.errors import unknown

PACKAGE = "storybench_configs"
DEFAULT_BENCHMARK = "toonsv-v1"


class Benchmark(BaseModel):
    """One frozen version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """``<data set>-v<number>``; the folder of its rows."""
    title: str
    """For people."""
    dataset: str
    subset: str
    select: str = "all"
    frames: int
    """Frames a story."""
    stories: int | None = None
    ids_sha256: str | None = None
    """Over the sorted story ids (:func:`storybench.data.splits.ids_sha256`)."""
    size: tuple[int, int] | None = None
    """Width and height of every frame in pixels; None: that of the true frames at hand."""
    texts: dict[str, str | None]
    """Text mode -> hash of what is asked and expected (:func:`storybench.records.fingerprint.data_hash`)."""
    about: str = ""

    def dataset_words(self, root: str | None = None) -> list[str]:
        """Return the Hydra words that choose its stories, without the text."""
        words = [f"dataset={self.dataset}", f"subset={self.subset}"]
        words += [f"select={self.select}"] if self.select != "all" else []
        words += [f"dataset.frames={self.frames}"] if self.frames != 5 else []  # the default of every adapter
        return words + ([f"dataset.root={root}"] if root is not None else [])


def benchmark_names() -> list[str]:
    """Return the versions there are, sorted."""
    folder = resources.files(PACKAGE).joinpath("benchmark")
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


@cache
def load_benchmark(name: str) -> Benchmark:
    """Return a version by name.

    Raises:
        ConfigError: If there is none.
    """
    if name not in (names := benchmark_names()):
        raise unknown("benchmark", name, names)
    text = resources.files(PACKAGE).joinpath("benchmark", f"{name}.yaml").read_text()
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(content, Mapping)
    return Benchmark.model_validate({"name": name, **content})
