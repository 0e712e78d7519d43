"""Which subset ``storybench data`` looks at."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from storybench.cli.config import DataConfig
from storybench.data.loading import default_subset, open_dataset
from storybench.errors import DataError
from storybench.story import Story

WHOLE = "all"


def open_subset(config: DataConfig) -> tuple[str, Sequence[Story]]:
    """Return the subset and its stories.

    Without ``subset=`` it is the data set's default; where the files of a data set do not say which stories those are,
    it is all of them, and a note on stderr says so.

    Raises:
        ConfigError: If the subset is unknown or the data set refuses its configuration.
        DataError: If the data root is missing or damaged.
    """
    if config.subset is not None:
        return config.subset, open_dataset(config.dataset, config.subset)
    subset = default_subset(config.dataset)
    try:
        return subset, open_dataset(config.dataset, subset)
    except DataError as error:
        if subset == WHOLE or WHOLE not in config.dataset["subsets"]:
            raise
        try:
            stories = open_dataset(config.dataset, WHOLE)
        except DataError:
            raise error from None
        print(f"{error} Taking subset={WHOLE}.", file=sys.stderr)
        return WHOLE, stories
