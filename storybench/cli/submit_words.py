"""Words of ``storybench submit``: files by place, the rest as ``key=value``. No Hydra: paths may hold anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from storybench.cli.config import FORMATS
from storybench.errors import ConfigError, unknown


@dataclass(frozen=True)
class Words:
    """What a subcommand was asked for."""

    action: str
    files: tuple[Path, ...]
    values: dict[str, str]

    def path(self, key: str) -> Path | None:
        """Return a value as a path, or None if it was not given."""
        return Path(self.values[key]) if key in self.values else None

    def needed(self, key: str, example: str) -> str:
        """Return a value that must be given.

        Raises:
            ConfigError: If it was not.
        """
        if key not in self.values:
            raise ConfigError(f"storybench submit {self.action} needs {key}=..., such as {key}={example}.")
        return self.values[key]

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        """Return one of several values.

        Raises:
            ConfigError: If another was given.
        """
        value = self.values.get(key, default)
        if value not in choices:
            raise unknown(key, value, choices)
        return value

    @property
    def as_json(self) -> bool:
        """Whether JSON alone is printed."""
        return self.choice("format", FORMATS, "table") == "json"


def parse(action: str, words: Sequence[str], files: Sequence[str], keys: Collection[str]) -> Words:
    """Return the words of a subcommand, checked.

    Args:
        action: Its name.
        words: What was typed after it.
        files: What the files are called, in order; all must be given.
        keys: Keys that it takes.

    Raises:
        ConfigError: If a key is unknown or given twice, or a file is missing or one too many.
    """
    found: list[Path] = []
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in keys:
            if key in values:
                raise ConfigError(f"{key}= is given twice: {values[key]!r} and {value!r}.")
            values[key] = value
        elif word.startswith("-"):
            raise ConfigError(f"Unknown flag {word!r}: expected files and key=value words.")
        elif equals and not Path(word).exists():
            raise unknown("key", key, keys, f"storybench submit {action}")
        else:
            found.append(Path(word))
    if len(found) != len(files):
        expected = " and ".join(files) if files else "no file"
        given = ", ".join(map(str, found)) or "none"
        raise ConfigError(f"storybench submit {action} takes {expected}; given: {given}.")
    return Words(action, tuple(found), values)
