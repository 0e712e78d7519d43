"""What the tests of comparisons share: runs to compare, and the command."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from storybench.cli.main import main
from storybench.records.score import Score


def load_invented() -> ModuleType:
    """Load the module beside this file: test folders are no packages."""
    spec = importlib.util.spec_from_file_location("invented", Path(__file__).with_name("invented.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Said(NamedTuple):
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def storybench(capsys, monkeypatch, tmp_path) -> Callable[..., Said]:
    """Call ``storybench`` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Said:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return call


@pytest.fixture
def make_run(tmp_path) -> Callable[..., Path]:
    """Write a run of invented readings: ``make_run("base", wrong=0.1, seed=0, **changes of the record)``."""
    invented = load_invented()

    def make(name: str, *, stories: int = 60, wrong: float = 0.1, seed: int = 0, **changes: object) -> Path:
        return invented.write_run(tmp_path / name, invented.invented_frames(stories, wrong, seed), **changes)

    return make


@pytest.fixture
def without_score() -> Callable[..., dict[str, Score]]:
    """Return the scores of a run with one of them taken away, for a reason."""

    def take(scores: dict[str, Score], metric: str, reason: str = "no network") -> dict[str, Score]:
        gone = scores[metric].model_copy(update={"value": None, "low": None, "high": None, "reason": reason})
        return {**scores, metric: gone}

    return take
