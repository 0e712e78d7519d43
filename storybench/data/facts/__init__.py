"""Facts of the published data sets, read from JSON files beside this module: casts, label orders, pronouns, aliases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from storybench.story import Character


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before any file of it is read.

    Attributes:
        name: ``flintstones`` or ``pororo``.
        title: As papers write it.
        cast: The main characters in label order, with pronoun and aliases.
        others: Minor named characters: never scored or replaced, but a pronoun may mean them.
    """

    name: str
    title: str
    cast: tuple[Character, ...]
    others: tuple[Character, ...]


@cache
def load_facts(name: str) -> Facts:
    """Return the facts of data set ``name``."""
    raw = read_facts(name)
    return Facts(name, raw["title"], _characters(raw["cast"]), _characters(raw["others"]))


def read_facts(file: str) -> dict[str, Any]:
    """Return the JSON file ``file`` (without its ending) as plain data."""
    content: dict[str, Any] = json.loads(resources.files(__package__).joinpath(f"{file}.json").read_text("utf-8"))
    return content


def _characters(rows: list[dict[str, Any]]) -> tuple[Character, ...]:
    return tuple(Character(row["name"], row["pronoun"], tuple(row["aliases"])) for row in rows)
