"""The files of every published layout, from ``facts/releases.json``, and which of them a folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storybench.data.facts import read_facts
from storybench.data.verifying.report import FileState
from storybench.errors import unknown


def release_facts(dataset: str) -> dict[str, Any]:
    """Return what ``releases.json`` says of a data set: ``counts``, ``layouts`` and their files.

    Raises:
        ConfigError: If it says nothing of it.
    """
    releases = read_facts("releases")
    if dataset not in releases:
        raise unknown("published data set", dataset, releases)
    facts: dict[str, Any] = releases[dataset]
    return facts


def file_states(layout: Mapping[str, Any], root: Path) -> tuple[FileState, ...]:
    """Return the files of a layout and which are there."""
    return tuple(
        FileState(
            " or ".join(file["paths"]),
            file["what"],
            file.get("published", layout["published"]),
            file["need"],
            any(_is_there(root, pattern) for pattern in file["paths"]),
            file.get("without", ""),
        )
        for file in layout["files"]
    )


def recognise(facts: Mapping[str, Any], root: Path) -> tuple[str, list[str]]:
    """Return the layout that a folder most looks like (empty if none), and the others that it holds, too.

    A layout scores by its files that are there. The richest wins, so that a release that lacks a required file is
    still told by the others; what several layouts share (the split file) decides only if nothing else does, and then
    the layout that lacks least.
    """
    shared = _shared(facts)
    complete: list[str] = []
    best, best_score = "", (0, 0, 0)
    for name, layout in facts["layouts"].items():
        states = file_states(layout, root)
        there = [p for file in layout["files"] for p in file["paths"] if _is_there(root, p)]
        own = sum(p not in shared for p in there)
        lacking = sum(state.need != "optional" and not state.present for state in states)
        score = (own, len(there), -lacking)
        if own and all(state.present for state in states if state.need == "required"):
            complete.append(name)
        if there and (not best or score > best_score):
            best, best_score = name, score
    return best, [name for name in complete if name != best]


def _shared(facts: Mapping[str, Any]) -> set[str]:
    paths = [p for layout in facts["layouts"].values() for file in layout["files"] for p in file["paths"]]
    return {path for path in paths if paths.count(path) > 1}


def _is_there(root: Path, pattern: str) -> bool:
    if "*" not in pattern:
        return (root / pattern).is_file()
    return next(root.glob(pattern), None) is not None
