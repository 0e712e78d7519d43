"""Tables and charts: numbers as people read them, charts that Vega-Lite accepts, no page that data can write."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard import arranging, explained
from leaderboard.comparing import differences, rank_by
from leaderboard.controls import ESCAPED, escape, titles
from leaderboard.data import load_tables
from leaderboard.views import board as board_view
from leaderboard.views import card, cells, charts, metric_pages, paired, points, record
from storybench.board.row import Row
from storybench.cli.table import number as printed
from storybench.records.score import Score

from .conftest import MINI  # type: ignore[import-not-found]


@pytest.fixture(scope="module")
def tables(board):
    return load_tables(board, MINI).of_text("referential")


@given(st.floats(-300, 300, allow_nan=False), st.booleans())
def test_numbers_are_shown_as_the_command_line_prints_them(value, share):
    score = Score(value=value, n=1, higher_is_better=True, protocol="x", fraction=share)
    assert cells.number(value, fraction=share, digits_of=value) == printed(score, value)


def test_a_cell_is_value_and_half_interval_and_empty_without_a_value():
    score = {"value": 0.916, "low": 0.905, "high": 0.927, "fraction": True}
    assert cells.cell(score) == "91.6 ±1.1"
    assert cells.cell({**score, "low": math.nan}) == "91.6"
    assert cells.cell({**score, "value": math.nan}) == ""


def test_the_table_shows_text_and_sorts_by_number(board, tables):
    order = [str(n) for n in arranging.ordered(tables, "char_acc").index]
    ranking = rank_by(board, tables, "char_acc")
    table = board_view.board_table(tables, order, ["char_acc", "antecedent_acc", "frechet"], ranking, titles(tables))
    assert [cell.text for cell in table["rank"]] == ["ceiling", "1", "2-3", "2-3", "withdrawn", "floor"]
    assert table["rank"].astype(float).is_monotonic_increasing
    assert table["char acc ↑"][1] == tables.scores.query("row == 'alpha' and metric == 'char_acc'")["value"].iloc[0]
    assert "±" in table["frechet ↓"][1].text
    assert table["antecedent acc ↑"][3] is None
    assert table["model"][1] == "Alpha"


def test_the_styled_table_reaches_streamlit_with_values_and_texts(board, tables):
    import pyarrow as pa
    from streamlit.elements.lib.pandas_styler_utils import marshall_styler
    from streamlit.proto.ArrowData_pb2 import ArrowData

    table = board_view.board_table(
        tables, ["alpha", "gamma"], ["antecedent_acc"], rank_by(board, tables, "char_acc"), titles(tables)
    )
    proto = ArrowData()
    marshall_styler(proto, board_view.styled(table), "x")
    shown = pa.ipc.open_stream(proto.styler.display_values).read_pandas()
    assert "±" in shown["antecedent acc ↑"].iloc[0]
    assert shown["antecedent acc ↑"].iloc[1] == ""


def test_rows_with_one_title_are_told_apart(maker):
    for name in ("one", "two"):
        maker.add(name, title="Same")
    maker.add("three", title="Other")
    assert titles(load_tables(maker.root, MINI)) == {"one": "Same (one)", "two": "Same (two)", "three": "Other"}


@given(st.text(max_size=40))
def test_escaped_text_has_no_bare_sign_of_markdown(text):
    shown = escape(text)
    assert "\n" not in shown
    rest = shown.replace("\\\\", "")
    for sign in ESCAPED.replace("\\", ""):
        assert rest.count(sign) == rest.count(f"\\{sign}")


def valid(chart):
    """Return the Vega-Lite of a chart; altair validates it against its schema."""
    return json.dumps(chart.to_dict())


def test_charts_of_the_board_are_valid_and_transparent(tables):
    order = [str(n) for n in arranging.ordered(tables, "char_acc").index]
    dots = points.of_metric(tables, order, "char_acc", titles(tables))
    assert len(dots) == 6
    assert '"background": "transparent"' in valid(charts.whiskers(dots, "char acc"))
    timed, front = points.against_time(tables, dots, "char_acc")
    assert set(timed["row"]) == {"alpha", "beta", "gamma"}  # nobody who is shown the truth, nobody withdrawn
    assert list(front["row"]) == ["beta", "alpha"]
    chart = valid(charts.pareto(timed, front, "char acc"))
    assert "Beta (front)" in chart
    assert '"type": "log"' in chart


def test_a_chart_of_one_point_without_interval_is_valid():
    point = pd.DataFrame(
        [
            {
                "row": "a",
                "label": "A",
                "value": 1.0,
                "low": np.nan,
                "high": np.nan,
                "kind": "x",
                "text": "1",
                "seconds": 1.0,
            }
        ]
    )
    valid(charts.whiskers(point, "t"))
    valid(charts.pareto(point, point, "t"))


def test_differences_are_turned_so_that_right_is_better(board, tables):
    table = differences(board, tables, ["beta", "alpha"], ["char_acc", "frechet"])
    dots = points.of_differences(table, titles(tables))
    assert (dots["value"] > 0).all()  # alpha is better under both, and lower is better for frechet
    assert (dots["low"] <= dots["value"]).all()
    assert (dots["value"] <= dots["high"]).all()
    drawn = charts.differences(dots)
    assert len(drawn) == 2
    for chart in drawn.values():
        assert "triangle-right" in valid(chart)


def test_differences_are_said_in_words(board, tables):
    table = differences(board, tables, ["alpha", "beta", "gamma"], ["char_acc", "lpips"])
    shown = paired.shown(table, titles(tables)).data
    assert set(shown["verdict"]) == {"▼ worse", "cannot be paired"}
    assert shown["difference"][0].text.endswith(" pp")
    assert shown["why not"].iloc[-1]
    sentences = paired.summary(differences(board, tables, ["beta", "gamma"], ["char_acc"]), titles(tables))
    assert "no difference established on char acc" in sentences[0]


def test_a_record_in_full(board, tables):
    row = Row(board / MINI / "gamma")
    table = record.metrics(tables.scores[tables.scores["row"] == "gamma"])
    assert len(table) == 4
    missing = table[table["metric"] == "antecedent acc ↑"].iloc[0]
    assert (missing["value"], missing["not run because"]) == ("", "its network is not here")
    assert record.by_character(row.record)["recall"].tolist() == [80.0]
    valid(charts.curve(record.by_distance(row.record), "x", "y"))
    valid(charts.whiskers(record.by_pronoun(row.record), "%"))
    assert dict(record.provenance(row.record))["Fingerprint"] == row.record.fingerprint


def test_a_record_without_details_has_empty_parts(board):
    bare = Row(board / MINI / "gamma").record.model_copy(update={"details": {}})
    for part in (record.by_character, record.by_distance, record.by_pronoun):
        assert part(bare).empty


def test_a_card_is_text_and_never_markup(maker):
    nasty = "<img src=x onerror=alert(1)>"
    folder = maker.add(
        "evil",
        title=nasty,
        authors=[nasty],
        licence=nasty,
        training_data=nasty,
        description=nasty,
        oracle_inputs=[nasty],
        links={"code": "https://example.org/?a=1&b=2"},
        warnings=[nasty],
    )
    entry = Row(folder).entry
    shown = card.card(entry) + card.verification(entry)
    assert "<img" not in shown
    assert 'rel="noopener noreferrer nofollow"' in shown
    assert "a=1&amp;b=2" in shown


def test_evidence_of_any_shape_is_words():
    found = dict(
        card.evidence({"equal_frames": 160, "ok": True, "off": {"char_acc": 0.001}, "list": [1], "none": None})
    )
    assert found == {"equal frames": "160", "ok": "yes", "off": "char_acc 0.001", "list": "[1]", "none": "null"}


def test_every_metric_is_explained_with_its_formula():
    about = explained.explanations()
    assert set(explained.headline()) <= set(about)
    assert all(its.about and its.formula for its in about.values())
    assert "\\|" not in "".join(its.formula for its in about.values())


def test_an_installed_package_lacks_the_formulas_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(explained, "CHECKOUT", tmp_path)
    explained.explanations.cache_clear()
    try:
        assert explained.document("docs", "audit", "audit.png") is None
        assert explained.explanations()["char_acc"].about
        assert explained.explanations()["char_acc"].formula == ""
        assert metric_pages.formulas(["char_acc"])
    finally:
        explained.explanations.cache_clear()


def test_the_overview_counts_rows_and_shows_noise(tables):
    table = metric_pages.overview(tables, ["char_acc", "lpips", "kid"]).set_index("metric")
    assert table.loc["char_acc", "rows"] == "3 of 3"
    assert float(table.loc["char_acc", "noise"]) > 0
    assert table.loc["lpips", "not run because"] == "its network is not here"
    assert table.loc["kid", "rows"] == "0 of 0"
