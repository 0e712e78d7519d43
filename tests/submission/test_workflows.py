"""The workflows run no code of a pull request with any right, and call commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from storybench.cli.submit import ACTIONS
from storybench.submission.comment import MARK

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
NAMES = ("submission.yml", "submission-comment.yml")


def workflow(name: str) -> dict:
    """Return a workflow; YAML reads its key ``on`` as true."""
    content = yaml.safe_load((FOLDER / name).read_text())
    content["on"] = content.pop(True, content.get("on"))
    return content


def steps(name: str) -> list[dict]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def shell(name: str) -> str:
    return "\n".join(step["run"] for step in steps(name) if "run" in step)


@pytest.mark.parametrize("name", NAMES)
def test_no_shell_line_holds_an_expression(name):
    """What others write comes in through the environment, where it cannot become a command."""
    assert "${{" not in shell(name)
    assert "secrets." not in (FOLDER / name).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_no_job_widens_the_rights_of_its_workflow(name):
    assert all("permissions" not in job for job in workflow(name)["jobs"].values())
    assert all(job["timeout-minutes"] <= 120 for job in workflow(name)["jobs"].values())


def test_the_review_may_only_read():
    assert workflow("submission.yml")["permissions"] == {"contents": "read"}
    assert set(workflow("submission.yml")["on"]) == {"pull_request"}  # never pull_request_target
    assert workflow("submission.yml")["on"]["pull_request"]["paths"] == ["leaderboard/results/**"]


def test_the_review_installs_and_runs_the_base_branch_alone():
    checkouts = [
        step["with"] for step in steps("submission.yml") if step.get("uses", "").startswith("actions/checkout")
    ]
    base, head = checkouts
    assert base["path"] == "base"
    assert base["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "repository" not in base
    assert head["path"] == "head"
    assert head["sparse-checkout"] == "leaderboard/results"
    assert head["sparse-checkout-cone-mode"] is False
    assert all(checkout["persist-credentials"] is False for checkout in checkouts)
    for line in shell("submission.yml").splitlines():
        assert "head/" not in line
        assert "working-directory" not in line
    assert "./base" in shell("submission.yml")
    assert "python -I -m storybench.cli.main" in shell("submission.yml")  # a folder of the request is on no path
    heads = [s for s in steps("submission.yml") if "head" in str(s.get("env", "")) and "run" in s]
    assert [set(s["env"]) for s in heads] == [{"BASE_BOARD", "HEAD_BOARD", "COMMENT"}]


def test_the_comment_is_posted_without_any_checkout():
    content = workflow("submission-comment.yml")
    assert content["on"] == {"workflow_run": {"workflows": ["submission"], "types": ["completed"]}}
    assert content["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    used = [step["uses"].split("@")[0] for step in steps("submission-comment.yml") if "uses" in step]
    assert used == ["actions/download-artifact"]
    assert not re.search(r"\b(python|pip|node|npm|make|source|eval)\b", shell("submission-comment.yml"))
    assert any(step.get("env", {}).get("MARK") == MARK for step in steps("submission-comment.yml"))


def test_the_review_s_name_is_what_the_comment_waits_for():
    waits = workflow("submission-comment.yml")["on"]["workflow_run"]["workflows"]
    assert waits == [workflow("submission.yml")["name"]]


def test_the_commands_of_the_workflows_exist():
    called = [line for line in shell("submission.yml").splitlines() if "storybench.cli.main" in line]
    assert called
    for line in called:
        words = shlex.split(line.partition("storybench.cli.main ")[2])
        assert words[0] == "submit"
        assert words[1] in ACTIONS
        assert all(word.partition("=")[0] in ("archives", "out", "device") for word in words[4:])
