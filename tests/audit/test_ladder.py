"""What the ladder does to true frames: as much as it says, the same each time, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from storybench.audit.ladder import CORRUPTIONS, SpoiltFrames
from storybench.data.toonsv import world
from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.drawing.render import render

STORIES = 60
WORLD = ToonSV("test")
SCENES = {WORLD[k].id: WORLD.scenes(k) for k in range(STORIES)}
SHARED = [name for name in CORRUPTIONS if name not in ("blur", "shuffle_in_story", "copy_previous")]
ALIKE = [name for name in SHARED if name != "shuffle_across_stories"]  # dealt among those that are hit


def shots(name, strength, seed=0):
    frames = SpoiltFrames(SCENES, name, strength, seed)
    return {(s, k): shot for s in SCENES for k, shot in enumerate(frames.shots(s))}


def changed(name, strength):
    return {
        key for key, shot in shots(name, strength).items() if shot.scene != SCENES[key[0]][key[1]] or shot.treatment
    }


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_strength_is_the_truth_to_the_last_pixel(name):
    frames = SpoiltFrames(SCENES, name, CORRUPTIONS[name][0])
    story = next(iter(SCENES))
    assert np.array_equal(np.asarray(frames.read(story, 2)), np.asarray(render(SCENES[story][2]).image))
    assert frames.key(story, 2) == SpoiltFrames(SCENES, "blur", 0.0).key(story, 2)


@pytest.mark.parametrize("name", SHARED)
def test_strength_is_the_share_of_frames_and_stronger_holds_weaker(name):
    weak, half, full = (changed(name, s) for s in (0.1, 0.5, 1.0))
    assert weak < half < full
    total = 5 * STORIES
    assert len(full) >= 0.97 * total  # a stranger or a swap may happen to look the same
    assert abs(len(half) - 0.5 * total) < 3 * np.sqrt(total) / 2  # 3 SE of a coin


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
def test_shuffling_across_stories_loses_and_doubles_no_frame(strength):
    dealt = shots("shuffle_across_stories", strength)
    before = sorted(repr(scene) for own in SCENES.values() for scene in own)
    assert sorted(repr(shot.scene) for shot in dealt.values()) == before


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_spoilt_twice_is_spoilt_alike(name):
    half, full = shots(name, 0.5), shots(name, 1.0)
    for key in changed(name, 0.5):
        assert half[key] == full[key]


def test_each_corruption_changes_what_it_says_and_keeps_the_rest():
    for (story, k), shot in shots("swap_identity", 1.0).items():
        before, after = SCENES[story][k], shot.scene
        assert after.setting == before.setting
        assert not {a.character for a in before.actors} & {a.character for a in after.actors}
        assert [(a.x, a.action, a.scarf) for a in after.actors] == [(a.x, a.action, a.scarf) for a in before.actors]
    for (story, k), shot in shots("drop_character", 1.0).items():
        assert set(shot.scene.actors) < set(SCENES[story][k].actors)
        assert len(shot.scene.actors) == len(SCENES[story][k].actors) - 1
    for (story, k), shot in shots("add_character", 1.0).items():
        new = set(shot.scene.actors) - set(SCENES[story][k].actors)
        assert len(new) == 1
        assert new.pop().character not in {a.character for a in SCENES[story][k].actors}
    for (story, k), shot in shots("swap_background", 1.0).items():
        before = SCENES[story][k].setting
        assert shot.scene.setting != before
        assert (shot.scene.setting in world.OUTDOORS) == (before in world.OUTDOORS)
        assert shot.scene.actors == SCENES[story][k].actors


def test_recolouring_touches_characters_only():
    story = next(iter(SCENES))
    frames = SpoiltFrames(SCENES, "recolour", 1.0)
    drawn = render(SCENES[story][0])
    before, after = np.asarray(drawn.image).astype(int), np.asarray(frames.read(story, 0)).astype(int)
    outside, inside = drawn.instances == 0, drawn.instances > 0
    assert np.array_equal(before[outside], after[outside])
    assert np.abs(before[inside] - after[inside]).sum(-1).mean() > 40


def test_shuffling_moves_every_frame_and_copies_repeat_the_first():
    for story, own in SCENES.items():
        order = SpoiltFrames(SCENES, "shuffle_in_story", 1.0).shots(story)
        assert sorted(s.scene.setting for s in order) == sorted(s.setting for s in own)
        copied = SpoiltFrames(SCENES, "copy_previous", 1.0).shots(story)
        assert {shot.scene for shot in copied} == {own[0]}


def test_another_seed_spoils_other_frames():
    assert shots("drop_character", 0.25, seed=1) != shots("drop_character", 0.25, seed=0)
