"""Stories: which come first, what is marked in them, and that data cannot write the page."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard import browsing, story_text
from leaderboard.browsing import Judged, Reference, Told
from leaderboard.views import strips
from storybench.benchmark import load_benchmark
from storybench.board.row import Row
from storybench.errors import DataError

from .conftest import MINI  # type: ignore[import-not-found]

NASTY = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def frames(board):
    return {name: Row(board / MINI / name).frames() for name in ("alpha", "beta")}


@pytest.mark.parametrize("field", browsing.FIELDS)
def test_a_story_scores_the_share_of_its_frames(frames, field):
    scores = browsing.story_scores(frames["alpha"], field)
    assert len(scores) == 32
    assert scores.dropna().between(0, 1).all()
    story = frames["alpha"]["story"].iloc[0]
    own = frames["alpha"][frames["alpha"]["story"] == story]
    expected = {
        "characters": own["correct"].mean(),
        "setting": own["setting_correct"].mean(),
        "references": own["mentions_resolved"].sum() / max(own["mentions_total"].sum(), 1),
    }
    assert scores[story] == pytest.approx(expected[field])


def test_the_largest_gap_comes_first(frames):
    scores = [browsing.story_scores(frames[name], "characters") for name in ("alpha", "beta")]
    found = browsing.ordered_stories(scores, "gap", browsing.tags(frames["alpha"]))
    gaps = [scores[0][story] - scores[1][story] for story in found]
    assert gaps == sorted(gaps, reverse=True)
    assert len(found) == 32


def test_worst_of_the_first_and_story_id(frames):
    scores = [browsing.story_scores(frames["beta"], "characters")]
    tags = browsing.tags(frames["beta"])
    worst = [scores[0][story] for story in browsing.ordered_stories(scores, "worst", tags)]
    assert worst == sorted(worst)
    assert browsing.ordered_stories(scores, "id", tags) == sorted(tags)


def test_a_table_without_a_reading_is_sorted_by_id(frames):
    bare = frames["beta"][["story", "frame", "expected"]]
    for field in browsing.FIELDS:
        scores = browsing.story_scores(bare, field)
        assert scores.isna().all()
        assert browsing.ordered_stories([scores], "worst", browsing.tags(bare)) == sorted(set(bare["story"]))


def test_tags_say_what_the_mentions_are(frames):
    tags = browsing.tags(frames["alpha"])
    for story, text in zip(frames["alpha"]["story"], frames["alpha"]["mentions"], strict=True):
        for mention in json.loads(text):
            assert ("plural" in tags[story]) or len(mention["characters"]) < 2
            assert ("distant" in tags[story]) or mention["distance"] < 2
    both = browsing.ordered_stories([], "id", tags, ["plural", "distant"])
    assert 0 < len(both) < 32
    assert all({"plural", "distant"} <= tags[story] for story in both)


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (20, 1), (21, 2), (500, 25)])
def test_twenty_stories_a_page(count, pages):
    assert browsing.pages(count) == pages


def test_marks_name_who_is_there_who_is_not_and_who_was_not_asked():
    judged = Judged(("Zara", "Finn"), ("Zara", "Otto"), "expected Finn and Zara, found Otto and Zara")
    shown = strips.marks(judged)
    assert "✓ Zara" in shown
    assert "✗ Finn" in shown
    assert "+ Otto" in shown
    assert judged.reason in shown
    assert "✓ nobody" in strips.marks(Judged((), (), ""))
    assert "not read" in strips.marks(Judged(("Zara",), None, ""))


def test_a_reference_is_bracketed_and_its_antecedent_named():
    told = Told("Then she waves.", (Reference(5, 8, "she", ("Zara",), 2, True),))
    shown = strips.caption(told)
    assert "[she]" in shown
    assert "she = Zara" in shown
    assert "named 2 frames before" in shown
    assert "the pronoun alone does not decide" in shown


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_no_text_of_the_data_becomes_markup(caption, name, start, end):
    told = Told(
        caption + NASTY, (Reference(min(start, end), max(start, end), name + NASTY, (name + NASTY,), 1, False),)
    )
    reel = strips.Reel(name + NASTY, None, NASTY, [Judged((name + NASTY,), (NASTY,), NASTY)])
    shown = strips.story(name + NASTY, [told], [reel], 1)
    assert "<script" not in shown
    assert "alert(1)</" not in shown
    assert shown.count("<div") == shown.count("</div>")


def test_the_captions_are_those_of_the_benchmark():
    version = load_benchmark(MINI)
    story = story_text.stories_of(version)[0]
    told = story_text.told(story, story_text.caption_mode(version, "referential"))
    assert [t.caption for t in told] == [f.captions["referential"].text for f in story.frames]
    for t in told:
        for reference in t.references:
            assert t.caption[reference.start : reference.end] == reference.surface


def test_true_frames_are_a_strip_of_webp():
    import io

    from PIL import Image

    strip = Image.open(io.BytesIO(story_text.true_strip(story_text.stories_of(load_benchmark(MINI))[0])))
    assert (strip.format, strip.size) == ("WEBP", (480, 96))


def test_a_data_set_that_is_not_here_is_a_sentence(monkeypatch):
    monkeypatch.delenv("STORYBENCH_PORORO", raising=False)
    with pytest.raises(DataError, match="STORYBENCH_PORORO=DIR"):
        story_text.stories_of(load_benchmark("pororo-v1"))


def test_judgements_stand_by_frame(frames):
    story = frames["beta"]["story"].iloc[0]
    found = browsing.judged(frames["beta"].sample(frac=1, random_state=0), [story])[story]
    own = frames["beta"][frames["beta"]["story"] == story].sort_values("frame")
    assert [j.reason for j in found] == own["reason"].tolist()
    assert isinstance(frames["beta"], pd.DataFrame)
