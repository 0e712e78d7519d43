"""``storybench reproduce`` as a user calls it, with a model that really draws and the real classifier."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from storybench.board.entry import Entry, ModelCard, Verification
from storybench.board.filling import add_run
from storybench.board.row import Board
from storybench.records.store import load_record, save_record

FEW = ("model=noise", "subset=mini", "limit=4", "metrics=characters", "batch_size=2")


@pytest.fixture
def run(storybench, tmp_path) -> Path:
    """A scored run of four stories."""
    said = storybench("run", *FEW, "run_root=runs", "format=json")
    assert said.status == 0, said.err
    return tmp_path / "runs" / json.loads(said.out)["fingerprint"]


@pytest.fixture
def row(run, tmp_path) -> str:
    """The run on a board."""
    card = ModelCard(name="noise", authors=["A. Third"], licence="MIT", training_data="none", saw_test_stories=False)
    said = Verification(level="self-reported", sampled_by="A. Third", scored_by="A. Third", date="2026-01-01")
    stories = pd.read_parquet(run / "frames.parquet")["story"].unique()
    add_run(
        tmp_path / "board",
        Entry(benchmark="toonsv-mini-v1", card=card, verification=said),
        run,
        dict.fromkeys(stories, 5),
    )
    return "toonsv-mini-v1/noise"


def test_command_commit_and_packages_are_told_and_nothing_is_drawn(storybench, row, tmp_path):
    said = storybench("reproduce", row, "board=board")
    assert said.status == 0
    assert "storybench run model=noise limit=4 metrics=characters subset=mini text=referential seed=0" in said.out
    assert "commit" in said.out
    assert not (tmp_path / "runs" / "reproduced").exists()
    told = json.loads(storybench("reproduce", row, "board=board", "format=json").out)
    assert (told["run"], told["batch_size"], told["packages"]) == (None, 2, {})


def test_a_row_is_drawn_again_to_the_same_bytes_and_promoted(storybench, row, tmp_path):
    said = storybench("reproduce", row, "board=board", "run=true", "promote=true", "by=The board", "format=json")
    assert said.status == 0, said.err
    found = json.loads(said.out)["run"]
    assert (found["frames"], found["frames_equal"], found["frames_read_alike"]) == (20, 20, 20)
    assert found["metrics"]["char_acc"]["difference"] == 0
    drawn = tmp_path / found["folder"]
    assert drawn.parent == tmp_path / "runs" / "reproduced"
    assert (drawn / "frames").is_dir()
    entry = Board(tmp_path / "board").row(row).entry
    assert entry.verification.level == "regenerated"
    assert entry.verification.sampled_by == "The board"
    assert entry.verification.evidence["frames_equal"] == 20
    assert entry.card.name == "noise"


def test_a_sample_is_compared_by_its_frames(storybench, row):
    said = storybench("reproduce", row, "board=board", "run=true", "limit=2", "format=json")
    found = json.loads(said.out)["run"]
    assert (said.status, found["stories"], found["frames_equal"]) == (0, 2, 10)
    assert "antecedent_acc" in found["metrics"]
    assert "cuts a batch" not in said.err
    assert "cuts a batch of 2" in storybench("reproduce", row, "board=board", "run=true", "limit=1").err


def test_frames_that_are_not_what_the_command_draws_do_not_agree_and_are_not_promoted(storybench, row, tmp_path):
    path = tmp_path / "board" / row / "frames.parquet"
    table = pd.read_parquet(path)
    table["sha256"] = "0" * 64
    table["predicted_counts"] = '{"Zara": 1}'
    table.to_parquet(path)
    said = storybench("reproduce", row, "board=board", "run=true", "promote=true", "by=The board")
    assert said.status == 1
    assert "DOES NOT AGREE: 0 of 20 frames" in said.out
    assert Board(tmp_path / "board").row(row).entry.verification.level == "self-reported"


def test_inflated_scores_over_honest_frames_do_not_agree(storybench, run):
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = load_record(run)
    score = record.scores["char_f1"]
    better = score.model_copy(update={"value": score.value + 0.2})
    save_record(record.model_copy(update={"scores": {**record.scores, "char_f1": better}}), run)
    table = pq.read_table(run / "left_out.parquet").to_pandas()
    of = table["metric"] == "char_f1"
    table.loc[of, ["value", "without"]] += 0.2
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), run / "left_out.parquet")
    said = storybench("reproduce", run, "run=true")
    assert said.status == 1
    assert "20 of 20 frames are the same file" in said.out
    assert "too far off: char_f1" in said.out


def test_another_model_of_the_same_name_is_refused_before_it_draws(storybench, run, tmp_path):
    record = load_record(run)
    model = record.model.model_copy(update={"version": "0", "weights": {"unet": "a" * 64}})
    save_record(record.model_copy(update={"model": model}), run)
    said = storybench("reproduce", run, "run=true")
    assert said.status == 2
    assert (
        "was drawn by another model: version 0 there, 1 here; weights.unet aaaaaaaaaaaa… there, None here" in said.err
    )
    assert not (tmp_path / "runs" / "reproduced").exists()


def test_a_row_drawn_elsewhere_is_refused_with_what_can_be_done(storybench, run):
    record = load_record(run)
    save_record(record.model_copy(update={"command": "storybench submit score archive.zip"}), run)
    for words in ((), ("run=true",)):
        said = storybench("reproduce", run, *words)
        assert (said.status, said.out) == (2, "")
        assert "was drawn elsewhere" in said.err
        assert "storybench evaluate frames=DIR" in said.err


def test_a_row_without_frames_table_is_refused_before_it_draws(storybench, run, tmp_path):
    (run / "frames.parquet").unlink()
    said = storybench("reproduce", run, "run=true")
    assert (said.status, "frames.parquet" in said.err) == (2, True)
    assert not (tmp_path / "runs" / "reproduced").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote=true",), "needs run=true and by=NAME"),
        (("promote=true", "run=true"), "needs run=true and by=NAME"),
        (("limit=0",), "expected 1 or more"),
        (("limit=many",), "expected 1 or more"),
        (("runs=true",), "Did you mean: run"),
        (("run=yes",), "Unknown value of run"),
        (("run=true", "promote=true", "by=x"), "No readable entry"),
    ],
)
def test_mistakes_are_said_in_one_sentence(storybench, run, words, said):
    refused = storybench("reproduce", run, *words)
    assert (refused.status, refused.out) == (2, "")
    assert said in refused.err


def test_a_reference_row_that_sees_the_truth_can_be_drawn_again(storybench, tmp_path):
    words = ("model=shuffled", "subset=mini", "limit=4", "metrics=characters", "run_root=runs", "format=json")
    folder = tmp_path / "runs" / json.loads(storybench("run", *words).out)["fingerprint"]
    shutil.move(folder, tmp_path / "oracle")
    said = storybench("reproduce", "oracle", "run=true", "format=json")
    assert said.status == 0
    assert json.loads(said.out)["run"]["frames_equal"] == 20
