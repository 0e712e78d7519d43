"""The shipped miniature behind the harness, as a user runs it: same frames again, after a kill, in other batches."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from storybench.cli.config import RunConfig, compose
from storybench.cli.flow import execute
from storybench.data.toonsv.dataset import ToonSV
from storygptv.visualizer import StoryGPTV
from storygptv.weights import SHIPPED

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "storybench.cli.main", "run", "subset=mini", "limit=6", "paired=false", "batch_size=2"]


def frames(root: Path) -> dict[str, bytes]:
    (run,) = [d for d in root.iterdir() if (d / "frames").is_dir()]
    return {f.relative_to(run).as_posix(): f.read_bytes() for f in sorted((run / "frames").rglob("*.png"))}


def scores(root: Path) -> dict[str, float]:
    (record,) = root.glob("*/record.json")
    return {k: v["value"] for k, v in json.loads(record.read_text())["scores"].items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    subprocess.run([*COMMAND, "model=storygptv", f"run_root={root}"], check=True, capture_output=True)
    return root


def test_shipped_weights_fit_in_40_megabytes_and_the_other_instruments_in_3():
    import storybench

    instruments = Path(storybench.__file__).parent / "perception" / "weights"
    files = [*SHIPPED.rglob("*.safetensors"), *(instruments / "toonsv_perceiver").rglob("*.safetensors")]
    assert len(files) >= 8
    assert sum(f.stat().st_size for f in files) <= 40e6
    others = [f for f in instruments.rglob("*.safetensors") if f.parent.name != "toonsv_perceiver"]
    assert len(others) == 2
    assert sum(f.stat().st_size for f in others) <= 3e6


def test_a_killed_run_continues_to_the_same_bytes_and_scores(whole, tmp_path):
    command = [*COMMAND, "model=storygptv", f"run_root={tmp_path}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("[0-9].png"))) <= 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    drawn = sorted(tmp_path.rglob("[0-9].png"))
    assert 10 < len(drawn) < 30
    finished = {f: f.stat().st_mtime_ns for f in drawn[:10]}  # the first group; the second was being written
    subprocess.run(command, check=True, capture_output=True)
    assert frames(tmp_path) == frames(whole)
    assert scores(tmp_path) == scores(whole)
    assert all(f.stat().st_mtime_ns == when for f, when in finished.items())  # nothing finished was drawn again


def test_the_same_run_elsewhere_gives_the_same_bytes(whole, tmp_path):
    subprocess.run([*COMMAND, "model=storygptv", f"run_root={tmp_path}"], check=True, capture_output=True)
    assert frames(tmp_path) == frames(whole)


@pytest.mark.parametrize("model", ["storygptv", "char_ldm"])
def test_batch_size_changes_no_score_beyond_rounding(model, tmp_path):
    found = []
    for size in (1, 5):
        words = [f"model={model}", "subset=mini", "limit=5", "paired=false", f"batch_size={size}"]
        finished = execute(compose("run", [*words, f"run_root={tmp_path / str(size)}"], RunConfig), ["run"])
        found.append({k: s for k, s in finished.record.scores.items() if s.value is not None})
    assert found[0].keys() == found[1].keys()
    for key, score in found[0].items():
        reach = 0.002 if score.fraction else 0.02 * max(abs(score.value), 1.0)  # rounding moves a pixel by one
        assert score.value == pytest.approx(found[1][key].value, abs=reach), key


def test_stories_of_unequal_length_are_drawn_as_if_alone():
    stories = [s.prompt("referential") for s in (ToonSV("mini", 5)[0], ToonSV("mini", 10)[1])]
    together = dict(StoryGPTV(num_inference_steps=3).visualize(stories, seed=1))
    for story in stories:
        ((_, alone),) = StoryGPTV(num_inference_steps=3).visualize([story], seed=1)
        assert len(alone) == len(story.captions)
        for a, b in zip(alone, together[story.id], strict=True):
            assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 3
