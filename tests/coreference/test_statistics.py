"""Counts over stories: against a count by hand, and against a second, plain count on ToonSV."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement

from storybench.coreference.selection import EVERY, STRATA, strata, takes
from storybench.coreference.statistics import PublishedTally, SplitTally, StoryTally
from storybench.data.toonsv.dataset import ToonSV
from storybench.story import Caption, Frame, Mention, Story


def frame(index: int, original: str, referential: str, marks: list[tuple] = (), frame_id: str = "") -> Frame:
    mentions = tuple(Mention(index, s, e, referential[s:e], *rest) for s, e, *rest in marks)
    captions = {"original": Caption(original), "referential": Caption(referential, mentions)}
    return Frame(index, captions, ("Fred",), "kitchen" if index else "", id=frame_id)


def story(story_id: str, frame_ids: tuple[str, str]) -> Story:
    frames = (
        frame(0, "Fred eats there.", "Fred eats there.", [(0, 4, ("Fred",), "explicit")], frame_ids[0]),
        frame(
            1,
            "Fred and Wilma think she is late.",
            "They think she is late.",
            [(0, 4, ("Fred", "Wilma"), "referential", "subject", 1, True), (11, 14, (), "uncertain")],
            frame_ids[1],
        ),
    )
    return Story(story_id, "made", "test", frames, (), cluster="episode")


def test_count_by_hand():
    tally = StoryTally("referential", "original")
    for made in (story("a", ("1", "2")), story("b", ("2", "3")), story("c", ("8", "9"))):
        tally.add(made)
    report = tally.report()
    assert (report["stories"], report["frames"], report["distinct_frames"], report["clusters"]) == (3, 6, 5, 1)
    assert report["words"] == {"total": 24, "per_caption": 4.0, "per_story": 8.0}
    assert report["characters"] == {"Fred": 6}
    assert report["settings"] == {"kitchen": 3}
    assert report["overlap"] == {"stories_sharing_a_frame": 0.666667, "stories_per_frame": 1.2}
    assert report["references"] == {
        "per_story": {"frames_with_he_she_they": 1.0, "frames_beginning_with_he_she_they": 1.0},
        "cross_frame": {"total": 3, "per_story": 1.0},
        "distance": {"1": 3},
        "plural": 3,
        "ambiguous": 3,
        "uncertain": 3,
        "changed_frames": 3,
    }
    assert report["texts"]["original"]["mentions"] == 0
    assert report["texts"]["referential"]["mentions"] == 9
    assert report["texts"]["referential"]["surfaces"] == {"they": 3}


def test_nothing_counted_is_no_number():
    report = StoryTally("referential", "original").report()
    assert report["stories"] == 0
    assert report["words"]["per_caption"] is None
    assert report["references"]["cross_frame"]["per_story"] is None


def test_only_the_texts_asked_for_are_told():
    told = []

    class Watched(dict):
        def __getitem__(self, text):
            told.append(text)
            return super().__getitem__(text)

    base = story("a", ("1", "2"))
    frames = tuple(
        Frame(f.index, Watched({**f.captions, "published": Caption("x")}), f.characters, f.setting) for f in base.frames
    )
    StoryTally("referential", "original").add(Story("a", "made", "test", frames, ()))
    assert set(told) == {"referential", "original"}


def test_toonsv_against_a_plain_count():
    stories = list(ToonSV("mini"))
    tally = StoryTally("referential", "explicit")
    for made in stories:
        tally.add(made)
    report = tally.report()
    mentions = [m for s in stories for f in s.frames for m in f.captions["referential"].mentions]
    across = [m for m in mentions if m.kind == "referential" and m.distance]
    assert report["references"]["cross_frame"]["total"] == len(across)
    assert report["references"]["distance"] == {
        str(k): n for k, n in sorted(Counter(m.distance for m in across).items())
    }
    assert report["references"]["plural"] == sum(len(m.characters) > 1 for m in across)
    assert report["references"]["ambiguous"] == sum(m.ambiguous for m in across)
    assert report["overlap"] == {"stories_sharing_a_frame": 0.0, "stories_per_frame": 1.0}
    changed = [f.captions["explicit"].text != f.captions["referential"].text for s in stories for f in s.frames]
    assert report["references"]["changed_frames"] == sum(changed)


def test_splits_share_what_both_take():
    stories = list(ToonSV("mini"))
    tally = SplitTally()
    for k, made in enumerate(stories):
        tally.add(made.id, strata(made), core=k % 2 == 0)
    shared = tally.shared()
    for a, b in combinations_with_replacement(STRATA, 2):
        both = sum(takes(a, made) and takes(b, made) for made in stories)
        assert shared[a][b] == shared[b][a] == both
    assert tally.stories[EVERY] == len(stories)
    assert tally.ids[EVERY] == [made.id for made in stories[::2]]
    assert tally.ids["plural"] == [made.id for made in stories[::2] if takes("plural", made)]


def test_published_counts_stand_beside_words():
    tally = PublishedTally()
    tally.add(3, ["Then the end.", "They wave."], {"replaced": 1, "changed": 0}, ["", "IndexError"])
    tally.add(2, ["He waves."], {"replaced": 2, "changed": 1})
    assert tally.report() == {
        "published_count_per_story": 2.5,
        "frames_with_he_she_they_per_story": 1.0,
        "frames_beginning_with_he_she_they_per_story": 1.0,
        "replaced_frames": 3,
        "changed_frames": 1,
        "crashed_frames": 1,
        "crashes": {"IndexError": 1},
    }
