"""From a data set's configuration to its stories, with every wrong name said in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from storybench.coreference.selection import EVERY
from storybench.coreference.selection import TEXT as SELECTION_TEXT
from storybench.data.splits import selected
from storybench.errors import ConfigError, DataError, unknown
from storybench.story import Story

_META = {"_target_", "name", "subsets", "texts", "aliases", "root", "frames", "default_subset"}
DEFAULT_SUBSET = "test"


def text_mode(dataset: Mapping[str, Any], text: str) -> str:
    """Return the text mode that ``text`` means in a data set; its configuration may hold aliases.

    Raises:
        ConfigError: If the data set has no such text.
    """
    mode = str(dataset.get("aliases", {}).get(text, text))
    if mode not in dataset["texts"]:
        raise unknown("text", text, [*dataset["texts"], *dataset.get("aliases", {})], f"dataset {dataset['name']}")
    return mode


def default_subset(dataset: Mapping[str, Any]) -> str:
    """Return the subset that ``storybench data`` looks at unless another is asked for."""
    return str(dataset.get("default_subset") or DEFAULT_SUBSET)


def load_stories(dataset: Mapping[str, Any], subset: str, limit: int | None = None, select: str = EVERY) -> list[Story]:
    """Return the stories of a subset that a selection takes, the first ``limit`` of them if given.

    Args:
        dataset: Configuration of the data set (``configs/dataset``).
        subset: train, val, test, mini, ...
        limit: Number of stories; None for all.
        select: Which stories (:mod:`storybench.coreference.selection`); a split sets it.

    Raises:
        ConfigError: If the subset or the selection is unknown or a value is out of range.
        DataError: If the data root is missing, or there are no stories.
    """
    found = list(iterate_stories(dataset, open_dataset(dataset, subset), limit, select))
    if not found:
        raise no_stories(dataset, subset, select)
    return found


def iterate_stories(
    dataset: Mapping[str, Any], stories: Sequence[Story], limit: int | None = None, select: str = EVERY
) -> Iterator[Story]:
    """Yield the first ``limit`` stories that a selection takes, one at a time; none is kept.

    Raises:
        ConfigError: If the selection is unknown, needs a text that the data set has not, or ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: expected 1 or more stories, or null for all.")
    if select != EVERY:
        text_mode(dataset, SELECTION_TEXT)
    return islice(selected(stories, select), limit)


def no_stories(dataset: Mapping[str, Any], subset: str, select: str = EVERY) -> DataError:
    """Return the error for a subset, or a selection of it, that is empty."""
    if select == EVERY:
        return DataError(
            f"Subset {subset!r} of dataset {dataset['name']} has no stories here: no episode is long enough, or its "
            "clips have no captions; 'storybench data stats' with the same words counts what is there."
        )
    return DataError(
        f"Selection {select!r} takes no story of subset {subset!r} of dataset {dataset['name']}: "
        "give select=all or another split=."
    )


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
