"""Scored runs without networks: invented readings, scored by the metrics themselves, in the real files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from storybench.frames import write_atomic
from storybench.records.left_out import save_left_out
from storybench.records.record import Coverage, DatasetInfo, Environment, ModelInfo, RunRecord
from storybench.records.store import save_record
from storybench.reproduction.tables import KINDS, records, scored

NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve")
EVALUATOR = "invented-v1"


def invented_frames(stories: int = 60, wrong: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Return a frames table; what is asked depends on the story alone, what is read on ``seed``, too."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(stories):
        asked = np.random.default_rng([99, i])
        cast = asked.permutation(NAMES)[:3].tolist()
        for k in range(5):
            expected = sorted(cast[: asked.integers(1, 4)])
            seen = expected[1:] if rng.random() < wrong else expected
            place = "farm" if rng.random() < wrong / 2 else "beach"
            mention = {"surface": "she", "characters": [expected[0]], "distance": 1, "ambiguous": False}
            rows.append(
                {
                    "story": f"s{i:03d}",
                    "frame": k,
                    "cluster": f"s{i:03d}",
                    "expected": expected,
                    "predicted": seen,
                    "predicted_counts": json.dumps(dict.fromkeys(seen, 1)),
                    "setting_expected": "beach",
                    "setting_predicted": place,
                    "mentions": json.dumps([mention] if k else []),
                    "sha256": f"{i:03d}{k}{len(seen)}{place}".ljust(64, "0"),
                    "seconds": 0.1,
                }
            )
    return pd.DataFrame(rows)


def write_run(folder: Path, table: pd.DataFrame, **changes: object) -> Path:
    """Write a run folder with the three files that a comparison reads and return it."""
    metrics = [kind(EVALUATOR) for kind in KINDS]
    for story in records(table, NAMES):
        for metric in metrics:
            metric.update(story)
    stories = int(table["story"].nunique())
    record = RunRecord(
        fingerprint=hashlib.sha256(folder.name.encode()).hexdigest()[:16],
        fingerprint_version=1,
        benchmark_version="0.1.0",
        status="success",
        model=ModelInfo(name="invented"),
        dataset=DatasetInfo(name="toonsv", hash="d" * 64, stories=stories, frames=len(table)),
        split="test",
        text="referential",
        seed=0,
        scores={metric.name: metric.score(draws=200) for metric in metrics},
        coverage=Coverage(expected=len(table), ok=len(table), fraction=1.0),
        seconds_per_frame=0.1,
        batch_size=8,
        environment=Environment(python="3.11.0", platform="Linux", device="cpu", packages={"torch": "2.0"}),
        command="storybench run model=storygptv subset=test",
        started="2026-01-01T00:00:00+00:00",
    )
    save_record(record.model_copy(update=changes), folder)
    save_left_out(scored(table, NAMES), folder)
    write_atomic(folder / "frames.parquet", table.to_parquet(index=False))
    return folder
