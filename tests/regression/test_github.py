"""The action and the workflow: safe, pinned, made of commands that exist; and the action's script, run by bash."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from storybench.benchmark import benchmark_names
from storybench.cli.compare import KEYS, USAGE
from storybench.cli.config import RunConfig, compose
from storybench.cli.main import COMMANDS
from storybench.cli.words import names_and_options

GITHUB = Path(__file__).resolve().parents[2] / ".github"
ACTION, WORKFLOW = GITHUB / "actions" / "gate" / "action.yml", GITHUB / "workflows" / "gate.yml"


def steps(path):
    content = yaml.safe_load(path.read_text())
    found = content["runs"]["steps"] if "runs" in content else content["jobs"]["gate"]["steps"]
    return [step for step in found if isinstance(step, dict)]


def commands(path):
    """Return the words of every storybench command in the scripts of a file, without redirections."""
    out = []
    for script in (step["run"] for step in steps(path) if "run" in step):
        for line in script.replace("\\\n", " ").splitlines():
            if found := re.search(r"(?:^|-m )storybench(?:\.cli\.main)? (.*)", line.strip()):
                told = re.split(r"\s\d?>|\|\|", found[1])[0]
                out.append(shlex.split(re.sub(r"\$\w+", "value", told)))
    return out


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=["action", "workflow"])
def test_every_command_exists_and_takes_the_words_it_is_given(path):
    found = commands(path)
    assert found
    for name, *words in found:
        assert name in COMMANDS
        if name == "run":
            config = compose("run", words, RunConfig)
            assert (config.subset, config.paired, config.format) == ("mini", True, "json")
        else:
            assert name == "compare"
            words = [word.replace("gate=value", "gate=default") for word in words]
            names, options = names_and_options(words, KEYS, 2, USAGE)
            assert (len(names), options["format"]) == (2, "markdown")


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=["action", "workflow"])
def test_nothing_is_interpolated_into_a_shell_and_actions_are_pinned(path):
    for step in steps(path):
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert step["uses"].startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_the_workflow_may_only_read_and_uses_the_inputs_of_the_action():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["gate"]
    assert workflow[True].keys() == {"pull_request", "workflow_dispatch"}  # YAML 1.1 reads "on" as true
    (step,) = [step for step in steps(WORKFLOW) if step.get("uses") == "./.github/actions/gate"]
    inputs = yaml.safe_load(ACTION.read_text())["inputs"]
    assert set(step["with"]) <= set(inputs)
    assert {name for name, said in inputs.items() if said.get("required")} <= set(step["with"])
    assert step["with"]["base"].partition("/")[0] in benchmark_names()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("changes", "status"), [({"wrong": 0.05}, 0), ({"wrong": 0.6, "seed": 1}, 1), ({"split": "mini"}, 2)]
)
def test_the_script_of_the_action_reports_and_ends_as_the_comparison_does(make_run, tmp_path, changes, status):
    make_run("base dir", stories=30, wrong=0.05)
    make_run("new", stories=30, **changes)
    environment = {
        **os.environ,
        "BASE": "base dir",
        "NEW": "new",
        "GATE": "default",
        "PYTHON": sys.executable,
        "REPORTS": str(tmp_path / "reports"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    (script,) = [step["run"] for step in steps(ACTION) if "run" in step]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # as GitHub calls it
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert (tmp_path / "output").read_text() == f"status={status}\n"
    summary = (tmp_path / "summary.md").read_text()
    assert {0: "HELD", 1: "REGRESSION", 2: "not comparable: subset test and mini"}[status] in summary
    assert "<testsuite" in (tmp_path / "reports" / "gate.xml").read_text()
    assert (tmp_path / "reports" / "gate.json").exists() is (status != 2)
