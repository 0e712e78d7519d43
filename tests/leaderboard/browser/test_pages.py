"""Every page of the board in a real browser, as a visitor uses it."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

pytestmark = pytest.mark.slow

MINI = "toonsv-mini-v1"
WHERE = f"benchmark={MINI}"
PAGES = {
    "leaderboard": f"/?{WHERE}",
    "compare": f"/compare?{WHERE}&rows=upper&rows=twin-a",
    "stories": f"/stories?{WHERE}&models=upper&models=long",
    "model": f"/model?{WHERE}&row=upper",
    "metrics": f"/metrics?{WHERE}",
    "published": "/published",
    "try_it": "/try_it",
    "submit": "/submit",
    "changelog": "/changelog",
}
MODEL, CHAR_ACC = 2, 4  # columns of the board's table


def cells(window, column: int) -> list[str]:
    """Return the text of one column of the first table of a page; the canvas keeps it for those who cannot see it."""
    window.page.wait_for_selector("[data-testid=stDataFrame] td", state="attached", timeout=60_000)
    return window.page.locator(
        f"[data-testid=stDataFrame] >> nth=0 >> td[aria-colindex='{column}']"
    ).all_text_contents()


def names(window) -> list[str]:
    return cells(window, MODEL)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_loads_without_an_error(name, scheme, visit, screenshots):
    window = visit(color_scheme=scheme)
    window.open(PAGES[name])
    window.page.wait_for_timeout(1500)  # charts and pictures, for the eye
    window.page.screenshot(path=screenshots / f"{name}-{scheme}.png")
    height = window.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    window.page.set_viewport_size({"width": 1440, "height": min(height + 40, 6000)})
    window.page.wait_for_timeout(800)
    window.page.screenshot(path=screenshots / f"{name}-{scheme}-whole.png")
    window.assert_sound()


@pytest.mark.parametrize("name", PAGES)
def test_no_page_asks_another_host(name, visit):
    window = visit()
    window.open(PAGES[name])
    window.page.wait_for_timeout(1000)
    assert window.foreign == []


def test_a_phone_sees_the_board_without_sideways_scrolling(visit, screenshots):
    window = visit(viewport={"width": 390, "height": 844})
    window.open(PAGES["leaderboard"])
    window.page.screenshot(path=screenshots / "leaderboard-phone.png")
    assert window.page.evaluate("document.documentElement.scrollWidth") <= 390
    window.assert_sound()


def test_navigation_leads_to_every_page(visit):
    window = visit()
    window.open("/")
    for title in ("Compare", "Stories", "Metrics", "As published", "Try it", "Submit", "Changelog", "Leaderboard"):
        window.page.get_by_role("link", name=title, exact=True).first.click()
        window.settle()
        assert title in window.page.locator("h1").first.inner_text()
    window.assert_sound()


def test_ranking_by_another_metric_sorts_the_rows(visit):
    window = visit()
    window.open(f"/?{WHERE}&metric=antecedent_acc")
    best = names(window)
    window.open(f"/?{WHERE}&metric=frechet")
    other = names(window)
    assert set(best) == set(other)
    assert best[0] == other[0] == "true frames"
    assert best != other
    window.assert_sound()


def test_clicking_a_head_sorts_by_value_not_by_text(visit):
    window = visit()
    window.open(PAGES["leaderboard"])
    before = cells(window, CHAR_ACC)
    canvas = window.page.locator("[data-testid=stDataFrame] canvas").first
    box = canvas.bounding_box()
    head = window.page.locator(f"[data-testid=stDataFrame] >> nth=0 >> th[aria-colindex='{CHAR_ACC}']")
    assert "char acc" in head.text_content()
    # where the column begins: the box that selects, rank, model and level have fixed widths
    window.page.mouse.click(box["x"] + 32 + 76 + 210 + 110 + 30, box["y"] + 18)
    window.page.wait_for_timeout(800)
    after = [float(text) for text in cells(window, CHAR_ACC)]
    assert after in (sorted(after), sorted(after, reverse=True))
    assert sorted(before) == sorted(cells(window, CHAR_ACC))
    assert before != cells(window, CHAR_ACC)
    window.assert_sound()


def test_search_hides_rows_and_says_how_many(visit):
    window = visit()
    window.open(PAGES["leaderboard"])
    everything = names(window)
    window.page.get_by_role("textbox", name="Search").fill("twin; author 1")
    window.page.keyboard.press("Enter")
    window.settle()
    found = names(window)
    assert {"Twin A", "Twin B"} <= set(found)
    assert len(found) < len(everything)
    hidden = len(everything) - len(found)
    banner = window.page.get_by_text(re.compile(rf"^{hidden} rows? hidden by filters"))
    assert banner.is_visible()
    window.page.get_by_role("button", name="Show all rows").click()
    window.settle()
    assert names(window) == everything
    assert banner.count() == 0
    window.assert_sound()


def test_a_search_without_a_match_is_an_empty_table_not_an_error(visit):
    window = visit()
    window.open(f"/?{WHERE}&q=nobody-is-called-so")
    assert window.page.get_by_text(re.compile("rows hidden by filters")).is_visible()
    window.assert_sound()


@pytest.mark.parametrize(
    "path",
    [
        f"/?{WHERE}&q=twin&metric=char_f1&withdrawn=false",
        f"/?{WHERE}&text=explicit&levels=regenerated",
        f"/stories?{WHERE}&models=upper&models=long&sort=id&page=2",
        f"/compare?{WHERE}&rows=upper&rows=long&metrics=char_acc",
        f"/model?{WHERE}&row=twin-b",
    ],
)
def test_a_permalink_opened_in_a_new_window_shows_the_same_view(path, visit):
    one = visit()
    one.open(path)
    address = one.page.url
    two = visit()
    two.page.goto(address)
    two.settle()
    assert two.page.url == address
    assert two.main.inner_text() == one.main.inner_text()
    if "stDataFrame" in one.page.content():
        assert names(two) == names(one)
    two.assert_sound()


def test_a_view_chosen_by_hand_is_in_the_address(visit):
    window = visit()
    window.open(f"/?{WHERE}")
    window.page.get_by_role("textbox", name="Search").fill("upper")
    window.page.keyboard.press("Enter")
    window.settle()
    other = visit()
    other.page.goto(window.page.url)
    other.settle()
    assert other.page.get_by_role("textbox", name="Search").input_value() == "upper"
    assert "q=upper" in other.page.url


def test_nonsense_in_the_address_is_ignored(visit):
    window = visit()
    window.open("/?benchmark=../../etc&text=<script>&metric=nope&levels=9&q=%00&page=-1")
    assert window.page.locator("h1").first.inner_text() == "Leaderboard"
    window.open(f"/model?{WHERE}&row=..%2F..")
    window.open(f"/stories?{WHERE}&models=nobody&page=999&sort=nope")
    window.assert_sound()


def test_comparing_shows_paired_differences_and_equal_rows_do_not_differ(visit):
    window = visit()
    window.open(f"/compare?{WHERE}&rows=twin-a&rows=twin-b&metrics=char_acc&metrics=antecedent_acc")
    said = window.page.locator("[data-testid=stDataFrame] >> nth=0 >> table").text_content(timeout=30_000)
    assert "no difference" in said
    window.open(f"/compare?{WHERE}&rows=upper&rows=long&metrics=char_acc")
    table = window.page.locator("[data-testid=stDataFrame] >> nth=0 >> table").text_content(timeout=30_000)
    assert "worse" in table
    window.assert_sound()


def test_stories_are_paged(visit):
    window = visit()
    window.open(f"/stories?{WHERE}&models=upper&sort=id")
    first = set(re.findall(r"toonsv-mini-\d{5}", window.main.inner_text()))
    window.page.get_by_test_id("stPagination").get_by_text("2", exact=True).click()
    window.settle()
    second = set(re.findall(r"toonsv-mini-\d{5}", window.main.inner_text()))
    assert (len(first), len(second)) == (20, 12)
    assert not first & second
    assert "page=2" in window.page.url
    window.assert_sound()


def test_csv_holds_the_rows_shown_in_full_precision(visit, board):
    window = visit()
    window.open(f"/?{WHERE}&q=twin")
    with window.page.expect_download() as waiting:
        window.page.get_by_role("button", name="Download CSV").click()
    lines = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    assert [line["name"] for line in lines if line["model"].startswith("twin")] == ["twin-a", "twin-b"]
    record = board.row(f"{MINI}/twin-a").record
    line = next(x for x in lines if x["name"] == "twin-a")
    assert float(line["char_acc"]) == record.scores["char_acc"].value
    assert line["fingerprint"] == record.fingerprint
    with window.page.expect_download() as waiting:
        window.page.get_by_role("button", name="Download JSON").click()
    assert json.loads(waiting.value.path().read_text())["benchmark"] == MINI
    window.assert_sound()


@pytest.mark.parametrize("name", ["leaderboard", "compare", "stories", "model"])
def test_markup_of_a_card_is_shown_as_text_and_does_not_run(name, visit, screenshots):
    path = {
        "leaderboard": f"/?{WHERE}&q=script",
        "compare": f"/compare?{WHERE}&rows=markup&rows=gone",
        "stories": f"/stories?{WHERE}&models=markup",
        "model": f"/model?{WHERE}&row=markup",
    }[name]
    window = visit()
    dialogs = []
    window.page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    window.open(path)
    window.page.wait_for_timeout(1000)
    window.page.screenshot(path=screenshots / f"markup-{name}.png")
    assert window.page.title() != "run"
    assert dialogs == []
    assert window.page.locator("img[src=x], b:text-is('bold'), strong:text-is('stars'), .katex").count() == 0
    shown = names(window) if name == "leaderboard" else [window.main.inner_text()]
    if name != "compare":
        assert any("<script>document.title='run'</script>" in text for text in shown)
    window.assert_sound()


def test_a_withdrawn_row_stays_visible_as_withdrawn(visit):
    window = visit()
    window.open(f"/model?{WHERE}&row=gone")
    assert "Withdrawn: its frames were copies of the true ones <i>(found by a reader)</i>" in window.main.inner_text()
    window.assert_sound()
