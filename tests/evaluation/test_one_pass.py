"""One pass over the pixels: each picture decoded once, floors and ceilings true to their definition, twins beside."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from storybench.coreference.counterfactual import TEXT, swap_stories
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import DataError
from storybench.evaluation import TrueFrames, evaluate
from storybench.evaluation.judging import deal
from storybench.perception.cache import ObservationCache

WANTED = ["char_acc", "char_f1", "setting_acc", "antecedent_acc", "conditional_resolution", "copy_rate"]


@cache
def stories():
    mini = ToonSV("mini")
    return tuple(mini[k] for k in range(8))


class Counting:
    """Reads true frames of the story after, and counts how often each is decoded."""

    def __init__(self, shift=1):
        ids = [s.id for s in stories()]
        self.other = dict(zip(ids, ids[shift:] + ids[:shift], strict=True))
        self.truth, self.decoded = TrueFrames(stories()), Counter()

    def read(self, story_id, frame):
        self.decoded[story_id, frame] += 1
        return self.truth.read(self.other[story_id], frame)

    def key(self, story_id, frame):
        return self.truth.key(self.other[story_id], frame)


def test_each_picture_is_decoded_at_most_once_and_never_again(tmp_path):
    drawn = Counting()
    with ObservationCache(tmp_path) as seen:
        first = evaluate(stories(), drawn, explicit_frames=drawn, cache=seen)
        assert set(drawn.decoded.values()) == {1}
        assert len(drawn.decoded) == 40
        drawn.decoded.clear()
        again = evaluate(stories(), drawn, explicit_frames=drawn, cache=seen)
    assert not drawn.decoded
    assert again.scores == first.scores
    assert again.frames.equals(first.frames)


def test_floor_is_what_frames_of_other_stories_would_score():
    place, order = deal(sorted(s.id for s in stories()))

    class Strangers(Counting):
        def read(self, story_id, frame):
            return self.truth.read(order[(place[story_id] + 1 + frame % (len(order) - 1)) % len(order)], frame)

        def key(self, story_id, frame):
            return self.truth.key(order[(place[story_id] + 1 + frame % (len(order) - 1)) % len(order)], frame)

    truth = TrueFrames(stories())
    scores = evaluate(stories(), truth, explicit_frames=truth, metrics=WANTED).scores
    floor = evaluate(stories(), Strangers(), explicit_frames=truth, metrics=WANTED).scores
    for name in WANTED:
        assert floor[name].ceiling == pytest.approx(scores[name].value), name
        if name != "copy_rate":  # frames of other stories never repeat: no floor
            assert scores[name].floor == pytest.approx(floor[name].value), name


def test_without_pictures_there_is_no_floor_no_ceiling_and_a_reason():
    scores = evaluate(stories()[:3], Counting(), with_truth=False, metrics=[*WANTED, "identity_consistency"]).scores
    assert scores["char_acc"].value is not None
    assert scores["char_acc"].floor is None
    assert scores["char_acc"].ceiling is None
    assert "true frames" in scores["identity_consistency"].reason


def test_a_reader_that_follows_the_name_flips_and_one_that_does_not_sticks():
    """Stands for two models: true frames drawn with the name swapped everywhere, and true frames as they are."""
    swapped = swap_stories(stories(), "referential")
    assert swapped
    swaps = [s.swap for s in swapped]
    assert all(TEXT in s.story.frames[0].captions for s in swapped)

    class Follows(Counting):
        def read(self, story_id, frame):
            from storybench.data.toonsv.drawing.render import render

            (swap,) = [s for s in swaps if s.story == story_id]
            index = next(k for k, s in enumerate(stories()) if s.id == story_id)
            scene = ToonSV("mini").scenes(index)[frame]
            actors = [
                replace(a, character=swap.replacement) if a.character == swap.original else a for a in scene.actors
            ]
            return render(replace(scene, actors=tuple(actors))).image

        key = None  # pixels name themselves

    wanted = ["flip_rate", "flip_rate_drawn", "stickiness"]
    truth = TrueFrames(stories())
    follows = evaluate(stories(), truth, swapped_frames=Follows(), swaps=swaps, metrics=wanted).scores
    sticks = evaluate(stories(), truth, swapped_frames=truth, swaps=swaps, metrics=wanted).scores
    assert follows["flip_rate"].n == len(swaps)
    assert follows["flip_rate"].value == 1.0
    assert follows["stickiness"].value == 0.0
    assert sticks["flip_rate"].value == 0.0
    assert sticks["stickiness"].value == 1.0


def test_stories_that_share_frames_must_share_a_cluster():
    first = stories()[0]
    other = replace(first, id="other", cluster="elsewhere")
    with pytest.raises(DataError, match="share frame"):
        evaluate([first, other], TrueFrames([first, other]), metrics=["char_acc"])
