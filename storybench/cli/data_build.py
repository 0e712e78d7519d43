"""``storybench data build``: a release in the canonical Parquet form."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from storybench.cli.config import DataConfig
from storybench.cli.data_subset import WHOLE, open_subset
from storybench.cli.table import print_json
from storybench.data.parquet_build import Pictures, build_clips, build_toonsv
from storybench.data.stories import ClipStories
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError, unknown

PICTURES: dict[str, Pictures] = {"frame": "frame", "all": "all", "none": "none"}


def main(config: DataConfig) -> int:
    """Build ``out``; without ``subset=`` the whole release where the data set has such a subset."""
    if config.out is None:
        raise ConfigError("out needs a value: give out=DIR, the folder to make.")
    if config.limit is not None or config.select != WHOLE:
        raise ConfigError("A build holds whole subsets: choose stories with split= and limit= when reading it back.")
    if config.pictures not in PICTURES:
        raise unknown("choice of pictures", config.pictures, PICTURES)
    out, pictures = Path(config.out), PICTURES[config.pictures]
    if config.subset is None and WHOLE in config.dataset["subsets"]:
        config = replace(config, subset=WHOLE)
    subset, stories = open_subset(config)
    if isinstance(stories, ClipStories):
        options = {key: value for key, value in config.dataset.items() if key in ("frames", "frame", "rule", "seed")}
        manifest = build_clips(stories, out, options, pictures, _tracked)
    elif isinstance(stories, ToonSV):
        images = pictures != "none"
        manifest = build_toonsv(subset, stories.frames, stories.size, stories.seed, out, images, _tracked)
    else:
        raise ConfigError(f"Dataset {config.dataset['name']} has no Parquet form: its stories are not made of clips.")
    if config.format == "json":
        print_json(manifest)
    else:
        print(f"{manifest['stories']} stories in {out}, content {manifest['content_sha256'][:16]}")
    return 0


def _tracked(items: Iterable[Any], total: int, label: str) -> Iterable[Any]:
    """Show on a terminal how far a table is."""
    from rich.console import Console
    from rich.progress import track

    screen = Console(stderr=True)
    return track(items, label, total=total, console=screen, disable=not sys.stderr.isatty(), transient=True)
