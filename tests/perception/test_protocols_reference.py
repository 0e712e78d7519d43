"""Which stories and which true frames a protocol compares: the counts of the published scripts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import DataError
from storybench.perception.protocols import PROTOCOLS, Reference
from storybench.perception.protocols.referring import (
    OwnFrames,
    TrueKey,
    drawn_true_frames,
    every_true_frame,
    names,
    reference_draws,
    sub_frames,
    taking_part,
)

CLIPS = 40
WINDOWS = [[f"clip{k + j:03d}" for j in range(5)] for k in range(CLIPS - 4)]  # stride 1: a clip is in up to 5 stories
PLACES = [(window[0], t) for window in WINDOWS for t in range(5)]
FRAMES = [clip for window in WINDOWS for clip in window]


def five(frame: str) -> int:
    return 5


def test_every_sub_frame_of_every_clip_comes_once():
    keys = every_true_frame(FRAMES, five)
    assert len(keys) == len(set(keys)) == CLIPS * 5
    assert every_true_frame(FRAMES[::-1], five) == keys  # whatever the order of stories


def test_flintstones_has_11885_true_frames():
    """metrics.md 5.1: 2,377 test clips of 5 sub-frames."""
    assert len(every_true_frame([str(k) for k in range(2377)] * 4, five)) == 11_885


@pytest.mark.parametrize(("stories", "lost"), [(2309, 5), (2326, 6), (32, 0), (15, 15)])
def test_dropping_the_last_batch_of_16_loses(stories, lost):
    rule = PROTOCOLS["fid/legacy-storygptv/v1"].reference
    ids = [f"s{(k * 7919) % stories:04d}" for k in range(stories)]  # in no order
    kept = taking_part(ids, rule, str)
    assert len(ids) - len(kept) == lost
    assert kept == [i for i in ids if i in set(kept)]
    assert set(ids) - set(kept) == set(sorted(ids)[len(kept) :])


def test_storydalle_scores_the_first_1900_stories():
    rule = PROTOCOLS["fid/legacy-storydalle/v1"].reference
    ids = [str(k) for k in range(2309)]
    assert taking_part(ids, rule, str) == ids[:1900]
    assert taking_part(ids[:40], rule, str) == ids[:40]


@pytest.mark.parametrize("name", ["arldm", "storyviz", "makeastory"])
def test_the_others_take_every_story(name):
    ids = [str(k) for k in range(2309)]
    assert taking_part(ids, PROTOCOLS[f"fid/legacy-{name}/v1"].reference, str) == ids


def test_a_drawn_reference_has_one_true_frame_for_each_generated_one_and_repeats_clips():
    keys = drawn_true_frames(PLACES, FRAMES, five, seed=0)
    assert [key.frame for key in keys] == FRAMES
    assert max(Counter(key.frame for key in keys).values()) == 5
    assert len(set(keys)) < len(keys)
    counts = Counter(key.part for key in keys)
    assert set(counts) == set(range(5))
    assert max(counts.values()) < 2 * min(counts.values())  # 180 draws of 5, about 36 each


def test_draws_are_fixed_and_know_nothing_of_their_neighbours():
    keys = drawn_true_frames(PLACES, FRAMES, five, seed=1)
    assert keys == drawn_true_frames(PLACES, FRAMES, five, seed=1)
    assert keys != drawn_true_frames(PLACES, FRAMES, five, seed=0)
    assert drawn_true_frames(PLACES[50:60], FRAMES[50:60], five, seed=1) == keys[50:60]


def test_five_draws_or_one_where_nothing_can_differ():
    rule = PROTOCOLS["fid/legacy-arldm/v1"].reference
    assert rule == Reference("drawn", 5)
    draws = reference_draws(PLACES, FRAMES, five, rule)
    assert len({tuple(draw) for draw in draws}) == 5
    assert reference_draws(PLACES, FRAMES, lambda frame: 1, rule) == [[TrueKey(frame, 0) for frame in FRAMES]]
    assert len(reference_draws(PLACES, FRAMES, five, PROTOCOLS["fid/clean-inception/v1"].reference)) == 1


def test_a_toonsv_frame_is_its_own_only_sub_frame():
    stories = [ToonSV("mini")[k] for k in range(2)]
    source = sub_frames(stories)
    assert isinstance(source, OwnFrames)
    keys = every_true_frame([name for story in stories for name in names(story)], source.count)
    assert len(keys) == 10
    assert source.load(TrueKey(stories[1].frames[3].id, 0)).tobytes() == stories[1].frames[3].image.tobytes()


def test_true_frames_without_pictures_are_said():
    story = ToonSV("mini")[0]
    blind = replace(story, frames=tuple(replace(frame, load=None) for frame in story.frames))
    with pytest.raises(DataError, match="has no picture here"):
        sub_frames([blind]).load(TrueKey(names(blind)[0], 0))
