"""Rows against each other: ranks and paired differences of a board on disk."""

import numpy as np
import pytest

from leaderboard.comparing import BETTER, OPEN, UNPAIRED, WORSE, differences, rank_by
from leaderboard.data import load_tables

from .conftest import MINI  # type: ignore[import-not-found]


@pytest.fixture(scope="module")
def tables(board):
    return load_tables(board, MINI).of_text("referential")


def test_only_ranked_rows_get_ranks(board, tables):
    found = rank_by(board, tables, "char_acc")
    assert set(found.ranks) == {"alpha", "beta", "gamma"}
    assert str(found.ranks["alpha"]) == "1"
    assert str(found.ranks["beta"]) == str(found.ranks["gamma"]) == "2-3"


def test_lower_is_better_turns_the_order(board, tables):
    assert str(rank_by(board, tables, "frechet").ranks["alpha"]) == "1"


def test_a_metric_that_nobody_ran_ranks_nobody(board, tables):
    assert rank_by(board, tables, "lpips") == ({}, {})
    assert rank_by(board, tables, "no such metric") == ({}, {})


def test_another_protocol_is_not_ranked_with_the_rest(maker):
    for k in range(3):
        maker.add(f"m{k}", seed=k)
    maker.add("old", protocol="other/v0")
    found = rank_by(maker.root, load_tables(maker.root, MINI), "char_acc")
    assert set(found.ranks) == {"m0", "m1", "m2"}
    assert "other/v0" in found.unranked["old"]


def test_a_row_without_or_with_a_damaged_table_is_not_ranked_and_says_so(maker):
    maker.add("good")
    (maker.add("bare") / "left_out.parquet").unlink()
    (maker.add("torn") / "left_out.parquet").write_bytes(b"PAR1 no")
    found = rank_by(maker.root, load_tables(maker.root, MINI), "char_acc")
    assert set(found.ranks) == {"good"}
    assert "no table" in found.unranked["bare"]
    assert "damaged" in found.unranked["torn"]


def test_differences_are_to_the_base_and_paired(board, tables):
    found = differences(board, tables, ["alpha", "beta", "gamma"], ["char_acc", "frechet"])
    assert len(found) == 4
    assert set(found["base"]) == {"alpha"}
    row = found[(found["metric"] == "char_acc") & (found["other"] == "beta")].iloc[0]
    assert row["value"] == pytest.approx(row["other_value"] - row["base_value"])
    assert row["low"] < row["value"] < row["high"] < 0
    assert row["verdict"] == WORSE
    assert found.loc[found["metric"] == "frechet", "value"].gt(0).all()
    assert set(found.loc[found["metric"] == "frechet", "verdict"]) == {WORSE}


def test_the_other_way_round_is_the_same_difference(board, tables):
    there = differences(board, tables, ["alpha", "beta"], ["char_acc"]).iloc[0]
    back = differences(board, tables, ["beta", "alpha"], ["char_acc"]).iloc[0]
    assert there["value"] == -back["value"]
    assert (there["low"], there["high"]) == pytest.approx((-back["high"], -back["low"]))
    assert (there["verdict"], back["verdict"]) == (WORSE, BETTER)


def test_models_that_are_alike_are_not_told_apart(board, tables):
    assert differences(board, tables, ["beta", "gamma"], ["char_acc"]).iloc[0]["verdict"] == OPEN
    assert differences(board, tables, ["beta", "beta"], ["char_acc"]).iloc[0]["verdict"] == OPEN


def test_holm_covers_the_whole_table(board, tables):
    one = differences(board, tables, ["alpha", "beta"], ["char_acc"])
    many = differences(board, tables, ["alpha", "beta", "gamma"], ["char_acc", "frechet"])
    again = many[(many["metric"] == "char_acc") & (many["other"] == "beta")]
    assert again["p_value"].iloc[0] == one["p_value"].iloc[0]
    assert again["adjusted"].iloc[0] >= one["adjusted"].iloc[0]


def test_what_cannot_be_paired_says_why(board, tables):
    found = differences(board, tables, ["alpha", "gamma"], ["antecedent_acc", "lpips"])
    assert set(found["verdict"]) == {UNPAIRED}
    assert found["value"].isna().all()
    assert np.isnan(found["adjusted"]).all()
    assert found["reason"].str.contains("its network is not here").all()


def test_other_protocols_are_not_subtracted(maker):
    maker.add("a")
    maker.add("b", seed=1, protocol="other/v0")
    found = differences(maker.root, load_tables(maker.root, MINI), ["a", "b"], ["char_acc"]).iloc[0]
    assert found["verdict"] == UNPAIRED
    assert "other/v0" in found["reason"]
