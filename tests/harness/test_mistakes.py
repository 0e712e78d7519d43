"""Every mistake of a user ends in one sentence and exit status 2, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from storybench.data.toonsv.dataset import ToonSV
from storybench.frames import FrameStore

NOISE = "model._target_=noise_model.NoiseModel"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("rnu", "Unknown command 'rnu'. Did you mean: run"),
        ("run model=storygpt", "Unknown model 'storygpt'. Did you mean: storygptv"),
        ("run split=referental", "Unknown split 'referental'. Did you mean: referential"),
        ("run split=test", "Subsets are chosen with subset="),
        ("run subset=tets", "Unknown subset 'tets' of dataset toonsv. Did you mean: test"),
        ("run text=explict", "Unknown text 'explict' of dataset toonsv. Did you mean: explicit"),
        ("run dataset=tonsv", "Unknown dataset 'tonsv'. Did you mean: toonsv"),
        ("run sed=1", "Unknown key 'sed'. Did you mean: seed"),
        ("run +sed=1", "Unknown key 'sed'. Did you mean: seed"),
        ("run model=folder model.frame=x", "Unknown key 'model.frame'. Did you mean: model.frames"),
        (
            "run model=folder +model.frame=x model.frames=y",
            "Unknown key 'frame' of baselines.folder.Folder. Did you mean: frames",
        ),
        ("run dataset.frmes=6", "Unknown key 'dataset.frmes'. Did you mean: dataset.frames"),
        ("run +dataset.frmes=6", "Unknown key 'frmes' of dataset toonsv. Did you mean: frames"),
        ("run seed=abc", "'abc'"),
        ("run limit=0", "limit is 0"),
        ("run batch_size=0 model=ground_truth limit=1", "batch_size is 0"),
        ("run dataset.frames=0", "frames"),
        ("run format=jsno", "Unknown format 'jsno'. Did you mean: json"),
        ("run nonsense", "nonsense"),
        ("run model=folder", "model.frames needs a value"),
        ("run model=folder model.frames=nowhere", "No folder of frames at 'nowhere'"),
        ("run dataset.root=nowhere", "No data at 'nowhere'"),
        ("run --config-dir nowhere", "No configuration folder at 'nowhere'"),
        ("run model._target_=no.such.Class", "no.such.Class"),
        ("run model._target_=noise_model.NoClass", "noise_model.NoClass"),
        ("run model._target_=noise_model.NotAModel", "NotAModel is not a model"),
        (f"run {NOISE} +model.delya=1", "Unknown key 'delya' of noise_model.NoiseModel. Did you mean: delay"),
        (f"run {NOISE} +model.size=64 limit=1", "64 x 64 pixels, expected 128 x 128"),
        ("evaluate", "frames needs a value"),
        ("evaluate frames=nowhere", "No folder of frames at 'nowhere'"),
        ("evaluate frames=nowhere +subst=mini", "Unknown key 'subst'. Did you mean: subset"),
        ("evaluate frames=nowhere --fast", "Unknown flag '--fast'"),
        ("draw", "Expected one story"),
        ("draw ... model=ground_truth", "no sentence"),
        ("draw Zara. model=ground_truth", "cannot draw a new story"),
        ("draw Zara. modle=ground_truth", "Unknown key 'modle'. Did you mean: model"),
        ("data", "stats|export"),
        ("data stat", "Unknown data command 'stat'. Did you mean: stats"),
        ("data stats subset=tets", "Unknown subset 'tets'"),
        ("train", "model needs a value"),
        ("train model=perciever", "Unknown model to train 'perciever'. Did you mean: perceiver"),
        ("train model=perceiver stage=toon", "Unknown stage 'toon' of model perceiver. Did you mean: toonsv"),
        ("train model=perceiver stpes=3", "Unknown key 'stpes'. Did you mean: steps"),
        (
            "train model=perceiver +stpes=3",
            "Unknown key 'stpes' of storybench.perception.training.train. Did you mean: steps",
        ),
        ("list modles", "Unknown kind 'modles'. Did you mean: models"),
        ("list fromat=json", "Unknown key 'fromat'. Did you mean: format"),
        ("demo models=[storygptvv] limit=2", "Unknown model 'storygptvv'"),
        ("demo strips=0", "strips is 0"),
    ],
)
def test_mistake_is_said_in_one_sentence(refuses, tmp_path, words, sentence):
    assert sentence in refuses(*words.split(" "))
    assert not list(tmp_path.rglob("*.png"))


@pytest.fixture(scope="module")
def stories():
    return list(ToonSV("mini", size=2))


@pytest.fixture
def frames(tmp_path, stories) -> Path:
    """A folder made elsewhere: true frames of two stories."""
    store = FrameStore.of_run(tmp_path / "made")
    store.commit({s.id: [f.image for f in s.frames] for s in stories}, dict.fromkeys([s.id for s in stories], 0.0))
    store.manifest.unlink()
    return store.frames_dir


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shrink(path: Path) -> None:
    Image.open(path).resize((64, 64)).save(path)


def make_grey(path: Path) -> None:
    Image.open(path).convert("L").save(path)


@pytest.mark.parametrize("command", [("evaluate", "frames={}"), ("run", "model=folder", "model.frames={}")])
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (Path.unlink, "1/3.png is missing"),
        (truncate, "1/3.png cannot be decoded"),
        (shrink, "1/3.png is 64 x 64 pixels, expected 128 x 128"),
        (make_grey, "1/3.png is L, expected RGB"),
        (lambda p: p.with_name("9.png").write_bytes(b""), "1/9.png is not expected"),
    ],
)
def test_damaged_folder_is_named(refuses, tmp_path, frames, stories, command, damage, sentence):
    damage(frames / stories[1].id / "3.png")
    words = [word.format(frames) for word in command]
    assert sentence in refuses(*words, "subset=mini", "limit=2")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: {**r, "schema_version": 99}, "has record schema 99, newer than"),
        (lambda r: {**r, "scores": {"char_f1": 1}}, "not a valid run record: scores.char_f1"),
        (lambda r: {"made": "by another program"}, "is not a run record"),
    ],
)
def test_record_that_cannot_be_read_is_named(storybench, refuses, tmp_path, change, sentence):
    words = ("run", "model=ground_truth", "subset=mini", "limit=1")
    assert storybench(*words).status == 0
    (record,) = (tmp_path / "runs").glob("*/record.json")
    record.write_text(json.dumps(change(json.loads(record.read_text()))))
    before = record.read_bytes()
    assert sentence in refuses(*words)
    assert record.read_bytes() == before


def test_a_bug_of_a_model_keeps_its_traceback(tmp_path):
    """What the user cannot mend is no sentence: hiding where it broke would help nobody."""
    (tmp_path / "broken_model.py").write_text(
        "class Broken:\n"
        "    def identity(self): return {'name': 'broken'}\n"
        "    def visualize(self, stories, *, seed): raise ZeroDivisionError('deep inside')\n"
    )
    words = [sys.executable, "-m", "storybench.cli.main", "run", "model._target_=broken_model.Broken", "limit=1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 1
    assert "deep inside" in done.stderr
    (record,) = (tmp_path / "runs").glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "error"
