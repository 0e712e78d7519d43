"""Story rules and the choice of a clip's picture."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storybench.data.frame_choice import FrameChoice
from storybench.data.windows import LONGEST_OVERLAPPING, RULES, default_rule, story_windows
from storybench.errors import ConfigError

EPISODES = {"a": ["a1", "a2", "a3", "a4", "a5", "a6"], "b": ["b1", "b2", "b3", "b4"]}


def named(sizes: list[int]) -> dict[str, list[str]]:
    return {f"e{e:02d}": [f"e{e:02d}/{k:03d}" for k in range(size)] for e, size in enumerate(sizes)}


episodes = st.lists(st.integers(0, 30), max_size=6).map(named)
lengths = st.integers(1, 12)
rules = st.sampled_from(RULES)


@st.composite
def episodes_and_starts(draw: st.DrawFn) -> tuple[dict[str, list[str]], list[str]]:
    drawn = draw(episodes)
    clips = [clip for listed in drawn.values() for clip in listed]
    return drawn, draw(st.lists(st.sampled_from(clips), unique=True)) if clips else []


def test_the_three_rules_by_hand() -> None:
    assert story_windows(EPISODES, 4, "overlapping") == [
        ("a1", "a2", "a3", "a4"),
        ("a2", "a3", "a4", "a5"),
        ("a3", "a4", "a5", "a6"),
        ("b1", "b2", "b3", "b4"),
    ]
    assert story_windows(EPISODES, 4, "aligned") == [("a1", "a2", "a3", "a4"), ("b1", "b2", "b3", "b4")]
    # a5, a6, b1, b2 crosses the episode and is dropped; b3, b4 is what is left over
    assert story_windows(EPISODES, 4, "storygptv_cut") == [("a1", "a2", "a3", "a4")]
    assert story_windows(EPISODES, 3, "storygptv_cut") == [("a1", "a2", "a3"), ("a4", "a5", "a6"), ("b1", "b2", "b3")]


def test_starts_restrict_where_stories_begin_and_overlapping_ones_run_on() -> None:
    assert story_windows(EPISODES, 3, "overlapping", ["a2"]) == [("a2", "a3", "a4")]
    assert story_windows(EPISODES, 3, "aligned", ["a2", "a3", "a4", "a5"]) == [("a2", "a3", "a4")]
    assert story_windows(EPISODES, 2, "storygptv_cut", ["a6", "b1", "b2", "b3"]) == [("b2", "b3")]
    for rule in RULES:
        assert story_windows(EPISODES, 2, rule, []) == []


def test_auto_is_the_published_rule_up_to_five_frames() -> None:
    assert LONGEST_OVERLAPPING == 5
    for frames in range(1, 9):
        rule = "overlapping" if frames <= 5 else "aligned"
        assert default_rule(frames) == rule
        assert story_windows(named([20, 9]), frames) == story_windows(named([20, 9]), frames, rule)


@given(episodes, lengths, rules)
def test_a_story_is_a_run_of_neighbours_in_one_episode(of: dict[str, list[str]], frames: int, rule: str) -> None:
    runs = {tuple(clips[k : k + frames]) for clips in of.values() for k in range(len(clips) - frames + 1)}
    stories = story_windows(of, frames, rule)
    assert set(stories) <= runs
    assert len(set(stories)) == len(stories)
    assert all(len(story) == frames for story in stories)


@given(episodes, lengths)
def test_counts_of_stories(of: dict[str, list[str]], frames: int) -> None:
    sizes = [len(clips) for clips in of.values()]
    assert len(story_windows(of, frames, "overlapping")) == sum(max(0, n - frames + 1) for n in sizes)
    assert len(story_windows(of, frames, "aligned")) == sum(n // frames for n in sizes)
    assert len(story_windows(of, frames, "storygptv_cut")) <= sum(sizes) // frames


@given(episodes, lengths, st.sampled_from(("aligned", "storygptv_cut")))
def test_stories_of_the_long_rules_share_no_clip(of: dict[str, list[str]], frames: int, rule: str) -> None:
    clips = Counter(clip for story in story_windows(of, frames, rule) for clip in story)
    assert set(clips.values()) <= {1}


@given(episodes, lengths)
def test_a_clip_is_in_at_most_as_many_overlapping_stories_as_frames(of: dict[str, list[str]], frames: int) -> None:
    clips = Counter(clip for story in story_windows(of, frames, "overlapping") for clip in story)
    assert all(count <= frames for count in clips.values())


@given(episodes_and_starts(), lengths)
def test_overlapping_stories_are_split_by_their_first_clip(
    drawn: tuple[dict[str, list[str]], list[str]], frames: int
) -> None:
    of, starts = drawn
    everything = story_windows(of, frames, "overlapping")
    inside = story_windows(of, frames, "overlapping", starts)
    others = [clip for clips in of.values() for clip in clips if clip not in set(starts)]
    assert inside == [story for story in everything if story[0] in set(starts)]
    assert sorted(inside + story_windows(of, frames, "overlapping", others)) == sorted(everything)


@given(episodes_and_starts(), lengths, st.sampled_from(("aligned", "storygptv_cut")))
def test_the_long_rules_stay_among_the_starts(
    drawn: tuple[dict[str, list[str]], list[str]], frames: int, rule: str
) -> None:
    of, starts = drawn
    assert all(set(story) <= set(starts) for story in story_windows(of, frames, rule, starts))


@given(episodes, lengths, rules)
def test_the_order_of_starts_changes_nothing_but_the_first_1900(
    of: dict[str, list[str]], frames: int, rule: str
) -> None:
    clips = [clip for listed in of.values() for clip in listed]
    backwards, forwards = story_windows(of, frames, rule, clips[::-1]), story_windows(of, frames, rule)
    assert backwards == (forwards[::-1] if rule == "first_1900" else forwards)


def test_the_first_1900_are_cut_in_the_order_of_the_starts() -> None:
    of = {"e0": [f"e0/{k:04d}" for k in range(2_500)]}
    starts = of["e0"][::-1]
    assert [story[0] for story in story_windows(of, 5, "first_1900", starts)] == of["e0"][2_495:595:-1]


@pytest.mark.parametrize("frames", [0, -1])
def test_a_story_has_a_frame(frames: int) -> None:
    with pytest.raises(ConfigError, match=rf"dataset\.frames is {frames}: expected 1 or more"):
        story_windows(EPISODES, frames)


def test_an_unknown_rule_lists_the_rules() -> None:
    with pytest.raises(ConfigError, match=r"Unknown story rule 'alinged'.*aligned.*overlapping"):
        story_windows(EPISODES, 4, "alinged")


clip_ids = st.text("abcdefgh_0123456789", min_size=1)
counts = st.integers(1, 100)


def test_the_middle_of_the_published_counts() -> None:
    assert FrameChoice().of("any", 5) == 2
    assert FrameChoice().of("any", 75) == 37
    assert FrameChoice().of("any", 1) == 0


@given(clip_ids, counts, st.integers(0, 2**31), st.integers(0, 1000))
def test_a_choice_is_a_picture_of_the_clip_and_follows_from_its_integers(
    clip: str, count: int, seed: int, epoch: int
) -> None:
    drawn = FrameChoice("random", seed, epoch).of(clip, count)
    assert 0 <= drawn < count
    assert drawn == FrameChoice("random", seed, epoch).of(clip, count)
    assert FrameChoice("middle", seed, epoch).of(clip, count) == FrameChoice().of(clip, count) == count // 2


def test_random_choices_move_with_clip_seed_and_epoch_and_are_even() -> None:
    clips = [f"s_01_e_01_shot_{k:06d}" for k in range(5000)]
    drawn = [FrameChoice("random").of(clip, 5) for clip in clips]
    expected, deviation = 1000, math.sqrt(5000 * 0.2 * 0.8)
    assert all(abs(n - expected) < 5 * deviation for n in Counter(drawn).values())
    for moved in (FrameChoice("random", seed=1), FrameChoice("random", epoch=1)):
        same = sum(moved.of(clip, 5) == was for clip, was in zip(clips, drawn, strict=True))
        assert abs(same - expected) < 5 * deviation
    assert FrameChoice("random", 1, 12) != FrameChoice("random", 11, 2)
    pairs = [(FrameChoice("random", 1, 12).of(c, 99), FrameChoice("random", 11, 2).of(c, 99)) for c in clips]
    assert sum(a != b for a, b in pairs) > 4500


def test_a_fixed_picture_must_be_there() -> None:
    assert FrameChoice(4).of("clip", 5) == 4
    for wrong in (5, -1):
        with pytest.raises(ConfigError, match=rf"dataset\.frame is {wrong}: clip c7 has pictures 0\.\.4\."):
            FrameChoice(wrong).of("c7", 5)


@pytest.mark.parametrize("how", ["Middle", "last", "", True, 1.5, None])
def test_an_unknown_choice_is_refused(how: object) -> None:
    with pytest.raises(ConfigError, match=r"expected middle, random or a number from 0"):
        FrameChoice(how)  # type: ignore[arg-type]
