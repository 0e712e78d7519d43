"""Whether a caption tells its place: against ToonSV's own grammar, and on invented captions of the other data sets."""

from __future__ import annotations

import pytest

from storybench.coreference.places import names_place
from storybench.data.facts import load_facts
from storybench.data.toonsv import grammar
from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.planner import plan_story

FLINTSTONES = load_facts("flintstones").cast


def test_finds_exactly_the_places_that_the_grammar_told(monkeypatch):
    """The grammar's own choice is kept as it passes: it says of every frame whether the place is told."""
    chosen, choose = [], grammar.choose_template
    monkeypatch.setattr(grammar, "choose_template", lambda *a: chosen.append(choose(*a)) or chosen[-1])
    found = []
    for index in range(500):
        plan = plan_story("test", index)
        chosen.clear()
        captions = grammar.tell_story(plan)
        for event, template, told in zip(plan.events, chosen, captions, strict=True):
            assert names_place(told.explicit.text, event.setting, "toonsv")
            found.append((names_place(told.referential.text, event.setting, "toonsv"), template.same_place is None))
    assert sum(a == b for a, b in found) == len(found) == 2500
    assert 500 < sum(told for _, told in found) < 2000


@pytest.mark.parametrize(
    ("text", "setting", "named"),
    [
        ("Zara naps on the beach.", "beach", True),
        ("On the sandy beach, Zara naps.", "beach", True),
        ("Zara naps there too.", "beach", False),
        ("In the same place, she naps.", "beach", False),
        ("Her kite flies high above the bed.", "bedroom", True),
        ("She naps on the beach.", "farm", False),  # another place
    ],
)
def test_toonsv_phrases(text, setting, named):
    assert names_place(text, setting, "toonsv") is named


@pytest.mark.parametrize(
    ("text", "setting", "named"),
    [
        ("Fred is in the living room.", "living room", True),
        ("Fred is in a room.", "living room", True),  # half a place is told, so nothing has to be remembered
        ("Fred is talking.", "living room", False),
        ("Two cars stop.", "car", True),
        ("Fred sits on the porches.", "porch", True),
        ("Fred is talking.", "Fred's living room", False),  # the owner's name is no place
        ("Fred stands outside.", "outside", True),
        ("Fred stands.", "outside", False),
        ("Fred stands by the barn.", "Farm", True),
        ("Fred stands in the carpet.", "car", False),  # words, not letters
        ("Fred stands.", "", False),
    ],
)
def test_other_data_sets_by_the_words_of_the_annotation(text, setting, named):
    assert names_place(text, setting, "flintstones", FLINTSTONES) is named


def test_the_same_place_in_every_split_story_is_told_first():
    for story in ToonSV("val", size=50):
        first = story.frames[0]
        assert names_place(first.captions["referential"].text, first.setting, story.dataset, story.cast)
