"""Fixtures for the tests of submissions: small real archives, and a forge for those that lie."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def _load(name: str):
    """Import a helper that lies beside the tests, which are no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


archives = _load("submission_archives")


@pytest.fixture(scope="session")
def expected():
    """Two stories of the practice set, as a benchmark version of their own."""
    return archives.few_stories()


@pytest.fixture(scope="session")
def frames():
    """File name -> PNG of a model that draws true frames mirrored, which no true frame is."""
    return archives.mirrored_frames(archives.STORIES)


@pytest.fixture
def good(expected, frames) -> bytes:
    """An archive without an error."""
    return archives.zipped(archives.parts_of(expected, frames))


@pytest.fixture(scope="session")
def own_record():
    """Make a submitter's own record of what an archive is about, as plain data."""

    def make(expected, **scores: float) -> dict:
        from storybench.records.environment import environment
        from storybench.records.record import Coverage, DatasetInfo, ModelInfo, RunRecord
        from storybench.records.score import Score

        total = expected.frames
        values = scores or {"char_acc": 0.5}
        record = RunRecord(
            fingerprint="0" * 16,
            fingerprint_version=1,
            benchmark_version="0.1.0",
            status="success",
            model=ModelInfo(name="mirror"),
            dataset=DatasetInfo(name="toonsv", hash=expected.data_hash, stories=len(expected.counts), frames=total),
            split="mini",
            text=expected.text,
            seed=0,
            scores={
                name: Score(value=value, n=total, higher_is_better=True, protocol=f"{name}/v1@toonsv-perceiver-v1")
                for name, value in values.items()
            },
            coverage=Coverage(expected=total, ok=total, fraction=1.0),
            seconds_per_frame=0.25,
            batch_size=1,
            environment=environment("cpu"),
            command="python mirror.py",
            started="2026-01-01T00:00:00+00:00",
            ended="2026-01-01T00:10:00+00:00",
        )
        return record.model_dump(mode="json")

    return make
