"""The Submit page: its words, its report, and that a stranger's text stays text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from leaderboard.views import submit
from storybench.submission.report import Problem, Report

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "leaderboard" / "pages" / "submit.py"


def problem(severity="error", text="x"):
    return Problem(severity, text, text, text, "kind")


def test_the_size_limit_is_the_server_s():
    config = (ROOT / "leaderboard" / ".streamlit" / "config.toml").read_text()
    assert int(re.search(r"maxUploadSize = (\d+)", config)[1]) == submit.MAX_MB


def test_every_command_of_the_page_is_one_that_its_help_explains(capsys):
    from storybench.cli.main import main

    for _, command in submit.STEPS:
        program, name, *words = command.split(" > ")[0].split()
        assert program == "storybench"
        assert main([name, "--help"]) == 0
        said = capsys.readouterr().out
        for word in words:
            known = word.split("=")[0] if "=" in word else word
            assert known in said or known.endswith(".zip"), f"{command}: {word} is not in the help"


def test_the_page_loads_without_torch_and_says_how():
    code = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        f"at = AppTest.from_string(open({str(PAGE)!r}).read(), default_timeout=60).run();"
        "assert not at.exception, at.exception; assert 'torch' not in sys.modules;"
        "assert 'storybench submit check' in at.code[0].value"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_verdict_counts_what_must_be_mended():
    assert submit.verdict(Report((problem(), problem("warning")))).startswith(
        "The archive cannot be handed in yet: 1 thing"
    )
    assert "2 things must be mended and 1 remark" in submit.verdict(Report((problem(), problem(), problem("warning"))))


def test_severity_is_said_in_words_and_rows_have_heads():
    table = submit.problem_table(Report((problem(), problem("warning"))))
    assert table.count("<td>must be mended</td>") == 1
    assert table.count("<td>remark</td>") == 1
    assert table.count('scope="row"') == 2
    assert submit.problem_table(Report(())) == ""


@given(st.text(alphabet="<>&\"'/=abc script", min_size=1, max_size=60))
def test_a_stranger_s_text_adds_no_element(text):
    plain = submit.problem_table(Report((problem(text="x"),)))
    table = submit.problem_table(Report((problem(text=text),)))
    assert table.count("<") == plain.count("<")
    told = submit.summary_table({"model": text})
    assert told.count("<") == submit.summary_table({"model": "x"}).count("<")
