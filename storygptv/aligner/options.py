"""``key=value`` words of a command line as the fields of a config class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any


def parse_options(kind: type, words: Sequence[str]) -> dict[str, Any]:
    """Read words such as ``steps=100``.

    Args:
        kind: A dataclass whose annotations are text (``from __future__ import annotations``).
        words: What follows the command.

    Raises:
        SystemExit: If a key is not a field.
    """
    known = {f.name: str(f.type) for f in fields(kind)}
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in known:
            raise SystemExit(f"unknown key {key!r}: expected one of {', '.join(known)}")
        if known[key] == "bool":
            options[key] = value.lower() in ("1", "true", "yes")
        else:
            options[key] = {"int": int, "float": float}.get(known[key], str)(value)
    return options
