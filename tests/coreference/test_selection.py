"""Which stories a split takes: every rule on stories made by hand, and what holds on ToonSV as a whole."""

from __future__ import annotations

import hashlib

import pytest

from storybench.coreference.chance import cross_frame_mentions
from storybench.coreference.selection import (
    EVERY,
    MIN_HARD_REFERENCES,
    SELECTIONS,
    STRATA,
    carries_setting,
    references,
    strata,
    takes,
)
from storybench.data.splits import SelectedStories, compared, ids_sha256, selected, shipped
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError
from storybench.story import Caption, Frame, Mention, Story


def told(*frames: tuple[str, str, list[tuple]]) -> Story:
    """A story of (setting, caption, [(characters, kind, distance, ambiguous)]); spans do not matter here."""
    built = []
    for index, (setting, text, marks) in enumerate(frames):
        mentions = tuple(
            Mention(index, 0, 1, text[:1], tuple(who), kind, distance=distance, ambiguous=ambiguous)
            for who, kind, distance, ambiguous in marks
        )
        built.append(Frame(index, {"referential": Caption(text, mentions)}, (), setting))
    return Story("s", "made", "test", tuple(built), ())


def references_only(*marks: tuple) -> Story:
    return told(("", "A walks.", [(("A",), "explicit", None, False)]), ("", "He runs.", list(marks)))


EASY = (("A",), "referential", 1, False)
FAR = (("A",), "referential", 2, False)
AMBIGUOUS = (("A",), "referential", 1, True)
PLURAL = (("A", "B"), "referential", 1, False)
SAME_CAPTION = (("A",), "referential", 0, True)
UNCERTAIN = ((), "uncertain", None, False)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], set()),
        ([EASY], {"distance_1"}),
        ([FAR], {"distance_2"}),
        ([(("A",), "referential", 4, False)], {"distance_4"}),
        ([(("A",), "referential", 7, False)], set()),
        ([AMBIGUOUS], {"distance_1", "ambiguous"}),
        ([PLURAL], {"distance_1", "plural"}),
        ([SAME_CAPTION, UNCERTAIN], set()),
        ([EASY] * 9, {"distance_1"}),
        ([FAR, AMBIGUOUS], {"distance_1", "distance_2", "ambiguous"}),
        ([FAR, AMBIGUOUS, PLURAL], {"distance_1", "distance_2", "ambiguous", "plural", "coref_heavy"}),
        ([FAR] * MIN_HARD_REFERENCES, {"distance_2", "coref_heavy"}),
        ([PLURAL] * (MIN_HARD_REFERENCES - 1) + [SAME_CAPTION, UNCERTAIN], {"distance_1", "plural"}),
    ],
)
def test_rules_read_references_across_frames(marks, expected):
    story = references_only(*marks)
    assert strata(story) == expected
    assert {name for name in STRATA if takes(name, story)} == expected
    assert takes(EVERY, story)


@pytest.mark.parametrize(
    ("frames", "carried"),
    [
        ([("living room", "A sits in the living room."), ("living room", "A sleeps.")], True),
        ([("living room", "A sits in the room."), ("living room", "A sleeps.")], False),  # never stated in full
        ([("living room", "A sits in the living room."), ("living room", "A leaves the room.")], False),
        ([("living room", "A sits in the living room."), ("kitchen", "A sleeps.")], False),
        ([("living room", "A sleeps."), ("living room", "A sits in the living room.")], False),
        ([("Fred's house", "A is at Fred's House!"), ("", "B."), ("Fred's house", "A eats.")], True),
        ([("farm", "A sits by the barn."), ("farm", "A sleeps.")], True),
        ([("farm", "A sits on the farm."), ("farm", "A sleeps in the barn.")], False),
        ([("", "A sits."), ("", "A sleeps.")], False),
        ([("in the", "A is in the tub."), ("in the", "A eats.")], False),  # no content word names a place
    ],
)
def test_setting_is_carried_over_if_stated_before_and_not_now(frames, carried):
    story = told(*[(setting, text, []) for setting, text in frames])
    assert carries_setting(story) is carried
    assert takes("setting", story) is carried


def test_unknown_selection_is_named():
    with pytest.raises(ConfigError, match=r"Unknown selection 'corefheavy'\. Did you mean: coref_heavy"):
        takes("corefheavy", references_only())
    with pytest.raises(ConfigError, match="Unknown selection"):
        selected(ToonSV("mini"), "plurals")


def test_membership_depends_on_the_story_alone():
    stories = list(ToonSV("mini"))
    alone = {story.id: strata(ToonSV("mini")[k]) for k, story in enumerate(stories)}
    assert {story.id: strata(story) for story in reversed(stories)} == alone


@pytest.mark.parametrize("select", SELECTIONS)
def test_selected_stories_are_a_lazy_sequence_in_order(select):
    base = ToonSV("mini")
    chosen = selected(base, select)
    ids = [story.id for story in base if takes(select, story)]
    assert [story.id for story in chosen] == ids
    assert [chosen[k].id for k in range(len(chosen))] == ids
    assert ids, "every ToonSV split has stories in mini"


def test_a_few_stories_are_found_without_testing_all():
    asked = []

    class Watched(ToonSV):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    chosen = iter(SelectedStories(Watched("test"), "coref_heavy"))
    assert [next(chosen).id for _ in range(2)]
    assert len(asked) < 30


def test_share_of_coref_heavy_stories_on_toonsv():
    stories = list(ToonSV("test"))
    share = sum(takes("coref_heavy", story) for story in stories) / len(stories)
    assert 0.38 < share < 0.42
    for story in stories:
        if takes("coref_heavy", story):
            assert len(references(story)) >= MIN_HARD_REFERENCES


def test_references_are_the_cross_frame_mentions():
    story = ToonSV("test")[3]
    assert references(story) == tuple(
        m for f in story.frames for m in cross_frame_mentions(f.captions["referential"].mentions)
    )


def test_hash_follows_the_set_of_ids_alone():
    assert ids_sha256(["b", "a"]) == ids_sha256(["a", "b"])
    assert ids_sha256(["a", "b"]) != ids_sha256(["a"])
    assert ids_sha256(["b", "a"]) == hashlib.sha256(b"a\nb").hexdigest()


@pytest.mark.parametrize("subset", ["val", "test", "mini"])
@pytest.mark.parametrize("select", SELECTIONS)
def test_toonsv_ids_match_the_shipped_hash(subset, select):
    entry = shipped({"name": "toonsv", "frames": 5}, subset, select)
    ids = [story.id for story in selected(ToonSV(subset), select)]
    assert entry == {"stories": len(ids), "sha256": ids_sha256(ids)}
    assert compared(entry, ids_sha256(ids)) == "matches"
    assert compared(entry, ids_sha256(ids[1:])) == "differs"


@pytest.mark.parametrize(
    "options",
    [{"size": 3}, {"seed": 1}, {"frames": 7}, {"rule": "storygptv_cut", "root": "x"}, {"name": "other"}],
)
def test_no_hash_ships_for_other_stories(options):
    assert shipped({"name": "toonsv", "frames": 5, **options}, "mini", "all") is None
    assert compared(None, "ab") == "not shipped"
