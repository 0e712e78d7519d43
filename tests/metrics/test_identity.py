"""Verification instead of similarity: who is who, where is where, and what a frozen picture earns."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from storybench.metrics.base import StoryMetric
from storybench.metrics.consistency import DetailConsistency
from storybench.metrics.functional.matching import match_figures
from storybench.metrics.functional.verification import mann_whitney, pair_similarities, verification_auc
from storybench.metrics.identity import CropCoverage, IdentityAUC, SettingAUC
from storybench.metrics.instruments import Instruments
from storybench.metrics.record import FrameRecord
from storybench.perception.observation import Figures, Observation, Reading
from storybench.perception.perceiver import Vocabulary

NAMES = ("Ann", "Bob", "Cat")
WIDTH = 16


def unit(*values):
    x = np.array(values, dtype=np.float64)
    return (x / np.linalg.norm(x)).astype(np.float32)


def direction(*key):
    """A unit vector that is always the same for the same key."""
    seed = sum(ord(c) * 31**i for i, c in enumerate("/".join(map(str, key))))
    return unit(*np.random.default_rng(seed).normal(size=WIDTH))


def figures(who, embeddings=None, background=None, sure=0.9):
    """Figures read as ``who``, one after the other."""
    n = len(who)
    probabilities = np.full((n, len(NAMES)), (1 - sure) / 2, dtype=np.float32)
    for row, name in enumerate(who):
        probabilities[row, NAMES.index(name)] = sure
    looks = np.stack([direction(w) for w in who]) if embeddings is None and n else embeddings
    return Figures(
        names=NAMES,
        boxes=np.zeros((n, 4), dtype=np.float32),
        probabilities=probabilities,
        embeddings=np.zeros((0, WIDTH), dtype=np.float32) if looks is None else np.asarray(looks, dtype=np.float32),
        background=direction("here") if background is None else background,
    )


def record(story, frame, expected, seen, setting="beach", cluster=None, **others):
    return FrameRecord(
        story, frame, cluster or story, tuple(expected), setting, {}, (), Observation(figures=seen), **others
    )


def scored(kind, stories):
    metric = kind()
    for story in stories:
        metric.update(story)
    return metric


# matching


def test_a_wrong_drawing_keeps_its_figure():
    drawn = figures(["Ann", "Cat"])
    assert match_figures(drawn.probabilities, NAMES, ["Ann", "Bob"]).tolist() == [0, 1]


def test_a_character_without_a_figure_left_has_none():
    sure = np.array([[0.2, 0.7, 0.1]])
    assert match_figures(sure, NAMES, ["Ann", "Bob"]).tolist() == [-1, 0]
    assert match_figures(np.zeros((0, 3)), NAMES, ["Ann"]).tolist() == [-1]
    assert match_figures(sure, NAMES, []).tolist() == []


def test_a_name_that_stands_twice_takes_two_figures():
    assert sorted(match_figures(figures(["Ann", "Ann"]).probabilities, NAMES, ["Ann", "Ann"]).tolist()) == [0, 1]


def test_the_match_does_not_depend_on_the_order_of_figures_or_names():
    rng = np.random.default_rng(0)
    for _ in range(50):
        table = rng.dirichlet(np.ones(3), size=4)
        wanted = ["Cat", "Ann", "Bob"]
        plain = match_figures(table, NAMES, wanted)
        shuffle, names = rng.permutation(4), rng.permutation(3)
        moved = match_figures(table[shuffle][:, names], [NAMES[k] for k in names], wanted)
        assert shuffle[moved].tolist() == plain.tolist()
        turned = match_figures(table, NAMES, wanted[::-1])
        assert turned[::-1].tolist() == plain.tolist()


def test_a_classifier_that_knows_nothing_matches_by_draw_and_not_by_position():
    """Gold names stand left to right in some data sets, and so do figures: a tie must not pair them in that order."""
    nothing = np.full((2, 3), 1 / 3)
    drawn = [match_figures(nothing, NAMES, ["Ann", "Bob"], f"s/{t}").tolist() for t in range(400)]
    assert drawn[7] == match_figures(nothing, NAMES, ["Ann", "Bob"], "s/7").tolist()
    assert abs(np.mean([d == [0, 1] for d in drawn]) - 0.5) < 3 * 0.5 / np.sqrt(400)


def test_figures_that_are_neither_of_two_characters_are_drawn_between_them():
    """A frozen picture of two others must not be consistent because a thousandth of a probability is."""
    others = np.array([[0.001, 0.000, 0.9], [0.000, 0.003, 0.9]])
    drawn = {tuple(match_figures(others, NAMES, ["Ann", "Bob"], f"s/{t}").tolist()) for t in range(20)}
    assert drawn == {(0, 1), (1, 0)}


def test_a_character_unknown_to_the_classifier_takes_what_is_left():
    assert match_figures(figures(["Ann", "Bob"]).probabilities, NAMES, ["Stranger", "Bob"]).tolist() == [0, 1]


# the area under the curve


def test_auc_counted_by_hand():
    assert mann_whitney(np.array([0.9, 0.5]), np.array([0.5, 0.1, 0.6])) == (3 + 1.5, 6)


def test_perfect_separation_scores_one_and_ties_half():
    assert verification_auc(np.array([0.8, 0.9]), np.array([0.1, 0.7])) == 1.0
    assert verification_auc(np.full(7, 0.3), np.full(5, 0.3)) == 0.5
    assert verification_auc(np.full(7, 1.0), np.full(5, 1.0 - 1e-9)) == 0.5  # float noise is no difference


def test_random_scores_give_half_within_three_standard_errors():
    rng = np.random.default_rng(0)
    p, q = 400, 600
    error = np.sqrt((p + q + 1) / (12 * p * q))
    for _ in range(5):
        assert abs(verification_auc(rng.normal(size=p), rng.normal(size=q)) - 0.5) < 3 * error


def test_nothing_to_compare_is_missing():
    assert np.isnan(verification_auc(np.array([0.5]), np.array([])))


def test_pairs_stand_in_two_frames_and_positives_in_one_story():
    x = np.eye(5)
    labels = np.array(["Ann", "Bob", "Ann", "Ann", "Bob"])
    frames, stories = np.array([0, 0, 1, 0, 3]), np.array([0, 0, 0, 1, 1])
    one, two = pair_similarities(x[:3], labels[:3], frames[:3])
    assert (len(one), len(two)) == (1, 1)  # Ann 0-1; Bob 0 with Ann 1; Ann 0 with Bob 0 is one frame
    one, two = pair_similarities(x, labels, frames, stories)
    assert (len(one), len(two)) == (1, 2 + 1 + 1 + 1)  # Ann-Bob: within 1, across 1-0 (0/1 with 1/0) 4, within 1


# identity


def story_of(looks, name="s", frames=4):
    """Ann in every frame, Bob or Cat beside her; ``looks`` gives the embedding of who in which frame."""
    out = []
    for t in range(frames):
        who = ["Ann", NAMES[1 + t % 2]]
        out.append(record(name, t, who, figures(who, np.stack([looks(w, t) for w in who]))))
    return out


def test_characters_that_keep_their_looks_score_one():
    stories = [story_of(lambda who, t: direction(who), str(k)) for k in range(3)]
    assert float(scored(IdentityAUC, stories).compute()) == 1.0


def test_figures_that_look_like_nobody_score_half_within_three_standard_errors():
    rng = np.random.default_rng(0)
    stories = [story_of(lambda who, t: unit(*rng.normal(size=WIDTH)), str(k)) for k in range(200)]
    values = [float(scored(IdentityAUC, [s]).compute()) for s in stories]
    assert abs(np.mean(values) - 0.5) < 3 * np.std(values) / np.sqrt(len(values))


def test_constant_image_of_two_strangers_scores_about_half():
    frozen = figures(["Cat", "Cat"], np.stack([direction("x"), direction("y")]))
    stories = [[record(str(k), t, ["Ann", "Bob"], frozen) for t in range(4)] for k in range(300)]
    values = [float(scored(IdentityAUC, [s]).compute()) for s in stories]
    assert abs(np.mean(values) - 0.5) < 3 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("scale", [1.0, 0.37, 123.0])
def test_constant_image_of_one_figure_scores_exactly_half(scale):
    rng = np.random.default_rng(1)
    frozen = figures(["Cat"], (rng.normal(size=(1, WIDTH)) * scale))
    stories = [[record(str(k), t, [NAMES[(t + k) % 3]], frozen) for t in range(6)] for k in range(5)]
    score = scored(IdentityAUC, stories).score()
    assert score.value == 0.5
    assert score.n > 0


def test_constant_image_without_a_figure_is_missing_and_covers_nobody():
    stories = [[record("s", t, [NAMES[t]], figures([])) for t in range(3)]]
    assert scored(IdentityAUC, stories).score().value is None
    assert scored(CropCoverage, stories).score().value == 0.0


def test_wrong_characters_lower_the_score():
    right = [story_of(lambda who, t: direction(who), str(k)) for k in range(4)]
    wrong = [story_of(lambda who, t: direction("Bob" if t == 1 else who), str(k)) for k in range(4)]
    assert float(scored(IdentityAUC, wrong).compute()) < float(scored(IdentityAUC, right).compute()) - 0.1


def test_identity_auc_is_its_function_on_one_story():
    rng = np.random.default_rng(2)
    story = story_of(lambda who, t: unit(*(direction(who) + rng.normal(size=WIDTH) * 0.5)))
    same, other = [], []
    for a in range(4):
        for b in range(a):
            for i, x in enumerate(story[a].expected):
                for j, y in enumerate(story[b].expected):
                    ours = story[a].seen.figures.embeddings[i] @ story[b].seen.figures.embeddings[j]
                    (same if x == y else other).append(ours)
    expected = np.mean([(p > q) + 0.5 * (p == q) for p in same for q in other])
    metric = scored(IdentityAUC, [story])
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-12)
    assert metric.score().n == len(same)


def test_identity_auc_pools_pairs_over_stories():
    good = story_of(lambda who, t: direction(who), "good")
    rng = np.random.default_rng(3)
    bad = story_of(lambda who, t: unit(*rng.normal(size=WIDTH)), "bad", frames=3)
    rows = [IdentityAUC().row(s) for s in (good, bad)]
    together = (rows[0] + rows[1])[:2]
    assert float(scored(IdentityAUC, [good, bad]).compute()) == pytest.approx(together[0] / together[1], abs=1e-15)


# setting


def test_setting_auc_takes_negatives_from_the_episode_and_not_from_another():
    here, there = direction("here"), direction("there")

    def place(story, cluster, setting, looks, frames=3):
        return [record(story, t, ["Ann"], figures(["Ann"], background=looks), setting, cluster) for t in range(frames)]

    one = scored(SettingAUC, [place("a", "e1", "beach", here), place("b", "e1", "farm", there)])
    assert one.score().value == 1.0
    assert one.score().n == 6  # three pairs in each story
    two = scored(SettingAUC, [place("a", "e1", "beach", here), place("b", "e2", "farm", there)])
    assert two.score().value is None
    assert two.score().n == 0


def test_frames_of_one_place_in_two_stories_are_no_pair():
    frames = [[record(s, 0, ["Ann"], figures(["Ann"]), "beach", "e") for _ in range(1)] for s in ("a", "b")]
    other = [record("c", t, ["Ann"], figures(["Ann"], background=direction("x")), "farm", "e") for t in range(2)]
    assert scored(SettingAUC, [*frames, other]).score().n == 1  # the two frames of the farm


def test_constant_background_scores_exactly_half_and_unknown_places_are_left_out():
    rng = np.random.default_rng(4)
    frozen = figures(["Ann"], background=rng.normal(size=WIDTH))
    stories = [
        [record(str(k), t, ["Ann"], frozen, ("beach", "beach", "farm", "")[t % 4]) for t in range(5)] for k in range(9)
    ]
    metric = scored(SettingAUC, stories)
    assert metric.score().value == 0.5
    assert metric.score().n == 9 * 3  # frames 0, 1 and 4 are the beach


# all of them


@pytest.mark.parametrize("kind", [IdentityAUC, SettingAUC, CropCoverage])
def test_order_of_stories_and_frames_changes_no_bit(kind):
    rng = np.random.default_rng(5)
    stories = []
    for k in range(12):
        frames = []
        for t in range(4):
            who = ["Ann", NAMES[1 + t % 2]][: 1 + (k + t) % 2]
            seen = figures(who, rng.normal(size=(len(who), WIDTH)), unit(*rng.normal(size=WIDTH)))
            frames.append(record(str(k), t, who, seen, ("beach", "farm")[t // 2], f"e{k % 3}"))
        stories.append(frames)
    forward, backward = scored(kind, stories), scored(kind, stories[::-1])
    assert forward.score().value > 0
    assert forward.score(draws=200) == backward.score(draws=200)
    joined = pickle.loads(pickle.dumps(scored(kind, stories[:5])))
    joined.clusters += (rest := scored(kind, stories[5:])).clusters
    joined.rows += rest.rows
    assert joined.score(draws=200) == forward.score(draws=200)
    turned = scored(kind, [s[::-1] for s in stories])
    assert turned.score().value == pytest.approx(forward.score().value, abs=1e-12)  # sums of another order


@pytest.mark.parametrize("kind", [IdentityAUC, SettingAUC, CropCoverage])
def test_facts_are_declared_and_no_story_is_absent(kind):
    metric = kind.build(Instruments(protocols={"figures": "toy-figures-v1"}))
    assert metric.protocol == f"{kind.name}/v1@toy-figures-v1"
    assert metric.score().value is None
    assert (kind.group, kind.requires) == ("consistency", ("figures",))
    assert isinstance(metric, StoryMetric)


def test_a_frame_no_segmenter_looked_at_is_an_error_and_not_a_miss():
    with pytest.raises(ValueError, match="s/0"):
        IdentityAUC().update([record("s", 0, ["Ann"], None)])


# details


def test_detail_consistency_is_built_from_the_vocabulary_and_tells_its_types():
    vocabulary = Vocabulary(("Ann",), ("beach",), ("walk",), ("sun", "rain"), ("red",), ("red", "blue"), (), (), ())
    metric = DetailConsistency.build(Instruments(protocols={"reading": "toy-v1"}, vocabulary=vocabulary))
    assert metric.space.types == ("scarf", "wall", "weather")
    assert metric.protocol == "detail_consistency/v1@toy-v1"
    assert metric.details() == {"detail_consistency_by_type": {}}


def test_detail_consistency_without_a_vocabulary_is_absent_with_a_reason():
    metric = DetailConsistency.build(Instruments())
    reading = Reading({"Ann": 1}, "beach", {}, {})
    for k in range(2):
        metric.update([FrameRecord(str(k), t, str(k), ("Ann",), "", {}, (), Observation(reading)) for t in range(3)])
    assert metric.score().value is None
    assert metric.score().reason


def test_stories_without_places_are_told_so_and_not_that_none_was_scored():
    score = scored(SettingAUC, [[record("s", t, ["Ann"], figures(["Ann"]), setting="") for t in range(3)]]).score()
    assert (score.value, score.reason) == (None, SettingAUC.missing)
    assert SettingAUC().score().reason == "no story was scored"
