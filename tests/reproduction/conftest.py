"""What the tests of reproduction share: invented runs, a third party's model by name, and the command."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from storybench.cli.main import main

TESTS = Path(__file__).resolve().parents[1]


class Said(NamedTuple):
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def invented() -> ModuleType:
    """The module that makes runs without networks."""
    spec = importlib.util.spec_from_file_location("invented", TESTS / "regression" / "invented.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def storybench(capsys, monkeypatch, tmp_path) -> Callable[..., Said]:
    """Call ``storybench`` in this process, in an empty folder, with a third party's model ``noise`` installed."""
    package = tmp_path / "package" / "noise-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: noise\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[storybench.models]\nnoise = noise_model:NoiseModel\n")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.syspath_prepend(str(TESTS / "harness" / "third_party"))
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Said:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return call
