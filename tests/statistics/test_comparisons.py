"""Pairs of models: p-values, Holm, gates, rank sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from storybench.statistics.bootstrap import Difference, paired_difference, ratio
from storybench.statistics.comparisons import compare_models, holm, is_equivalent, is_not_worse, mcnemar, ranks_of
from storybench.statistics.permutation import swap_test
from storybench.statistics.ranks import RankSet, rank_sets


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_exact_binomial_test(b, c):
    theirs = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(theirs, rel=1e-9)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_by_hand():
    assert mcnemar(1, 5) == pytest.approx(2 * 7 / 64)  # (1 + 6) of 64 ways, both tails
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)


def test_holm_by_hand():
    """Smallest times 4, next times 3, ...; none below the one before, none above 1, in the order given."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert np.isnan(holm([0.01, np.nan])[1])
    assert holm([0.01, np.nan])[0] == pytest.approx(0.01)
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    adjusted, m, alpha = holm(p_values), len(p_values), 0.05
    order, rejected = np.argsort(p_values, kind="stable"), set()
    for step, k in enumerate(order):
        if (m - step) * p_values[k] > alpha:
            break
        rejected.add(int(k))
    assert {k for k in range(m) if adjusted[k] <= alpha} == rejected
    assert np.all(adjusted >= np.array(p_values))


def test_rank_sets_by_hand():
    """A beats C and D, B beats D; A and B, B and C, C and D are open."""
    found = rank_sets(["A", "B", "C", "D"], [("A", "C"), ("A", "D"), ("B", "D")])
    assert found == {"A": (1, 2), "B": (1, 3), "C": (2, 4), "D": (3, 4)}
    assert [str(found[m]) for m in "AD"] == ["1-2", "3-4"]
    assert str(RankSet(2, 2)) == "2"


@given(st.permutations(list("abcdef")), st.data())
def test_rank_sets_hold_the_true_rank_and_tie_when_nothing_is_known(order, data):
    pairs = [(w, x) for i, w in enumerate(order) for x in order[i + 1 :]]
    known = data.draw(st.lists(st.sampled_from(pairs), unique=True))
    found = rank_sets(sorted(order), known)
    assert all(found[m].best <= k + 1 <= found[m].worst for k, m in enumerate(order))
    assert sum(r.worst - r.best for r in found.values()) == 6 * 5 - 2 * len(known)
    assert set(rank_sets(order, []).values()) == {(1, 6)}
    assert [rank_sets(order, pairs)[m] for m in order] == [(k, k) for k in range(1, 7)]


def test_rank_sets_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="each said to be better"):
        rank_sets(["A", "B"], [("A", "B"), ("B", "A")])
    with pytest.raises(ValueError, match="not a pair"):
        rank_sets(["A", "B"], [("A", "X")])
    with pytest.raises(ValueError, match="named twice"):
        rank_sets(["A", "A"], [])


def models(clusters=40):
    """Two equal models and a worse one, on the same clusters."""
    rng = np.random.default_rng(0)
    skill = rng.beta(14, 6, clusters)
    shares = {"first": skill, "twin": skill, "worse": skill * 0.7}
    return {k: np.column_stack([rng.binomial(20, p), np.full(clusters, 20)]).astype(float) for k, p in shares.items()}


def test_all_pairs_are_compared_and_ranked():
    rows = models()
    found = compare_models(rows, ratio(), draws=2_000)
    assert [(c.base, c.other) for c in found] == [("first", "twin"), ("first", "worse"), ("twin", "worse")]
    assert [c.is_significant for c in found] == [False, True, True]
    assert [c.winner() for c in found] == [None, "first", "twin"]
    assert found[1].winner(higher_is_better=False) == "worse"
    assert found[1].difference == paired_difference(rows["first"], rows["worse"], ratio(), draws=2_000)
    assert found[1].p_value == swap_test(rows["first"], rows["worse"], ratio(), draws=2_000).p_value
    assert found[1].adjusted == pytest.approx(3 * found[1].p_value)
    assert ranks_of(list(rows), found) == {"first": (1, 2), "twin": (1, 2), "worse": (3, 3)}
    assert ranks_of(list(rows), found, higher_is_better=False)["worse"] == (1, 1)
    with pytest.raises(ValueError, match="two or more models"):
        compare_models({"alone": rows["first"]}, ratio())


def test_gate_looks_at_the_bad_end_of_the_interval():
    slightly_worse = Difference(-0.01, -0.03, 0.01)
    assert is_not_worse(slightly_worse, 0.04)
    assert not is_not_worse(slightly_worse, 0.03)  # an end on the margin does not pass
    assert is_not_worse(slightly_worse, 0.02, higher_is_better=False)
    assert is_equivalent(slightly_worse, 0.04)
    assert not is_equivalent(Difference(0.05, -0.03, 0.09), 0.04)
    assert not is_not_worse(Difference(0.5, None, None), 0.1)
    with pytest.raises(ValueError, match="below 0"):
        is_not_worse(slightly_worse, -0.1)
