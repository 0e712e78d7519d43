"""The model card: a YAML file that a person writes, read into :class:`storybench.board.entry.ModelCard`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import ValidationError

from storybench.board.entry import ModelCard
from storybench.errors import ConfigError

MAX_CARD = 256 << 10  # bytes
TEMPLATE = """\
# Who made the model, from what, and what it was shown. Delete what you do not need.
name: my-model                   # small letters, digits, - and _; the row of the board is called by it
title: My Model                  # for people; may be left out
version: "1"                     # give another whenever you hand in other frames under the same name
authors:
  - Given Family
licence: Apache-2.0              # SPDX id of the weights, or: proprietary
parameters: 170000000            # weights that draw, all parts together; leave out if unknown
training_data: ToonSV train, nothing else
saw_test_stories: false          # were stories or frames of the test split in the training data?
oracle_inputs: []                # what it is given beside captions and cast: [reference flags, first frame, boxes]
description: One sentence on how it works.
links:                           # https only; leave out what does not exist
  paper: https://example.org/paper
  code: https://example.org/code
seed: 0                          # of the run that is handed in; one run, named before it was scored
command: storybench run model=my-model seed=0   # the exact command that drew the frames
"""


class _PlainLoader(yaml.SafeLoader):
    """YAML without dates: a version or a title stays the text that was written."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":float"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_card(path: Path, defaults: dict[str, Any] | None = None) -> ModelCard:
    """Return the card of a YAML file.

    Args:
        path: The file; ``storybench submit card`` prints one to fill in.
        defaults: What a run's record knows, for keys that the card leaves out.

    Raises:
        ConfigError: If it is missing, not YAML or not a card; the sentence names every key to mend.
    """
    how = "storybench submit card > card.yaml prints one to fill in"
    try:
        if path.stat().st_size > MAX_CARD:
            raise ConfigError(f"'{path}' is larger than {MAX_CARD} bytes: a card is a page of YAML; {how}.")
        content = yaml.load(path.read_text("utf-8"), Loader=_PlainLoader)  # noqa: S506 - a child of the safe loader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"No readable card at '{path}' ({_first_line(error)}): {how}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"'{path}' is not a card: expected keys and values; {how}.")
    try:
        return ModelCard.model_validate({**(defaults or {}), **content})
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError(f"'{path}' is not a complete card: {'; '.join(wrong)}. {how.capitalize()}.") from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
