"""Paired differences from values without each cluster: against the paired bootstrap, the swap test, and the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storybench.errors import DataError
from storybench.records.left_out import load_left_out, save_left_out
from storybench.statistics import bootstrap
from storybench.statistics.left_out import LeftOut, are_paired, paired_difference, pairwise_p_values
from storybench.statistics.permutation import swap_test
from storybench.statistics.statistic import leave_one_out, point, ratio

RATIO = ratio()


def of(rows, statistic=RATIO, units=None):
    names = units or tuple(f"{i:04d}" for i in range(len(rows)))
    return LeftOut(point(rows, statistic), names, leave_one_out(rows, statistic), np.ones(len(rows)))


def shares(rng, clusters, right, frames=5, spread=0.15):
    """Return (right, frames) of several models on the same clusters, which are hard or easy for all."""
    hard = rng.normal(0, spread, clusters)
    sizes = rng.integers(frames - 2, frames + 3, clusters)
    return [np.column_stack([rng.binomial(sizes, np.clip(p + hard, 0.01, 0.99)), sizes]).astype(float) for p in right]


def test_equal_runs_differ_by_exactly_nothing():
    (rows,) = shares(np.random.default_rng(0), 50, [0.7])
    found = paired_difference(of(rows), of(rows))
    assert found[:5] == (0.0, 0.0, 0.0, 0.0, 1.0)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_the_other_way_round_is_the_mirror_image(seed, clusters):
    a, b = (of(rows) for rows in shares(np.random.default_rng(seed), clusters, [0.7, 0.6]))
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert there.value == -back.value
    if there.low is not None:
        assert there.low == pytest.approx(-back.high, abs=1e-12)
        assert there.p_value == pytest.approx(back.p_value, abs=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_order_of_clusters_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    a, b = shares(rng, 40, [0.7, 0.6])
    order = rng.permutation(40)
    found, shuffled = paired_difference(of(a), of(b)), paired_difference(of(a[order]), of(b[order]))
    assert shuffled == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("clusters", [100, 500])
@pytest.mark.parametrize("gap", [0.0, 0.03, 0.1])
def test_interval_agrees_with_the_paired_bootstrap_on_ratios(clusters, gap):
    """Ends within 10 % of the interval's half width: BCa bends it a little, and 10,000 draws leave 1 to 2 %."""
    a, b = shares(np.random.default_rng(clusters), clusters, [0.8, 0.8 - gap])
    ours, theirs = paired_difference(of(a), of(b)), bootstrap.paired_difference(a, b, RATIO)
    half = (theirs.high - theirs.low) / 2
    assert ours.value == pytest.approx(theirs.value, abs=1e-12)
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * half)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * half)


def test_interval_agrees_with_the_paired_bootstrap_on_a_statistic_that_is_no_mean():
    """Micro F1 of sums, the statistic of char_f1; tolerance as above."""
    rng = np.random.default_rng(3)
    a, b = (np.column_stack([rng.binomial(9, p, 300), rng.binomial(3, 0.2, 300), rng.binomial(3, 0.25, 300)])
            .astype(float) for p in (0.8, 0.75))  # fmt: skip

    def f1(weights, rows):
        tp, fp, fn = (weights @ rows).T
        return 2 * tp / (2 * tp + fp + fn)

    ours, theirs = paired_difference(of(a, f1), of(b, f1)), bootstrap.paired_difference(a, b, f1)
    half = (theirs.high - theirs.low) / 2
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.1 * half)


def test_matrix_of_p_values_holds_those_of_the_pairs():
    rows = shares(np.random.default_rng(1), 200, [0.7, 0.7, 0.66, 0.5])
    runs = {f"m{i}": of(each) for i, each in enumerate(rows)}
    matrix = pairwise_p_values(runs)
    assert np.array_equal(matrix, matrix.T)
    assert np.array_equal(np.diag(matrix), np.ones(4))
    for i, a in enumerate(runs.values()):
        for j, b in enumerate(runs.values()):
            if i != j:
                assert matrix[i, j] == pytest.approx(paired_difference(a, b).p_value, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.02, 0.03])
def test_p_values_are_close_to_those_of_the_swap_test(gap):
    """10,000 patterns leave a standard error of 0.005 at p = 0.5; of 5 frames a cluster, ties would add 0.03 to p."""
    a, b = shares(np.random.default_rng(round(gap * 100) + 7), 300, [0.75, 0.75 - gap / 3], frames=50)
    ours, theirs = paired_difference(of(a), of(b)).p_value, swap_test(a, b, RATIO).p_value
    assert ours == pytest.approx(theirs, abs=0.02)


@pytest.mark.parametrize(("clusters", "level"), [(32, 0.95), (150, 0.95), (150, 0.99)])
def test_interval_holds_the_true_difference_as_often_as_it_says(clusters, level):
    """1,000 simulated pairs with a true difference of 0.1; a right interval is within 3.5 binomial errors."""
    rng, hits, trials = np.random.default_rng(0), 0, 1_000
    for _ in range(trials):
        hard = rng.uniform(-0.15, 0.15, clusters)
        a, b = (np.column_stack([rng.binomial(5, p + hard), np.full(clusters, 5)]).astype(float) for p in (0.6, 0.5))
        found = paired_difference(of(a), of(b), level=level)
        hits += found.low <= -0.1 <= found.high
    assert abs(hits / trials - level) <= 3.5 * np.sqrt(level * (1 - level) / trials)


def test_clusters_that_tell_nothing_give_no_degree_of_freedom():
    a, b = shares(np.random.default_rng(5), 30, [0.7, 0.6])
    empty = np.zeros((400, 2))
    alone = paired_difference(of(a), of(b))
    among = paired_difference(of(np.vstack([a, empty])), of(np.vstack([b, empty])))
    assert among.units == alone.units <= 30
    assert among == pytest.approx(alone, rel=1e-9)


def test_without_spread_nothing_but_equality_is_known():
    one, other = (
        LeftOut(0.5, ("a",), np.array([np.nan]), np.ones(1)),
        LeftOut(0.4, ("a",), np.array([np.nan]), np.ones(1)),
    )
    assert paired_difference(one, one)[:3] == (0.0, 0.0, 0.0)
    assert paired_difference(one, other)[1:4] == (None, None, None)


def test_other_units_or_sizes_are_no_pair():
    a, b = (of(rows) for rows in shares(np.random.default_rng(0), 20, [0.7, 0.6]))
    renamed, resized = b._replace(units=tuple(f"x{u}" for u in b.units)), b._replace(sizes=b.sizes * 2)
    for other in (renamed, resized):
        assert not are_paired(a, other)
        with pytest.raises(ValueError, match="different units"):
            paired_difference(a, other)
        with pytest.raises(ValueError, match="different units"):
            pairwise_p_values({"a": a, "b": other})


def test_a_table_comes_back_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    first, second = (of(rows) for rows in shares(rng, 70, [0.7, 0.6]))
    groups = LeftOut(1.5, ("g1", "g2", "g3"), np.array([1.4, np.nan, 1.6]), np.array([100.0, 90.0, 95.0]))
    written = {"b_metric": first, "a_metric": second, "frechet": groups}
    save_left_out(written, tmp_path)
    found = load_left_out(tmp_path)
    assert list(found) == list(written)
    for metric, each in written.items():
        assert found[metric].value == each.value
        assert found[metric].units == each.units
        assert np.array_equal(found[metric].without, each.without, equal_nan=True)
        assert np.array_equal(found[metric].sizes, each.sizes)
    assert set(load_left_out(tmp_path, metrics=["frechet"])) == {"frechet"}
    assert set(load_left_out(tmp_path / "left_out.parquet", metrics=["nothing"])) == set()


def test_no_metric_at_all_is_a_table_too(tmp_path):
    save_left_out({}, tmp_path)
    assert load_left_out(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table at all"])
def test_a_damaged_table_is_said_in_one_sentence(tmp_path, content):
    (tmp_path / "left_out.parquet").write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        load_left_out(tmp_path)
    with pytest.raises(DataError, match="score it again"):
        load_left_out(tmp_path / "elsewhere")
