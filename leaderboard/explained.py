"""What each metric says: in a few words, in which group, by which formula, and where it fails.

Words and groups come from ``configs/metrics``; formulas from the tables of ``docs/metrics.md``, which a checkout has
and an installed wheel has not: without it the formulas are left out, and :func:`document` says so by returning None.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

CHECKOUT = Path(__file__).resolve().parents[1]
GROUPS = {
    "characters": "Characters",
    "settings": "Settings",
    "reference": "Reference resolution",
    "consistency": "Consistency across frames",
    "distribution": "Distributions",
    "captions": "Captions",
    "peers": "The peers' metrics",
}
CORE = "core"  # the columns that the board shows unless others are asked for
_CELL = re.compile(r"(?<!\\)\|")  # a bar that no backslash escapes


class Explained(NamedTuple):
    """One metric in words. ``formula``, ``reading`` and ``failure`` are empty where their page is not here."""

    name: str
    about: str
    group: str
    formula: str
    reading: str
    failure: str


@cache
def group_members(group: str) -> tuple[str, ...]:
    """Return the metrics of a group of ``configs/metrics`` in order."""
    return tuple(_config(group))


@cache
def explanations() -> dict[str, Explained]:
    """Return metric -> what it says, for every metric, in the order of the records."""
    group_of = {name: group for group in GROUPS for name in group_members(group)}
    cells = _documented()
    return {
        name: Explained(name, str(entry["about"]), group_of.get(name, "peers"), *cells.get(name, ("", "", "")))
        for name, entry in _config("all").items()
    }


def headline() -> tuple[str, ...]:
    """Return the metrics that the board shows by default."""
    return group_members(CORE)


def document(*parts: str) -> Path | None:
    """Return a file of the checkout such as ``docs/metrics.md``; None where the package was installed without it."""
    path = CHECKOUT.joinpath(*parts)
    return path if path.is_file() else None


def _documented() -> dict[str, tuple[str, str, str]]:
    """Return metric -> (formula, how to read it, known failure) of the tables in ``docs/metrics.md``."""
    page = document("docs", "metrics.md")
    found: dict[str, tuple[str, str, str]] = {}
    for line in page.read_text().splitlines() if page else ():
        cells = [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]
        if len(cells) != 4 or not cells[0].startswith("`"):  # other tables have other widths
            continue
        for name in re.findall(r"`([a-z0-9_]+)`", cells[0]):
            found.setdefault(name, (cells[1], cells[2], cells[3]))
    return found


def _config(name: str) -> dict[str, Any]:
    text = resources.files("storybench_configs").joinpath("metrics", f"{name}.yaml").read_text()
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    return {str(key): value for key, value in content.items()}
