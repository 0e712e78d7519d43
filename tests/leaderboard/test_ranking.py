"""Rank sets of a board: what may be said of who is better, and what not."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storybench.board.ranking import rank_rows, significantly_better
from storybench.statistics.left_out import LeftOut
from storybench.statistics.ranks import RankSet, rank_sets

CLUSTERS = 40


def row(per_cluster: np.ndarray, units: tuple[str, ...] | None = None) -> LeftOut:
    """Return the mean of one number a cluster, without each cluster."""
    total, k = per_cluster.sum(), len(per_cluster)
    names = units or tuple(f"s{i:03d}" for i in range(k))
    return LeftOut(total / k, names, (total - per_cluster) / (k - 1), np.ones(k))


def rows(seed: int, count: int, spread: float) -> dict[str, LeftOut]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=CLUSTERS)
    return {f"m{i}": row(shared + spread * i + rng.normal(size=CLUSTERS)) for i in range(count)}


boards = st.builds(rows, st.integers(0, 10_000), st.integers(1, 9), st.sampled_from([0.0, 0.2, 1.0]))


@settings(max_examples=60, deadline=None)
@given(boards, st.booleans())
def test_the_place_by_value_lies_in_the_rank_set(board, higher):
    found = rank_rows(board, higher_is_better=higher)
    order = sorted(board, key=lambda name: board[name].value, reverse=higher)
    for place, name in enumerate(order, start=1):
        assert found.ranks[name].best <= place <= found.ranks[name].worst


@settings(max_examples=60, deadline=None)
@given(boards, st.randoms())
def test_the_order_of_rows_changes_no_rank(board, random):
    names = list(board)
    random.shuffle(names)
    shuffled = {name: board[name] for name in names}
    assert rank_rows(shuffled, higher_is_better=True).ranks == rank_rows(board, higher_is_better=True).ranks


@settings(max_examples=60, deadline=None)
@given(boards, st.booleans())
def test_ranks_are_those_of_the_statistics_package(board, higher):
    better = significantly_better(board, higher_is_better=higher)
    names = list(board)
    pairs = [(names[i], names[j]) for i, j in zip(*np.nonzero(better), strict=True)]
    assert rank_rows(board, higher_is_better=higher).ranks == rank_sets(names, pairs)


@settings(max_examples=30, deadline=None)
@given(boards)
def test_turning_the_scale_over_turns_no_rank_over(board):
    turned = {name: LeftOut(-r.value, r.units, -r.without, r.sizes) for name, r in board.items()}
    assert rank_rows(turned, higher_is_better=False).ranks == rank_rows(board, higher_is_better=True).ranks


def test_equal_rows_share_all_ranks():
    one = row(np.random.default_rng(0).normal(size=CLUSTERS))
    assert set(rank_rows({"a": one, "b": one, "c": one}, higher_is_better=True).ranks.values()) == {RankSet(1, 3)}


def test_clear_differences_leave_one_rank_each():
    rng = np.random.default_rng(1)
    board = {name: row(level + 0.1 * rng.normal(size=CLUSTERS)) for name, level in (("low", 0), ("top", 9), ("mid", 4))}
    assert rank_rows(board, higher_is_better=True).ranks == {
        "low": RankSet(3, 3),
        "top": RankSet(1, 1),
        "mid": RankSet(2, 2),
    }
    assert rank_rows(board, higher_is_better=False).ranks["low"] == RankSet(1, 1)


def test_pairing_separates_what_two_intervals_do_not():
    """Both rows find the same stories hard: their difference is sure although each value is not."""
    rng = np.random.default_rng(2)
    hard = 5 * rng.normal(size=CLUSTERS)
    board = {"a": row(hard), "b": row(hard + 0.3 + 0.1 * rng.normal(size=CLUSTERS))}
    assert board["b"].value - board["a"].value < hard.std() / np.sqrt(CLUSTERS)
    assert rank_rows(board, higher_is_better=True).ranks == {"a": RankSet(2, 2), "b": RankSet(1, 1)}


def test_many_equal_models_are_rarely_separated():
    """Holm bounds the chance of one false difference among all pairs: without it one board in two would have some."""
    separated = sum(
        any(r != RankSet(1, 8) for r in rank_rows(rows(seed, 8, 0.0), higher_is_better=True).ranks.values())
        for seed in range(100)
    )
    assert separated <= 12  # binomial(100, .05) exceeds 12 once in 1,000


def test_rows_on_other_stories_get_no_rank_but_a_reason():
    board = rows(3, 3, 1.0)
    board["other"] = row(np.zeros(CLUSTERS), tuple(f"t{i}" for i in range(CLUSTERS)))
    board["none"] = board["m0"]._replace(value=float("nan"))
    found = rank_rows(board, higher_is_better=True)
    assert set(found.ranks) == {"m0", "m1", "m2"}
    assert "other clusters" in found.unranked["other"]
    assert found.unranked["none"] == "has no value"


def test_an_empty_board_and_a_single_row_are_boards():
    assert rank_rows({}, higher_is_better=True).ranks == {}
    assert rank_rows(rows(0, 1, 0.0), higher_is_better=True).ranks == {"m0": RankSet(1, 1)}


@pytest.mark.slow
def test_a_thousand_rows_of_500_stories_are_ranked_in_seconds():
    rng = np.random.default_rng(0)
    board = {f"m{i}": row(i / 1000 + rng.normal(size=500)) for i in range(1000)}
    start = time.perf_counter()
    rank_rows(board, higher_is_better=True)
    assert time.perf_counter() - start < 10
