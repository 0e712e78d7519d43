"""``storybench run`` from the command line to the record."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from storybench.evaluation import METRICS
from storybench.records.record import RunRecord

FEW = ("subset=mini", "limit=4")


def only_run(root: Path) -> Path:
    (folder,) = [p for p in root.iterdir() if p.is_dir()]
    return folder


def test_ground_truth_run_leaves_record_config_frames_and_table(storybench, tmp_path):
    said = storybench("run", "model=ground_truth", *FEW)
    assert said.status == 0, said.err
    assert "char_f1" in said.out
    assert "oracle" in said.out
    folder = only_run(tmp_path / "runs")
    assert {p.name for p in folder.iterdir()} == {
        "record.json",
        "config.yaml",
        "frames",
        "manifest.jsonl",
        "frames.parquet",
        "left_out.parquet",
    }
    record = RunRecord.model_validate_json((folder / "record.json").read_bytes())
    assert record.fingerprint == folder.name
    assert (record.status, record.split, record.text, record.seed) == ("success", "mini", "referential", 0)
    assert record.coverage.fraction == 1.0
    assert record.coverage.expected == 20
    assert tuple(record.scores) == METRICS
    assert record.model.oracle
    assert record.environment.packages["torch"]
    assert record.command == "storybench run model=ground_truth subset=mini limit=4"
    table = pd.read_parquet(folder / "frames.parquet")
    assert len(table) == 20
    assert table["sha256"].str.len().eq(64).all()
    assert len(list((folder / "frames").rglob("*.png"))) == 20


def test_counterfactual_run_draws_the_swapped_stories_once_and_scores_who_follows_the_name(storybench, tmp_path):
    words = ("run", "model._target_=noise_model.NoiseModel", *FEW, "counterfactual=true", "metrics=reference")
    said = storybench(*words)
    assert said.status == 0, said.err
    records = [json.loads(path.read_bytes()) for path in (tmp_path / "runs").glob("*/record.json")]
    by_text = {record["text"]: record for record in records}
    assert set(by_text) == {"referential", "counterfactual"}
    assert by_text["counterfactual"]["status"] == "success"
    assert by_text["counterfactual"]["scores"] == {}
    assert 1 <= by_text["counterfactual"]["dataset"]["stories"] <= 4
    scores = by_text["referential"]["scores"]
    assert scores["flip_rate"]["n"] == by_text["counterfactual"]["dataset"]["stories"]
    assert scores["flip_rate"]["value"] == 0.0  # noise follows no name
    assert "char_acc" not in scores  # a group alone
    assert "nothing redone" in storybench(*words).out


def test_second_run_reads_the_first(storybench, tmp_path):
    storybench("run", "model=shuffled", *FEW)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*")}
    said = storybench("run", "model=shuffled", *FEW, "batch_size=3")
    assert said.status == 0
    assert "nothing redone" in said.out
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*")} == before


def test_json_is_alone_on_stdout(storybench):
    said = storybench("run", "model=ground_truth", *FEW, "format=json")
    assert json.loads(said.out)["model"]["name"] == "ground_truth"


def test_sweep_runs_every_value_and_prints_one_table(storybench, tmp_path):
    said = storybench("run", "-m", "model=ground_truth,shuffled", "seed=0,1", *FEW, "format=json")
    assert said.status == 0, said.err
    records = json.loads(said.out)
    assert [(r["model"]["name"], r["seed"]) for r in records] == [
        ("ground_truth", 0), ("ground_truth", 1), ("shuffled", 0), ("shuffled", 1)
    ]  # fmt: skip
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {r["fingerprint"] for r in records}
    assert storybench("run", "-m", "model=ground_truth,shuffled", *FEW).out.count("ground_truth") >= 2


def test_failed_job_of_a_sweep_does_not_stop_the_others(storybench):
    said = storybench("run", "-m", "model=ground_truth", "subset=mini,nowhere", "limit=2", "format=json")
    assert said.status == 2
    assert [r["split"] for r in json.loads(said.out)] == ["mini"]
    assert said.err.splitlines()[-1].startswith("Unknown subset 'nowhere'")


def test_ceiling_is_above_floor(storybench):
    said = storybench("run", "-m", "model=ground_truth,shuffled", "subset=mini", "format=json")
    ceiling, floor = (r["scores"] for r in json.loads(said.out))
    for metric in ("char_acc", "char_f1", "char_f1_macro", "setting_acc", "count_acc", "antecedent_acc"):
        assert ceiling[metric]["value"] > floor[metric]["value"] + 0.3


def test_two_runs_are_equal_byte_for_byte(storybench, tmp_path, hashes):
    for root in ("one", "two"):
        assert storybench("run", "model._target_=noise_model.NoiseModel", *FEW, f"run_root={root}").status == 0
    one, two = (only_run(tmp_path / root) for root in ("one", "two"))
    assert one.name == two.name
    assert hashes(one / "frames") == hashes(two / "frames")
    scores = [json.loads((run / "record.json").read_bytes())["scores"] for run in (one, two)]
    assert scores[0] == scores[1]


def test_kill_9_and_the_same_command_end_in_the_same_bytes(spawn, storybench, tmp_path, hashes):
    words = (
        "run",
        "model._target_=noise_model.NoiseModel",
        "+model.delay=0.1",
        "subset=mini",
        "limit=8",
        "batch_size=2",
    )
    process = spawn(*words, "run_root=broken")
    manifests = []
    deadline = time.monotonic() + 120
    while not (manifests and manifests[0].read_text().count("\n") >= 2):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
        manifests = list((tmp_path / "broken").glob("*/manifest.jsonl"))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = manifests[0].read_text().splitlines()
    assert 2 <= len(finished) < 4
    kept = {
        p: p.stat().st_mtime_ns
        for line in finished
        for story in json.loads(line)["stories"]
        for p in (manifests[0].parent / "frames" / story).iterdir()
    }
    said = storybench(*words, "run_root=broken")
    assert said.status == 0, said.err
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert storybench(*words, "run_root=whole").status == 0
    broken, whole = only_run(tmp_path / "broken"), only_run(tmp_path / "whole")
    assert hashes(broken / "frames") == hashes(whole / "frames")
    first, second = (json.loads((run / "record.json").read_bytes()) for run in (broken, whole))
    assert first["scores"] == second["scores"]
    assert first["score_key"] == second["score_key"]


def test_existing_frames_score_alike_through_folder_and_evaluate(storybench, tmp_path):
    first = json.loads(storybench("run", "model=ground_truth", *FEW, "format=json").out)
    frames = tmp_path / "runs" / first["fingerprint"] / "frames"
    folder = json.loads(storybench("run", "model=folder", f"model.frames={frames}", *FEW, "format=json").out)
    said = storybench(
        "evaluate", f"frames={frames}", f"explicit_frames={frames}", *FEW, "format=json", "out=r/record.json"
    )
    evaluated = json.loads(said.out)
    assert evaluated == json.loads((tmp_path / "r" / "record.json").read_bytes())
    for metric, score in first["scores"].items():
        assert folder["scores"][metric] == score
        if metric not in ("conditional_resolution", "reference_gap"):  # evaluate alone was given explicit frames
            assert evaluated["scores"][metric] == score
    assert evaluated["scores"]["conditional_resolution"]["value"] == 1.0
    assert not folder["model"]["oracle"]


def test_conditional_resolution_uses_the_explicit_run_of_the_same_model(storybench, tmp_path):
    words = ("run", "model._target_=noise_model.NoiseModel", "subset=mini", "limit=3", "format=json")
    alone = json.loads(storybench(*words).out)["scores"]["conditional_resolution"]
    assert alone["value"] is None
    assert alone["reason"]
    paired = json.loads(storybench(*words, "paired=true").out)
    texts = {json.loads(p.read_bytes())["text"] for p in (tmp_path / "runs").glob("*/record.json")}
    assert texts == {"explicit", "referential"}
    assert paired["scores"]["conditional_resolution"]["reason"] != alone["reason"]


def test_third_party_configuration_folder_is_found(storybench, third_party):
    flag = ("--config-dir", str(third_party / "conf"))
    said = storybench("run", *flag, "model=noise", *FEW, "format=json")
    assert json.loads(said.out)["model"]["name"] == "noise"


def test_original_is_the_explicit_text_of_toonsv(storybench, tmp_path):
    runs = [
        json.loads(storybench("run", "model=ground_truth", w, *FEW, "format=json").out)
        for w in ("split=original", "text=explicit")
    ]
    assert runs[0]["fingerprint"] == runs[1]["fingerprint"]
    assert runs[0]["text"] == "explicit"


def test_failure_of_a_model_leaves_a_record_that_says_so_and_the_run_continues(storybench, tmp_path):
    words = ("run", "model._target_=noise_model.NoiseModel", *FEW)
    assert storybench(*words, "+model.frames_lost=1").status == 2
    record = json.loads((only_run(tmp_path / "runs") / "record.json").read_bytes())
    assert record["status"] == "error"
    assert record["coverage"]["ok"] == 0
    assert len(record["coverage"]["missing"]) == 4
    assert storybench(*words).status == 0


@pytest.mark.parametrize("words", [("--help",), ("--cfg", "job"), ("model=shuffled", "--cfg", "job")])
def test_hydra_shows_the_configuration(storybench, words):
    said = storybench("run", *words)
    assert said.status == 0
    assert "batch_size: 8" in said.out
