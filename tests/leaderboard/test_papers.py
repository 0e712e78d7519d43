"""Published numbers: every one has a table, a source and caveats, and none is copied where it can be read."""

import pandas as pd
import pytest

from leaderboard.papers import SHARES, experiment_rows, published_tables
from leaderboard.views import published
from storybench.cli.paper import PaperRow


def test_every_published_row_of_the_experiments_is_shown_once():
    shown = [
        (row.model, tuple(row.values.items())) for t in published_tables() for row in t.rows if row.source == "paper"
    ]
    nodes = [PaperRow.model_validate(node) for node in experiment_rows().values()]
    assert sorted(shown) == sorted((node.row, tuple(node.values.items())) for node in nodes)
    assert len(nodes) == 46


def test_every_table_states_protocol_source_and_caveats():
    for table in published_tables():
        assert table.protocol
        assert table.caveats
        assert {row.source for row in table.rows} == set(table.sources)


def test_shares_are_fractions_everywhere():
    for table in published_tables():
        for row in table.rows:
            assert all(0 <= row.values[m] <= 1 for m in SHARES if m in row.values), row


@pytest.mark.parametrize(
    ("model", "metric", "value"),
    [  # read off the papers' tables
        ("StoryGPT-V (OPT-6.7B), ref", "char_acc", 0.8796),
        ("MaskGST, d = 2048", "char_f1", 0.6510),
        ("StoryGAN", "fid", 158.06),
        ("AR-LDM, DII captions", "fid", 17.03),
        ("MEGA-StoryDALL-E", "char_acc", 0.1801),
        ("StoryGPT-V, 50 frames", "fid", 61.23),
    ],
)
def test_numbers_are_those_of_the_papers(model, metric, value):
    found = [
        row.values[metric] for t in published_tables() for row in t.rows if row.model == model and metric in row.values
    ]
    assert value in found


def test_rows_keep_the_order_of_their_table_and_are_not_sorted_by_value():
    table = next(t for t in published_tables() if t.title.startswith("PororoSV, story visualization"))
    assert [row.model for row in table.rows][:3] == ["StoryGAN", "CP-CSV", "DuCo-StoryGAN"]
    assert list(table.frame()["model"]) == [row.model for row in table.rows]


def test_tables_are_shown_in_percent_with_direction():
    first = published.tables()[0].shown.data
    assert {"char acc ↑", "fid ↓", "note", "source"} <= set(first.columns)
    row = first[first["model"] == "StoryGPT-V (OPT-6.7B), ref"].iloc[0]
    assert row["char acc ↑"].text == "87.96"
    assert row["cider ↑"].text == "1.6607"
    assert isinstance(first, pd.DataFrame)
