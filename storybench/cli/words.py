"""The words of commands that Hydra does not compose: names first, then ``key=value``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from storybench.errors import ConfigError, unknown

_OPTION = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)


def names_and_options(
    arguments: Sequence[str], keys: Mapping[str, Sequence[str] | None], count: int, usage: str
) -> tuple[list[str], dict[str, str]]:
    """Return the names and the options that were given.

    Args:
        arguments: The words after the command.
        keys: Option -> its choices, None where any value will do.
        count: How many names are expected.
        usage: First line of the help, for when the number is wrong.

    Raises:
        ConfigError: If a key, a choice or a flag is unknown, a key is given twice, or the number of names is wrong.
    """
    names: list[str] = []
    options: dict[str, str] = {}
    for word in arguments:
        found = _OPTION.fullmatch(word)
        if found is None or (found[1] not in keys and Path(word).exists()):  # a path may hold a "="
            if word.startswith("-"):
                raise ConfigError(f"Unknown flag {word!r}. Expected: {usage.removeprefix('usage: ')}")
            names.append(word)
            continue
        key, value = found.groups()
        if key not in keys:
            raise unknown("key", key, keys)
        if key in options:
            raise ConfigError(f"{key} is given twice: {options[key]} and {value}.")
        if not value:
            raise ConfigError(f"{key} needs a value: give {key}=...")
        choices = keys[key]
        if choices is not None and value not in choices:
            raise unknown(f"value of {key}", value, choices)
        options[key] = value
    if len(names) != count:
        given = ", ".join(repr(name) for name in names) or "none"
        raise ConfigError(f"Expected {count} name{'s' * (count != 1)}, got {given}: {usage.removeprefix('usage: ')}")
    return names, options
