"""The fixtures in somebody else's repository: a folder with a model of its own and tests that use them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = "storybench.pytest_plugin"
NOISE = Path(__file__).resolve().parents[1] / "harness" / "third_party" / "noise_model.py"
pytest_plugins = "pytester"

TESTS = """
    import pytest
    from storybench.pytest_plugin import UnclearGate

    FEW = dict(subset="mini", limit=3, metrics="characters")


    @pytest.fixture(scope="session")
    def base(storybench_run):
        return storybench_run(model="noise_model.NoiseModel", **FEW)


    def test_run_has_record_and_folder(base):
        assert base.record.status == "success"
        assert (base.run_dir / "left_out.parquet").is_file()
        assert base.record.scores["char_acc"].n == 15


    def test_options_and_seed_are_passed_on(storybench_run):
        run = storybench_run(model="noise_model.NoiseModel", options={"name": "louder"}, seed=1, **FEW)
        assert (run.record.model.name, run.record.seed) == ("louder", 1)


    def test_itself_is_held(base, assert_no_regression):
        assert assert_no_regression(base, base).status == 0


    def test_truth_is_no_regression(storybench_run, base, assert_no_regression):
        assert_no_regression(base, storybench_run(model="ground_truth", **FEW))


    def test_noise_after_truth_is_one(storybench_run, base, assert_no_regression):
        with pytest.raises(AssertionError, match="REGRESSION of char_acc") as caught:
            assert_no_regression(storybench_run(model="ground_truth", **FEW).run_dir, base, gate="own.yaml")
        assert "new - base" in str(caught.value)


    def test_other_stories_cannot_be_compared(storybench_run, base, assert_no_regression):
        other = storybench_run(model="noise_model.NoiseModel", subset="mini", limit=2, metrics="characters")
        assert_no_regression(base, other)


    def test_a_model_that_is_not_there(storybench_run):
        storybench_run(model="noise_model.NoSuchModel", **FEW)
"""


@pytest.fixture
def repository(pytester, monkeypatch):
    """Somebody's repository."""
    shutil.copy(NOISE, pytester.path)
    (pytester.path / "own.yaml").write_text("metrics: {char_acc: {margin: 0.02}}\n")
    pytester.makepyfile(test_model=TESTS)
    monkeypatch.syspath_prepend(str(pytester.path))
    monkeypatch.chdir(pytester.path)
    return pytester


def run(repository, *words):
    """Run its tests in this process; the plugin comes by its entry point where one is installed."""
    outer = repository._request.config.pluginmanager
    plugins = [] if outer.hasplugin("storybench") else [sys.modules.get(PLUGIN) or __import__(PLUGIN, fromlist=["x"])]
    return repository.inline_run("-q", "-p", "no:cacheprovider", *words, plugins=plugins)


def test_fixtures_run_models_and_judge_them(repository):
    passed, _, failed = run(repository).listoutcomes()
    assert {report.nodeid.partition("::")[2] for report in failed} == {
        "test_other_stories_cannot_be_compared",
        "test_a_model_that_is_not_there",
    }
    assert len(passed) == 5
    said = {report.nodeid.partition("::")[2]: str(report.longrepr) for report in failed}
    refused = said["test_other_stories_cannot_be_compared"]
    assert "are not comparable: data hash" in refused
    assert "Traceback" not in refused
    assert "noise_model.NoSuchModel" in said["test_a_model_that_is_not_there"]


def test_a_run_root_keeps_runs_between_sessions(repository):
    words = ("-k", "test_run_has_record_and_folder", "--storybench-run-root=kept")
    run(repository, *words).assertoutcome(passed=1)
    (folder,) = (repository.path / "kept").iterdir()
    before = (folder / "record.json").stat().st_mtime_ns
    run(repository, *words).assertoutcome(passed=1)
    assert (folder / "record.json").stat().st_mtime_ns == before


def test_an_installed_storybench_gives_its_options_to_any_pytest(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "--storybench-run-root" in done.stdout


def test_importing_the_plugin_loads_nothing_heavy():
    heavy = ("torch", "numpy", "pandas", "hydra", "pydantic")
    code = f"import sys, {PLUGIN}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.5, "0.5"),
        ([1, "a"], "[1,a]"),
        ("plain-name_1", "plain-name_1"),
        ("two words, 'quoted'", r"'two words, \'quoted\''"),
        ("", "''"),
    ],
)
def test_values_reach_hydra_as_they_are(value, word):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from storybench.pytest_plugin import run_words

    (last,) = run_words("noise", "mini", {}, {"key": value})[2:]
    assert last == f"key={word}"
    assert OverridesParser.create().parse_override(last).value() == value
