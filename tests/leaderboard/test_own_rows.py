"""Our own rows: runs of this repository's models, put onto the board with their cards."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from leaderboard.data import RESULTS
from leaderboard.own_rows import CARDS, PINNED, add_own_row, benchmark_of, own_card
from storybench.board.row import Board, Row
from storybench.cli.main import main
from storybench.errors import ConfigError, DataError
from storybench.records.store import load_record
from storybench.submission.board_checks import check_board


@pytest.fixture(scope="module")
def ceiling(tmp_path_factory) -> Path:
    """The folder of a run of the true frames of ToonSV mini."""
    root = tmp_path_factory.mktemp("runs")
    assert main(["run", "model=ground_truth", "subset=mini", "metrics=characters", f"run_root={root}"]) == 0
    (folder,) = root.iterdir()
    return folder


def test_a_row_shown_the_truth_is_pinned_and_keeps_no_picture(ceiling, tmp_path):
    row = Row(add_own_row(ceiling, root=tmp_path))
    assert row.id == "toonsv-mini-v1/ground_truth"
    assert row.entry.pinned == "ceiling"
    assert row.entry.verification.level == "regenerated"
    assert not (row.folder / "thumbs").exists()
    assert row.left_out(["char_acc"])["char_acc"].value == row.record.scores["char_acc"].value
    assert check_board(tmp_path) == ()


def test_a_row_made_again_says_how_it_agrees_with_the_one_before(ceiling, tmp_path):
    add_own_row(ceiling, root=tmp_path)
    found = Row(add_own_row(ceiling, root=tmp_path)).entry.verification.evidence["against_the_row_before"]
    assert found["same_fingerprint"]
    assert found["equal"] == found["metrics"] > 0
    assert found["largest_difference"] == 0


def test_drawing_time_may_come_from_a_run_on_a_quiet_machine(ceiling, tmp_path):
    timed = load_record(ceiling).model_copy(update={"seconds_per_frame": 0.123})
    row = Row(add_own_row(ceiling, [timed], root=tmp_path))
    assert row.record.seconds_per_frame == 0.123
    assert row.entry.verification.evidence["timed_on_frames"] == 160


def test_a_model_without_a_card_and_a_part_of_a_version_are_refused(ceiling):
    record = load_record(ceiling)
    stranger = record.model_copy(update={"model": record.model.model_copy(update={"name": "stranger"})})
    with pytest.raises(ConfigError, match=r"has no card here .*storybench submit"):
        own_card(stranger)
    part = record.model_copy(update={"dataset": record.dataset.model_copy(update={"hash": "0" * 64})})
    with pytest.raises(DataError, match="No benchmark version"):
        benchmark_of(part)


def test_the_shipped_board_is_whole_and_its_own_rows_have_our_cards():
    assert check_board(RESULTS) == ()
    rows = Board(RESULTS).rows("toonsv-v1")
    assert {row.name for row in rows} >= {"storygptv", "storygptv-explicit", "char_ldm", "char_ldm-explicit", *PINNED}
    for row in rows:
        if (CARDS / f"{row.record.model.name}.yaml").is_file():
            assert row.entry.card == own_card(row.record)
            assert row.entry.pinned == PINNED.get(row.record.model.name)


def test_the_cards_count_the_weights_that_draw():
    from safetensors import safe_open

    counts = {}
    for path in (Path(__file__).parents[2] / "storygptv" / "weights" / "miniature").rglob("*.safetensors"):
        with safe_open(path, "np") as file:
            counts[path.parent.name] = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    of_stage_1 = sum(n for part, n in counts.items() if part not in ("llm", "aligner"))
    assert OmegaConf.load(CARDS / "storygptv.yaml").parameters == sum(counts.values())
    assert OmegaConf.load(CARDS / "char_ldm.yaml").parameters == of_stage_1
