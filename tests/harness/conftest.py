"""Helpers to call the real command, in this process or in one of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from storybench.cli.main import main

THIRD_PARTY = Path(__file__).parent / "third_party"


class Said(NamedTuple):
    """What a command said and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def storybench(capsys, monkeypatch, tmp_path) -> Callable[..., Said]:
    """Call ``storybench`` in this process, in an empty folder, with the third party's module to be found."""
    monkeypatch.syspath_prepend(str(THIRD_PARTY))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Said:
        capsys.readouterr()
        status = main(list(words))
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return call


@pytest.fixture
def spawn(tmp_path) -> Callable[..., subprocess.Popen[str]]:
    """Start ``storybench`` as a process of its own, in an empty folder."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(THIRD_PARTY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "storybench.cli.main", *words]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def refuses(storybench) -> Callable[..., str]:
    """Assert that a command ends in status 2 with one sentence on stderr, nothing on stdout; return the sentence."""

    def call(*words: str) -> str:
        said = storybench(*words)
        assert said.status == 2
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if line]
        assert len(lines) == 1, said.err
        assert "Traceback" not in said.err
        return lines[0]

    return call


@pytest.fixture(scope="session")
def third_party() -> Path:
    """The folder with a third party's models and configurations."""
    return THIRD_PARTY


@pytest.fixture
def hashes() -> Callable[[Path], dict[str, str]]:
    """Hash every file below a folder."""
    return _hashes


def _hashes(folder: Path) -> dict[str, str]:
    """Return relative path -> SHA-256 of every file below ``folder``."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
