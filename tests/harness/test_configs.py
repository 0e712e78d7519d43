"""Every configuration composes, names things that exist, and reaches users of a wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hydra.utils import get_object

from storybench.cli.config import (
    DataConfig,
    DemoConfig,
    DrawConfig,
    EvaluateConfig,
    RunConfig,
    choices,
    compose,
    compose_tree,
)
from storybench.cli.list_ import inventory
from storybench.cli.main import COMMANDS
from storybench.cli.train import _primary, stages
from storybench.evaluation import METRICS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
NEEDS = {"folder": ["model.frames=x"], "custom": ["model._target_=x.Y"]}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_head_comment_tells_what_it_is_for(path):
    comments = [line for line in path.read_text().splitlines()[:2] if line.startswith("# ") and "@package" not in line]
    assert comments


@pytest.mark.parametrize("model", choices("model"))
def test_every_model_composes(model):
    config = compose("run", [f"model={model}", *NEEDS.get(model, [])], RunConfig)
    assert config.model["_target_"]


@pytest.mark.parametrize(("command", "schema"), [("data", DataConfig), ("demo", DemoConfig)])
def test_commands_have_defaults(command, schema):
    compose(command, [], schema)


def test_draw_and_evaluate_take_what_they_need():
    assert compose("draw", ["story=x"], DrawConfig).model["_target_"]
    assert compose("evaluate", ["frames=x"], EvaluateConfig).dataset["name"] == "toonsv"


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_experiments_compose(experiment):
    compose("run", [f"experiment={experiment}", "model=shuffled"], RunConfig)


@pytest.mark.parametrize("split", choices("split"))
def test_splits_compose(split):
    compose("run", [f"split={split}", "experiment=mini", "model=shuffled"], RunConfig)


@pytest.mark.parametrize(("model", "stage"), [(m, s) for m, names in stages().items() for s in names])
def test_every_stage_names_a_function_that_exists(model, stage):
    node = compose_tree(_primary(model, stage), [])
    assert callable(get_object(node._target_))


def test_metrics_listed_are_the_metrics_computed():
    assert [row["name"] for row in inventory(["metrics"])["metrics"]] == list(METRICS)


def test_list_loads_nothing_heavy():
    """`storybench list` answers at once: no torch, no pandas, no models."""
    code = (
        "import sys; from storybench.cli.main import main; main(['list']);"
        "print([m for m in ('torch', 'pandas', 'diffusers', 'scipy') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for kind in ("models", "datasets", "splits", "metrics", "stages", "ground_truth", "toonsv"):
        assert kind in done.stdout


def test_list_marks_what_is_missing(storybench, monkeypatch):
    rows = json.loads(storybench("list", "models", "format=json").out)["models"]
    assert {row["name"]: row["missing"] for row in rows}["ground_truth"] is None
    from storybench.cli.list_ import _missing

    assert _missing({"_target_": "no_such_package.Model"}) == "module no_such_package is not installed"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(storybench, command):
    said = storybench(command, "--help")
    assert said.status == 0
    assert said.out


def test_help_names_every_command(storybench):
    assert all(name in storybench().out for name in COMMANDS)


def test_constraints_are_versions_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        r for e in ("dev", "masks", "leaderboard") for r in project["optional-dependencies"][e]
    ]
    names = {r.split(">")[0].split("[")[0].lower().replace("_", "-") for r in wanted}
    assert names <= pinned


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The project's wheel, built from a copy so that the checkout stays clean."""
    copy, out = tmp_path_factory.mktemp("copy") / "project", tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns(".git", ".venv", "runs", "work", "__pycache__", "build", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=skipped)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = out.glob("*.whl")
    return found


@pytest.mark.slow
def test_wheel_holds_configurations_weights_and_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"storybench_configs/{p.relative_to(ROOT / 'configs').as_posix()}" for p in CONFIGS} <= names
    assert "storybench/py.typed" in names
    shipped = [
        p for package in ("storybench", "storygptv", "baselines") for p in (ROOT / package).rglob("*.safetensors")
    ]
    assert {p.relative_to(ROOT).as_posix() for p in shipped} <= names
    assert not any(n.startswith(("tests", "configs/", "runs")) for n in names)


@pytest.mark.slow
def test_installed_wheel_runs_outside_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    words = [
        sys.executable,
        "-m",
        "storybench.cli.main",
        "run",
        "model=ground_truth",
        "subset=mini",
        "limit=1",
        "format=json",
    ]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["environment"]["git_commit"] is None  # not the checkout's code
