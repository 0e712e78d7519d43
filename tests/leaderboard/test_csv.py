"""Every CSV of the board passes through one function, which keeps strangers' text from running in a spreadsheet."""

import io

import pandas as pd
import pytest

from leaderboard.arranging import FORMULA, csv


@pytest.mark.parametrize("first", FORMULA)
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(first):
    table = pd.DataFrame({"title": [f"{first}1+cmd", "plain"], "value": [-0.5, 0.25]})
    found = pd.read_csv(io.StringIO(csv(table)))
    assert found["title"].tolist()[0] == f"'{first}1+cmd".replace("\r", " ")
    assert found["title"].tolist()[1] == "plain"
    assert found["value"].tolist() == [-0.5, 0.25]  # numbers stay numbers
    assert table["title"].tolist()[0].startswith(first)  # and the table is not changed


def test_no_page_writes_a_csv_by_itself():
    from pathlib import Path

    import leaderboard

    for path in Path(leaderboard.__file__).parent.rglob("*.py"):
        if path.name != "arranging.py":
            assert ".to_csv(" not in path.read_text(), path.name
