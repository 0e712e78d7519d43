"""The board as tables: what is read, what is refused, who is found and in which order."""

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard import arranging
from leaderboard.data import FACTS, load_tables, signature

from .conftest import MINI  # type: ignore[import-not-found]


@pytest.fixture(scope="module")
def tables(board):
    return load_tables(board, MINI).of_text("referential")


def test_a_row_a_folder_and_a_score_a_metric(board):
    found = load_tables(board, MINI)
    assert set(found.rows.index) == {"ground_truth", "shuffled", "alpha", "alpha-explicit", "beta", "gamma", "gone"}
    assert len(found.scores) == 4 * len(found.rows)
    assert found.problems == ()


def test_texts_are_never_mixed(board):
    whole = load_tables(board, MINI)
    explicit = whole.of_text("explicit")
    assert list(explicit.rows.index) == ["alpha-explicit"]
    assert set(explicit.scores["row"]) == {"alpha-explicit"}
    assert len(whole.of_text("referential").rows) + len(explicit.rows) == len(whole.rows)


def test_a_metric_that_was_not_run_has_no_value_and_a_reason(tables):
    missing = tables.scores[(tables.scores["row"] == "gamma") & (tables.scores["metric"] == "antecedent_acc")].iloc[0]
    assert np.isnan(missing["value"])
    assert missing["reason"] == "its network is not here"


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda folder: (folder / "record.json").write_text("{"), "not a run record"),
        (lambda folder: (folder / "entry.json").write_text("[]"), "entry"),
        (lambda folder: (folder / "entry.json").unlink(), "No readable entry"),
        (lambda folder: (folder / "record.json").unlink(), "No record"),
        (lambda folder: (folder / "record.json").write_bytes(b"\xff\xfe"), "not a run record"),
    ],
)
def test_a_damaged_row_is_a_sentence_and_hides_no_other(maker, spoil, word):
    maker.add("good")
    spoil(maker.add("bad"))
    found = load_tables(maker.root, MINI)
    assert list(found.rows.index) == ["good"]
    ((name, sentence),) = found.problems
    assert name == "bad"
    assert word in sentence


def test_a_row_without_its_tables_is_shown_and_said_to_lack_them(maker):
    folder = maker.add("bare")
    (folder / "frames.parquet").unlink()
    (folder / "left_out.parquet").unlink()
    found = load_tables(maker.root, MINI)
    assert list(found.rows.index) == ["bare"]
    assert len(found.problems) == 2
    assert not found.rows.loc["bare", "has_frames"]


def test_a_row_on_other_stories_is_refused(maker):
    folder = maker.add("other")
    content = json.loads((folder / "record.json").read_text())
    content["dataset"]["hash"] = "0" * 64
    (folder / "record.json").write_text(json.dumps(content))
    found = load_tables(maker.root, MINI)
    assert found.rows.empty
    assert "other stories" in found.problems[0].sentence


def test_an_empty_board_is_a_board(tmp_path):
    found = load_tables(tmp_path, MINI).of_text("referential")
    assert found.rows.empty
    assert arranging.ordered(found, "char_acc").empty
    assert arranging.search(found.rows, "x").empty
    assert arranging.filtered(found.rows, query="x", withdrawn=False).empty
    assert arranging.metrics_with_values(found) == []


def test_the_signature_changes_with_a_file_and_with_nothing_else(maker):
    folder = maker.add("one")
    before = signature(maker.root, MINI)
    assert signature(maker.root, MINI) == before
    (folder / "record.json").write_text((folder / "record.json").read_text() + " ")
    assert signature(maker.root, MINI) != before


def test_rows_stand_ceiling_ranked_withdrawn_floor(tables):
    assert list(arranging.ordered(tables, "char_acc").index) == [
        "ground_truth", "alpha", "beta", "gamma", "gone", "shuffled",
    ]  # fmt: skip
    assert list(arranging.ordered(tables, "frechet").index)[1] == "alpha"


def test_a_row_without_the_value_stands_last_among_its_kind(tables):
    assert list(arranging.ordered(tables, "antecedent_acc").index)[3] == "gamma"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("ALPHA", {"alpha"}),
        ("alpha; mit", {"alpha", "beta"}),
        ("lovelace", {"alpha"}),
        (" ; ", {"ground_truth", "shuffled", "alpha", "beta", "gamma", "gone"}),
        ("a.a", set()),
        ("(", set()),
        ("nobody", set()),
    ],
)
def test_search_is_a_union_of_plain_terms_whatever_the_case(tables, query, names):
    assert set(arranging.search(tables.rows, query).index) == names


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_a_union_finds_what_its_terms_find(tables, one, other):
    rows = tables.rows
    terms = [t for t in (one.replace(";", ""), other.replace(";", "")) if t.strip()]
    if not terms:
        return
    each = set().union(*(set(arranging.search(rows, term).index) for term in terms))
    assert set(arranging.search(rows, ";".join(terms)).index) == each


def test_levels_hide_submissions_and_never_the_pinned_rows(tables):
    shown = arranging.filtered(tables.rows, levels=["re-scored"])
    assert set(shown.index) == {"beta", "ground_truth", "shuffled"}
    assert set(arranging.filtered(tables.rows, levels=[]).index) == set(tables.rows.index)
    assert "gone" not in arranging.filtered(tables.rows, withdrawn=False).index


def test_a_download_gives_every_number_back(tables):
    names = list(tables.rows.index)
    back = pd.read_csv(
        io.StringIO(arranging.download(tables, names).to_csv(index=False)), float_precision="round_trip"
    ).set_index("name")
    for score in tables.scores.to_dict("records"):
        row = back.loc[score["row"]]
        if np.isnan(score["value"]):
            assert np.isnan(row[score["metric"]])
            assert row[f"{score['metric']}.reason"] == score["reason"]
        else:
            assert row[score["metric"]] == score["value"]
            assert row[f"{score['metric']}.high"] == score["high"]
            assert row[f"{score['metric']}.protocol"] == score["protocol"]
    assert set(back["benchmark"]) == {MINI}
    assert back.loc["alpha", "fingerprint"] == tables.rows.loc["alpha", "fingerprint"]


def test_a_download_holds_the_facts_in_their_order(tables):
    columns = list(arranging.download(tables, ["alpha"]).columns)
    assert columns[:4] == ["benchmark", *FACTS[:3]]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12),
    st.booleans(),
)
def test_nothing_beats_the_front_and_the_front_beats_the_rest(pairs, higher):
    points = pd.DataFrame(pairs, columns=["cost", "quality"])
    front = set(arranging.pareto_front(points, "cost", "quality", higher_is_better=higher))
    sign = 1 if higher else -1

    def beats(a, b):
        better = points.cost[a] <= points.cost[b] and sign * points.quality[a] >= sign * points.quality[b]
        return better and (points.cost[a], points.quality[a]) != (points.cost[b], points.quality[b])

    for k in points.index:
        assert (k in front) == (not any(beats(other, k) for other in points.index))


def test_points_without_a_cost_are_on_no_front():
    points = pd.DataFrame({"cost": [1.0, np.nan], "quality": [0.5, 0.9]})
    assert arranging.pareto_front(points, "cost", "quality", higher_is_better=True) == [0]


def test_the_data_layer_imports_no_torch_and_no_streamlit():
    code = (
        "import sys, leaderboard.data, leaderboard.arranging, leaderboard.comparing, leaderboard.browsing, "
        "leaderboard.papers, leaderboard.explained, leaderboard.story_text; "
        "print([m for m in ('torch', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
