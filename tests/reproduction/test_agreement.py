"""The criterion: which second drawings agree with a row."""

from __future__ import annotations

import json

import pytest

from storybench.errors import DataError
from storybench.reproduction.agreement import READ_ALIKE, agreement, as_json
from storybench.reproduction.tables import characters_of, load_frames, scored


@pytest.fixture
def row(invented):
    return invented.invented_frames(stories=60, wrong=0.3)


def other_bytes(table, frames):
    """Return the table with other files in the first frames."""
    out = table.copy()
    out["sha256"] = ["f" * 64 if i < frames else old for i, old in enumerate(table["sha256"])]
    return out


def read_otherwise(table, frames):
    """Return the table with another of two asked for characters missing in some frames: no score moves."""
    out = table.copy()
    read = [json.loads(cell) for cell in table["predicted_counts"]]
    wrong = [i for i, asked in enumerate(table["expected"]) if table["frame"][i] == 0 and 0 < len(read[i]) < len(asked)]
    for i in wrong[:frames]:
        read[i] = dict.fromkeys(table["expected"][i][:-1], 1)
    assert len(wrong) >= frames
    out["predicted_counts"] = [json.dumps(each) for each in read]
    return other_bytes(out, len(table))


def test_the_same_files_agree(row):
    found = agreement(row, row.copy())
    assert found.agrees
    assert (found.equal, found.read_alike, found.frames, found.stories) == (300, 300, 300, 60)
    assert all(each.difference.value == 0 for each in found.metrics)


def test_other_files_that_are_read_alike_agree(row):
    found = agreement(row, other_bytes(row, 300))
    assert (found.agrees, found.equal, found.read_alike) == (True, 0, 300)


@pytest.mark.parametrize(("frames", "agrees"), [(6, True), (7, False)])
def test_98_percent_of_the_frames_must_be_read_alike(row, frames, agrees):
    found = agreement(row, read_otherwise(row, frames))
    assert found.read_alike == 300 - frames
    assert (found.read_alike >= READ_ALIKE * 300) is agrees
    assert found.far == []
    assert found.agrees is agrees


def test_files_that_are_the_same_under_scores_that_are_not_do_not_agree(row):
    """The numbers of such a row are not those of its frames."""
    names = characters_of(row)
    real, better = scored(row, names), scored(row, names)
    claimed = better["char_acc"]
    better["char_acc"] = claimed._replace(value=claimed.value + 0.05, without=claimed.without + 0.05)
    found = agreement(row, row.copy(), (better, real))
    assert (found.equal, found.far, found.agrees) == (300, ["char_acc"], False)
    assert "too far off: char_acc" in found.sentence


def test_intervals_hold_together(row):
    found = agreement(row, read_otherwise(row, 5))
    assert found.level == pytest.approx(1 - 0.05 / len(found.metrics))
    assert json.loads(json.dumps(as_json(found)))["frames_read_alike"] == 295
    assert len(found.differing) == 5


def test_other_frames_cannot_be_compared(row):
    with pytest.raises(DataError, match="other stories than its record says"):
        agreement(row[row["story"] != "s003"].reset_index(drop=True), row)


def test_without_readings_only_bytes_can_agree(row):
    bare = row[["story", "frame", "cluster", "expected", "sha256"]]
    assert agreement(bare, bare).agrees
    found = agreement(bare, other_bytes(bare, 1))
    assert (found.read_alike, found.agrees) == (None, False)


def test_a_table_is_read_sorted_and_only_the_stories_asked_for(invented, tmp_path, row):
    invented.write_run(tmp_path / "run", row.sample(frac=1, random_state=0))
    table = load_frames(tmp_path / "run", ["s001", "s000"])
    assert list(zip(table["story"], table["frame"], strict=True)) == [
        (s, k) for s in ("s000", "s001") for k in range(5)
    ]


@pytest.mark.parametrize("column", ["sha256", "cluster"])
def test_a_table_without_a_column_is_said_in_one_sentence(tmp_path, row, column):
    row.drop(columns=column).to_parquet(tmp_path / "frames.parquet")
    with pytest.raises(DataError, match=f"lacks {column}"):
        load_frames(tmp_path)


@pytest.mark.parametrize("cell", ["not json", "[1, 2]", '{"Ann": "many"}'])
def test_a_damaged_cell_is_said_in_one_sentence(row, cell):
    broken = row.copy()
    broken.loc[3, "predicted_counts"] = cell
    with pytest.raises(DataError, match="damaged"):
        scored(broken, ["Ann", "Bob"])
