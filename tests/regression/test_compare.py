"""``storybench compare`` as a user calls it: verdicts, exit statuses, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storybench.errors import ConfigError
from storybench.records.store import load_record, save_record
from storybench.regression import compare, load_gate, load_side


def test_a_run_against_itself_is_held_with_differences_of_exactly_zero(storybench, make_run):
    run = make_run("run")
    said = storybench("compare", run, run, "format=json")
    assert said.status == 0
    report = json.loads(said.out)
    assert report["outcome"] == "held"
    for metric in report["metrics"]:
        assert (metric["difference"], metric["low"], metric["high"], metric["p_value"]) == (0.0, 0.0, 0.0, 1.0)
        assert metric["verdict"] in (None, "held")


def test_a_loss_is_a_regression_and_the_way_back_an_improvement(storybench, make_run):
    good, bad = make_run("good", wrong=0.05), make_run("bad", wrong=0.4, seed=1)
    down = storybench("compare", good, bad, "format=json")
    up = storybench("compare", bad, good, "format=json")
    assert (down.status, up.status) == (1, 0)
    lost, won = (json.loads(said.out)["metrics"] for said in (down, up))
    for one, other in zip(lost, won, strict=True):
        assert one["difference"] == -other["difference"]
        assert one["low"] == pytest.approx(-other["high"], abs=1e-15)
    assert {m["metric"]: m["verdict"] for m in lost}["char_acc"] == "regression"
    assert {m["metric"]: m["verdict"] for m in won}["char_acc"] == "improved"


def test_few_stories_are_unclear_and_pass_unless_the_gate_says_otherwise(storybench, make_run):
    base, new = make_run("base", stories=8), make_run("new", stories=8, seed=1)
    said = storybench("compare", base, new)
    assert said.status == 0
    assert "unclear: too few stories" in said.out
    assert "more stories are needed" in said.out
    assert storybench("compare", base, new, "gate=strict").status == 1


def test_every_output_states_sides_gate_level_units_and_margins(storybench, make_run, tmp_path):
    base, new = make_run("base"), make_run("new", seed=1)
    report = json.loads(storybench("compare", base, new, "format=json").out)
    assert report["level"] == pytest.approx(1 - 0.05 / 4)  # conditional resolution is in neither
    assert report["units"] == 60
    assert report["gate"]["metrics"]["char_acc"]["margin"] > 0
    outputs = [storybench("compare", base, new, f"format={chosen}").out for chosen in ("table", "markdown")]
    storybench("compare", base, new, "junit=gate.xml", "out=gate.txt")
    outputs += [(tmp_path / name).read_text() for name in ("gate.xml", "gate.txt")]
    margin = report["gate"]["metrics"]["char_acc"]["margin"]
    for text in outputs:
        plain = text.replace("\\", "")  # Markdown's
        for run in (base, new):
            assert str(run) in plain
            assert load_record(run).fingerprint in plain
        assert "default" in plain
        assert "98.75" in plain
        assert "60 units" in plain or 'name="units" value="60"' in plain
        assert f"char_acc {100 * margin:.2f} points" in plain or f"char_acc={margin:g}" in plain


def test_gated_metrics_are_judged_at_the_shared_level_and_others_shown_at_95(make_run):
    report = compare(load_side(str(make_run("a"))), load_side(str(make_run("b", seed=1))), load_gate())
    assert {each.level for each in report.gated} == {1 - 0.05 / len(report.gated)}
    assert {each.level for each in report.compared if each.margin is None} == {0.95}
    assert [each.metric for each in report.gated] == [m for m in load_gate().metrics if m != "conditional_resolution"]


def test_other_stories_are_refused_with_every_part_and_both_values(storybench, make_run):
    base = make_run("base")
    record = load_record(base)
    other = record.dataset.model_copy(update={"name": "pororo", "hash": "e" * 64, "select": "coref_heavy"})
    new = make_run("new", dataset=other, split="mini", text="explicit")
    said = storybench("compare", base, new, "junit=gate.xml")
    assert (said.status, said.out) == (2, "")
    for part in (
        "data set toonsv and pororo",
        "data hash dddddddddddd and eeeeeeeeeeee",
        "subset test and mini",
        "selection all and coref_heavy",
        "text referential and explicit",
    ):
        assert part in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert "<error" in (base.parent / "gate.xml").read_text()


def test_seed_and_model_may_differ(storybench, make_run):
    base = make_run("base")
    model = load_record(base).model.model_copy(update={"name": "other", "weights": {"a": "b"}})
    assert storybench("compare", base, make_run("new", seed=0, model=model)).status == 0


@pytest.mark.parametrize("side", ["base", "new"])
def test_a_required_metric_that_one_side_lacks_is_unusable(storybench, make_run, without_score, side):
    runs = {"base": make_run("base"), "new": make_run("new")}
    record = load_record(runs[side])
    save_record(record.model_copy(update={"scores": without_score(record.scores, "char_acc")}), runs[side])
    drop(runs[side], "char_acc")
    said = storybench("compare", runs["base"], runs["new"], "junit=gate.xml")
    assert said.status == 2
    assert f"char_acc is gated and not comparable: {side} has no value: no network" in said.err
    assert 'errors="1"' in (runs["base"].parent / "gate.xml").read_text()


def test_a_metric_that_is_not_required_is_only_reported(storybench, make_run, without_score):
    base, new = make_run("base"), make_run("new")
    record = load_record(new)
    save_record(record.model_copy(update={"scores": without_score(record.scores, "antecedent_acc")}), new)
    drop(new, "antecedent_acc")
    said = storybench("compare", base, new)
    assert said.status == 0
    assert "not compared: antecedent_acc: new has no value" in said.out


def test_another_protocol_of_a_gated_metric_is_unusable_and_named(storybench, make_run):
    base, new = make_run("base"), make_run("new")
    record = load_record(new)
    other = record.scores["char_acc"].model_copy(update={"protocol": "char_acc/v2@invented-v1"})
    save_record(record.model_copy(update={"scores": {**record.scores, "char_acc": other}}), new)
    said = storybench("compare", base, new)
    assert said.status == 2
    assert "char_acc/v1@invented-v1 and char_acc/v2@invented-v1" in said.err


def test_a_gate_whose_metrics_nobody_has_is_unusable(storybench, make_run, tmp_path):
    (tmp_path / "own.yaml").write_text("metrics: {char_ac: {margin: 0.1}}")
    (tmp_path / "soft.yaml").write_text("metrics: {cider: {margin: 0.1, required: false}}")
    run = make_run("run")
    said = storybench("compare", run, run, "gate=own.yaml")
    assert said.status == 2
    assert "Did you mean: char_acc" in said.err
    assert storybench("compare", run, run, "gate=soft.yaml").status == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "incomplete", "reason": "interrupted"}, "its run is incomplete (interrupted)"),
        ({"status": "error"}, "its run is error"),
        ({"scores": {}}, "holds no score"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(storybench, make_run, changes, said):
    base, new = make_run("base"), make_run("new", **changes)
    refused = storybench("compare", base, new)
    assert (refused.status, refused.out) == (2, "")
    assert said in refused.err


def test_missing_frames_are_refused(storybench, make_run):
    base = make_run("base")
    coverage = load_record(base).coverage.model_copy(update={"ok": 299, "fraction": 299 / 300})
    assert "299 of 300 frames" in storybench("compare", base, make_run("new", coverage=coverage)).err


def test_other_clusters_left_out_are_not_paired(storybench, make_run):
    base, new = make_run("base"), make_run("new")
    table = pq.read_table(new / "left_out.parquet")
    units = pa.array([f"x{u}" for u in table["unit"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("unit"), "unit", units), new / "left_out.parquet")
    said = storybench("compare", base, new)
    assert said.status == 2
    assert "other clusters were left out" in said.err


def test_a_table_of_another_scoring_is_refused(storybench, make_run):
    base, new = make_run("base"), make_run("new", wrong=0.3)
    shutil.copy(base / "left_out.parquet", new / "left_out.parquet")
    said = storybench("compare", base, new)
    assert said.status == 2
    assert "of another scoring than its record" in said.err


@pytest.mark.parametrize("damage", ["truncated", "empty", "gone", "other columns"])
def test_damaged_tables_end_in_one_sentence(storybench, make_run, damage):
    base, new = make_run("base"), make_run("new")
    path = new / "left_out.parquet"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        path.unlink()
    else:
        pq.write_table(pa.table({"a": [1]}), path)
    said = storybench("compare", base, new)
    assert (said.status, said.out) == (2, "")
    assert len(said.err.strip().splitlines()) == 1
    assert "left_out.parquet" in said.err


def test_sides_are_named_by_folder_record_or_row(storybench, make_run, tmp_path):
    run = make_run("runs/one")
    shutil.copytree(run, tmp_path / "board" / "toonsv-v1" / "invented")
    names = [run, run / "record.json", tmp_path / "board" / "toonsv-v1" / "invented", "toonsv-v1/invented"]
    for name in names:
        assert storybench("compare", run, name, "board=board").status == 0
    said = storybench("compare", run, "toonsv-v1/inventd", "board=board")
    assert said.status == 2
    assert "Did you mean: toonsv-v1/invented?" in said.err
    assert "has no record.json" in storybench("compare", run, tmp_path).err


def test_rows_of_the_installed_board_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_side("toonsv-v1/storygptv").record.model.name == "storygptv"
    with pytest.raises(ConfigError, match="no row of the board 'nowhere'"):
        load_side("toonsv-v1/storygptv", "nowhere")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Expected 2 names"),
        (("one",), "Expected 2 names"),
        (("one", "two", "gat=default"), "Did you mean: gate?"),
        (("one", "two", "format=xml"), "format"),
        (("one", "two", "--gate"), "Unknown flag"),
        (("one", "two", "out=report.pdf"), "expected a name that ends in"),
        (("one", "two", "gate="), "gate needs a value"),
        (("one", "two", "gate=a", "gate=b"), "given twice"),
        (("one", "two"), "'one' is no run folder"),
    ],
)
def test_mistyped_commands_are_refused_in_one_sentence(storybench, words, said):
    refused = storybench("compare", *words)
    assert (refused.status, refused.out) == (2, "")
    assert said in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_help_says_what_the_exit_statuses_mean(storybench):
    said = storybench("compare", "--help")
    assert said.status == 0
    assert "0 held, 1 regression, 2 not comparable" in said.out


def test_order_of_rows_in_a_table_changes_nothing_but_their_names(storybench, make_run):
    base, new = make_run("base"), make_run("new", seed=1)
    before = json.loads(storybench("compare", base, new, "format=json").out)["metrics"]
    for run in (base, new):  # both alike: units pair by name and place
        table = pq.read_table(run / "left_out.parquet")
        order = np.random.default_rng(0).permutation(len(table))
        pq.write_table(table.take(order), run / "left_out.parquet")
    after = {m["metric"]: m for m in json.loads(storybench("compare", base, new, "format=json").out)["metrics"]}
    for metric in before:
        for key in ("difference", "low", "high"):
            assert after[metric["metric"]][key] == pytest.approx(metric[key], abs=1e-12)


def test_speed_is_judged_between_equal_machines_only(storybench, make_run):
    base = make_run("base")
    slow = make_run("slow", seconds_per_frame=0.13)
    assert storybench("compare", base, slow).status == 0
    said = storybench("compare", base, slow, "gate=speed")
    assert said.status == 1
    assert "+30.0 %" in said.out
    elsewhere = load_record(base).environment.model_copy(update={"device": "cuda"})
    said = storybench("compare", base, make_run("gpu", seconds_per_frame=0.13, environment=elsewhere), "gate=speed")
    assert said.status == 0
    assert "measured on another device: cpu and cuda" in said.out
    assert storybench("compare", slow, base, "gate=speed").status == 0


def drop(run, metric):
    """Take a metric out of a run's table."""
    table = pq.read_table(run / "left_out.parquet")
    keep = [name != metric for name in table["metric"].to_pylist()]
    pq.write_table(table.filter(pa.array(keep)), run / "left_out.parquet")
