"""Every page opens: on a full board, an empty one, one row and damaged ones; and the address holds what was chosen."""

from pathlib import Path

import pytest

st_testing = pytest.importorskip("streamlit.testing.v1", reason="the board needs pip install 'storybench[leaderboard]'")

from .conftest import MINI  # type: ignore[import-not-found]  # noqa: E402

APP = Path(__file__).parents[2] / "leaderboard" / "served" / "board.py"
ROWS = ("leaderboard", "compare", "stories", "model", "metrics")  # pages about rows
PAGES = (*ROWS, "published", "changelog")


def opened(name, root, monkeypatch, **query):
    """Return a page after its first run."""
    monkeypatch.setenv("STORYBENCH_BOARD", str(root))
    app = st_testing.AppTest.from_file(str(APP), default_timeout=120)
    app.query_params["benchmark"] = MINI
    if name != PAGES[0]:
        app.run()
        app.switch_page(f"../pages/{name}.py")
    app.query_params.update(query)
    return app.run()


MARKDOWN = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error")


def words(app, kinds=(*MARKDOWN, "html")):
    """Return all text of a page."""
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(board, monkeypatch, page):
    app = opened(page, board, monkeypatch)
    assert not app.exception
    assert app.title or page == "changelog"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_board(tmp_path, monkeypatch, page):
    app = opened(page, tmp_path, monkeypatch)
    assert not app.exception
    if page in ROWS and page != "metrics":
        assert "No rows of" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_one_row(maker, monkeypatch, page):
    maker.add("only", thumbs=True)
    assert not opened(page, maker.root, monkeypatch).exception


@pytest.mark.parametrize("page", PAGES)
def test_a_damaged_row_is_a_warning_on_every_page(maker, monkeypatch, page):
    maker.add("good", thumbs=True)
    (maker.add("bad") / "record.json").write_text("{")
    app = opened(page, maker.root, monkeypatch)
    assert not app.exception
    if page in ROWS:
        assert "bad" in "".join(w.value for w in app.warning)


def test_the_table_is_ranked_with_the_pinned_rows_at_its_ends(board, monkeypatch):
    app = opened("leaderboard", board, monkeypatch, metric="char_acc")
    table = app.dataframe[0].value
    assert list(table["model"]) == ["True frames", "Alpha", "Beta", "Gamma", "Gone", "Strangers"]


def test_charts_are_drawn_only_where_they_are_asked_for(board, monkeypatch):
    table = opened("leaderboard", board, monkeypatch)
    assert table.dataframe
    assert not table.get("vega_lite_chart")
    assert not table.get("arrow_vega_lite_chart")
    app = opened("leaderboard", board, monkeypatch, show="Charts")
    assert not app.exception
    assert not app.dataframe
    assert {"Values and 95 % intervals", "Quality against time"} <= {each.value for each in app.subheader}


def test_the_address_restores_the_view(board, monkeypatch):
    app = opened("leaderboard", board, monkeypatch, q="beta", metric="frechet", withdrawn="false")
    assert list(app.dataframe[0].value["model"]) == ["Beta"]
    assert app.selectbox(key="metric").value == "frechet"
    assert "5 rows hidden by filters" in words(app)
    button = next(b for b in app.button if b.label == "Show all rows")
    app = button.click().run()
    assert len(app.dataframe[0].value) == 6
    assert "hidden by filters" not in words(app)


def test_an_address_with_nonsense_shows_the_default_view(board, monkeypatch):
    app = opened("leaderboard", board, monkeypatch, metric="no_such", text="<b>", levels="x")
    assert not app.exception
    assert app.selectbox(key="text").value == "referential"
    assert len(app.dataframe[0].value) == 6


def test_columns_can_be_chosen(board, monkeypatch):
    app = opened("leaderboard", board, monkeypatch, columns_characters="char_acc", columns_distribution="")
    assert "char acc ↑" in app.dataframe[0].value
    assert "frechet ↓" not in app.dataframe[0].value


def test_published_numbers_stand_apart(board, monkeypatch):
    app = opened("published", board, monkeypatch)
    assert not app.exception
    assert "protocol differs" in app.warning[0].value
    assert len(app.dataframe) == 16
    assert "Alpha" not in words(app)


def test_the_other_text_has_its_own_rows(board, monkeypatch):
    app = opened("leaderboard", board, monkeypatch, text="explicit")
    assert list(app.dataframe[0].value["model"]) == ["Alpha"]


def test_a_comparison_opens_from_its_address(board, monkeypatch):
    app = opened("compare", board, monkeypatch, rows=["alpha", "beta", "gamma"], metrics=["char_acc"])
    assert not app.exception
    assert len(app.dataframe[0].value) == 2
    assert "worse on char acc" in words(app)


def test_stories_show_captions_marks_and_frames(board, monkeypatch):
    app = opened("stories", board, monkeypatch, models=["alpha", "beta"], page="2")
    assert not app.exception
    shown = words(app)
    assert "32" in shown
    assert shown.count("data:image/webp;base64,") == 12 * 3  # second page of 32 stories; true frames and two models
    assert "found nobody" in shown


def test_a_model_page_says_what_was_not_run_and_how_to_repeat_it(board, monkeypatch):
    app = opened("model", board, monkeypatch, row="gamma")
    assert not app.exception
    assert any("storybench reproduce toonsv-mini-v1/gamma" in code.value for code in app.code)
    assert "its network is not here" in "".join(str(d.value.to_dict()) for d in app.dataframe)


def test_cards_cannot_write_the_page(maker, monkeypatch):
    nasty = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) **b** $x$ :red[c]"
    maker.add(
        "evil", title=nasty, authors=[nasty], warnings=[nasty], oracle_inputs=[nasty], withdrawn=nasty, thumbs=True
    )
    for page in ("leaderboard", "model", "stories", "compare"):
        app = opened(page, maker.root, monkeypatch, rows=["evil"])
        assert not app.exception
        assert "<img src=x" not in words(app, ["html"])
        written = words(app, MARKDOWN)
        assert written.count("<img") == written.count("\\<img")
        assert "](javascript" not in written
        assert ":red[" not in written


@pytest.mark.slow
def test_a_thousand_rows_open_in_seconds(maker, monkeypatch):
    import time

    for k in range(1000):
        maker.add(f"m{k}", chance=0.3 + k / 2000, seed=k, title=f"Model {k}")
    opened("leaderboard", maker.root, monkeypatch)
    start = time.perf_counter()
    app = opened("leaderboard", maker.root, monkeypatch)
    assert not app.exception
    assert len(app.dataframe[0].value) == 1000
    assert time.perf_counter() - start < 20
