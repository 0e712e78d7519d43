"""From a data set's configuration to its stories, with every wrong name said in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from storybench.errors import ConfigError, DataError, unknown
from storybench.story import Story

_META = {"_target_", "name", "subsets", "texts", "aliases", "root", "frames"}


def text_mode(dataset: Mapping[str, Any], text: str) -> str:
    """Return the text mode that ``text`` means in a data set; its configuration may hold aliases.

    Raises:
        ConfigError: If the data set has no such text.
    """
    mode = str(dataset.get("aliases", {}).get(text, text))
    if mode not in dataset["texts"]:
        raise unknown("text", text, [*dataset["texts"], *dataset.get("aliases", {})], f"dataset {dataset['name']}")
    return mode


def load_stories(dataset: Mapping[str, Any], subset: str, limit: int | None = None) -> list[Story]:
    """Return the stories of a subset, the first ``limit`` of them if given.

    Args:
        dataset: Configuration of the data set (``configs/dataset``).
        subset: train, val, test, mini, ...
        limit: Number of stories; None for all.

    Raises:
        ConfigError: If the subset is unknown or a value is out of range.
        DataError: If the data root is missing, or there are no stories.
    """
    stories = open_dataset(dataset, subset)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: expected 1 or more stories, or null for all.")
    count = len(stories) if limit is None else min(limit, len(stories))
    if not count:
        raise DataError(f"Subset {subset!r} of dataset {dataset['name']} has no stories.")
    return [stories[i] for i in range(count)]


def open_dataset(dataset: Mapping[str, Any], subset: str) -> Sequence[Story]:
    """Return a subset as a sequence of stories, each made when it is asked for.

    Raises:
        ConfigError: If the subset is unknown or the adapter refuses a value.
        DataError: If the data root is missing.
    """
    if subset not in dataset["subsets"]:
        raise unknown("subset", subset, dataset["subsets"], f"dataset {dataset['name']}")
    root = dataset.get("root")
    if root is not None and not Path(root).is_dir():
        raise DataError(
            f"No data at '{root}': dataset {dataset['name']} expects its root folder there; "
            "give dataset.root=DIR of an existing one."
        )
    adapter = get_object(str(dataset["_target_"]))
    options = {key: value for key, value in dataset.items() if key not in _META}
    if root is not None:
        options["root"] = Path(root)
    if dataset.get("frames") is not None:
        options["frames"] = dataset["frames"]
    accepted = inspect.signature(adapter).parameters
    if surplus := [key for key in options if key not in accepted]:
        raise unknown("key", surplus[0], accepted, f"dataset {dataset['name']}")
    try:
        stories: Sequence[Story] = adapter(subset, **options)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"Dataset {dataset['name']} refuses its configuration: {error}.".replace("..", ".")
        ) from error
    return stories


def frame_size(stories: Sequence[Story]) -> tuple[int, int] | None:
    """Return width and height in pixels of the true frames, from the first; None if the data set has no pictures."""
    first = stories[0].frames[0]
    return None if first.load is None else first.image.size
