"""Reports in every format: readable by its reader, and safe whatever a record says."""

from __future__ import annotations

import json
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storybench.records.store import load_record, save_record
from storybench.regression.markdown import escaped
from storybench.regression.wording import LONGEST, plain

HOSTILE = "|`<img src=x onerror=alert(1)>\n\n# @team [x](https://a.b) \x1b[31m &amp; ***"


@pytest.fixture
def hostile(make_run):
    """Two runs, one of which says something unpleasant wherever a record holds text."""
    base, new = make_run("base", wrong=0.05), make_run("new", wrong=0.4, seed=1)
    record = load_record(new)
    model = record.model.model_copy(update={"name": HOSTILE, "version": HOSTILE})
    scores = dict(record.scores)
    scores[HOSTILE] = scores["char_acc"].model_copy(update={"reason": HOSTILE})
    scores["count_acc"] = scores["count_acc"].model_copy(update={"protocol": HOSTILE})
    save_record(record.model_copy(update={"model": model, "scores": scores}), new)
    return base, new


def test_markdown_has_only_its_own_cells_tags_and_lines(storybench, hostile):
    said = storybench("compare", *hostile, "format=markdown")
    assert said.status == 1
    assert "<img" not in said.out
    assert "\x1b" not in said.out
    assert "@team" not in said.out
    assert "](https" not in said.out
    tables = [line for line in said.out.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} == {8, 5}  # seven columns, and four
    tags = {part.split(">")[0] for part in said.out.split("<")[1:]}
    assert tags <= {"details", "summary", "/summary", "/details"}


def test_junit_is_xml_with_one_case_a_gated_metric(storybench, hostile, tmp_path):
    storybench("compare", *hostile, "junit=gate.xml")
    suite = Xml.fromstring((tmp_path / "gate.xml").read_text())[0]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert set(cases) == {"char_acc", "char_f1", "antecedent_acc", "setting_acc", "conditional_resolution"}
    assert cases["char_acc"].find("failure") is not None
    assert cases["conditional_resolution"].find("skipped") is not None  # in neither, and not required
    assert int(suite.get("failures")) == sum(case.find("failure") is not None for case in cases.values())
    named = {p.get("name") for p in suite.iter("property")}
    assert {"base", "new", "gate", "level", "units", "margins"} <= named


def test_unclear_is_a_warning_in_junit_and_a_failure_under_a_strict_gate(storybench, make_run, tmp_path):
    base, new = make_run("base", stories=8), make_run("new", stories=8, seed=1)
    storybench("compare", base, new, "junit=soft.xml")
    storybench("compare", base, new, "junit=hard.xml", "gate=strict")
    soft, hard = (Xml.fromstring((tmp_path / name).read_text())[0] for name in ("soft.xml", "hard.xml"))
    assert soft.get("failures") == "0"
    assert any((case.findtext("system-out") or "").startswith("WARNING: ") for case in soft.iter("testcase"))
    assert int(hard.get("failures")) > 0


def test_table_holds_no_escape_sequence_of_a_record(storybench, hostile):
    said = storybench("compare", *hostile)
    assert "\x1b" not in said.out
    assert "REGRESSION of" in said.out


def test_json_alone_is_on_stdout_and_out_writes_the_same(storybench, make_run, tmp_path):
    base, new = make_run("base"), make_run("new", seed=1)
    said = storybench("compare", base, new, "format=json", "out=reports/gate.json")
    assert json.loads(said.out) == json.loads((tmp_path / "reports" / "gate.json").read_text())
    storybench("compare", base, new, "out=reports/gate.md")
    assert (tmp_path / "reports" / "gate.md").read_text() == storybench("compare", base, new, "format=markdown").out


@given(st.text())
def test_plain_text_is_one_short_line_without_control_characters(text):
    said = plain(text)
    assert len(said) <= LONGEST
    assert all(c.isprintable() for c in said)


@given(st.text(alphabet="|<>&@`*[]()#\\_ab\n"))
def test_escaped_text_opens_nothing_in_markdown(text):
    said = escaped(text)
    assert "<" not in said
    assert "@" not in said
    for i, c in enumerate(said):
        if c in "|`*[]_":
            assert (len(said[:i]) - len(said[:i].rstrip("\\"))) % 2 == 1
