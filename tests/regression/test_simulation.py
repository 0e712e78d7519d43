"""The simulation that docs/gate.md quotes: its parts, and the whole with the synthetic pair."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from storybench.regression.gate import load_gate

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gate.py"
RESULT = SCRIPT.parent / "results" / "gate.json"


@pytest.fixture(scope="module")
def gate():
    spec = importlib.util.spec_from_file_location("benchmark_gate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_planted_losses_lower_char_acc_by_what_was_asked(gate):
    pair, rng = gate.synthetic_pair(stories=300), np.random.default_rng(0)
    right = np.mean([r.expected_set == r.reading.characters for story in pair.new for r in story])
    spoilt = [gate.spoilt(story, rng, 0.1 / right) or story for story in pair.new]
    after = np.mean([r.expected_set == r.reading.characters for story in spoilt for r in story])
    assert right - after == pytest.approx(0.1, abs=3 * np.sqrt(0.1 * 0.9 / 1500))
    kept = sum(r is s for before, now in zip(pair.new, spoilt, strict=True) for r, s in zip(before, now, strict=True))
    assert kept == pytest.approx(1500 * 0.9, abs=60)
    assert gate.spoilt(pair.new[0], rng, 0.0) is None


def test_a_large_planted_loss_is_caught_and_none_is_not(gate):
    pair = gate.synthetic_pair(stories=200)
    planted = gate.simulate(pair, load_gate(), 200, 0.15, 10, 0)
    null = gate.simulate(pair, load_gate(), 200, 0.0, 10, 0)
    assert planted["alarms"] == 10
    assert null["alarms"] <= 1
    assert planted["mean_difference"]["char_acc"] == pytest.approx(-0.15, abs=0.02)
    assert sum(planted["verdicts"]["char_acc"].values()) == 10


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 200, 0.0, 0.0183), (10, 200, 0.0242, 0.09), (200, 200, 0.9817, 1.0)]
)
def test_binomial_intervals_are_those_of_clopper_and_pearson(gate, hits, n, low, high):
    assert gate.binomial(hits, n) == pytest.approx((low, high), abs=5e-4)


def test_the_published_record_is_of_the_shipped_gate_and_passes():
    result = json.loads(RESULT.read_text())
    assert result["gate"] == load_gate("default").model_dump(mode="json")
    assert result["passed"]
    whole = max(run["stories"] for run in result["null"])
    null, planted = (next(r for r in result[kind] if r["stories"] == whole) for kind in ("null", "planted"))
    assert (null["simulations"], whole) == (200, 500)
    assert null["rate"] <= 0.05
    assert planted["rate"] >= 0.95
    assert planted["loss"] == 0.03
    for metric in result["pair"].values():
        assert metric["margin"] >= metric["minimum_detectable_difference"]
    for side in ("base", "new"):
        assert result["inputs"][side]["fingerprint"]


def test_the_page_shows_the_tables_of_the_record(gate):
    page = (SCRIPT.parents[1] / "docs" / "gate.md").read_text()
    for table in gate.tables(json.loads(RESULT.read_text())).values():
        assert table in page


@pytest.mark.slow
def test_the_script_runs_without_runs(tmp_path):
    out = tmp_path / "gate.json"
    command = [sys.executable, str(SCRIPT), "--simulations", "20", "--sizes", "32", "500", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    result = json.loads(out.read_text())
    assert done.returncode == (0 if result["passed"] else 1), done.stderr
    assert result["inputs"]["base"]["model"] == "synthetic"
    assert result["null"][1]["rate"] <= 0.1
    assert result["planted"][1]["rate"] > result["planted"][0]["rate"]
