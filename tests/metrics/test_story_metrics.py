"""A hand-made story of three frames, counted by hand, through functions and classes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from storybench import metrics as m
from storybench.coreference.chance import cross_frame_mentions, guessed_hits, learn_pronoun_guess, pronoun_class
from storybench.metrics.functional import characters, reference
from storybench.metrics.reference import NO_GUESS, NO_ROOM
from storybench.perception.observation import Observation, Reading
from storybench.story import Mention

NAMES = ("Ann", "Bob", "Cat")


def reading(setting="beach", **counts):
    return Reading({n: counts.get(n, 0) for n in NAMES}, setting, {}, {}, np.zeros(4, np.float32))


def mention(*who, surface="she", distance=1, frame=1, kind="referential"):
    return Mention(frame, 0, len(surface), surface, who, kind, distance=distance)


def record(frame, expected, seen, mentions=(), explicit=None, story="s"):
    twin = None if explicit is None else Observation(explicit)
    return m.FrameRecord(story, frame, story, expected, "beach", {}, tuple(mentions), Observation(seen), twin)


# Frame 0: Ann and Bob, right. Frame 1: Ann asked, drawn twice. Frame 2: Ann and Bob asked, Ann and Cat on a farm drawn.
STORY = [
    record(0, ("Ann", "Bob"), reading(Ann=1, Bob=1)),
    record(1, ("Ann",), reading(Ann=2), [mention("Ann")], reading(Ann=1)),
    record(
        2,
        ("Ann", "Bob"),
        reading("farm", Ann=1, Cat=1),
        [mention("Ann", "Bob", surface="they", distance=2)],
        reading(Ann=1, Bob=1),
    ),
]
BY_HAND = {
    m.CharacterAccuracy: 2 / 3,
    m.CountAccuracy: 1 / 3,
    m.SettingAccuracy: 2 / 3,
    m.CharacterF1: 8 / 10,  # tp 4, fp 1, fn 1
    m.CharacterF1Macro: (1.0 + 2 / 3) / 2,  # Ann 3/3; Bob tp 1, fn 1; Cat has no gold frame
    m.AntecedentAccuracy: 2 / 3,
    m.AntecedentAccuracyStrict: 1 / 2,
    m.ConditionalResolution: 1 / 2,
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_hand_made_story(kind):
    metric = kind()
    metric.update(STORY)
    assert float(metric.compute()) == pytest.approx(BY_HAND[kind], abs=1e-15)


@pytest.mark.parametrize("kind", BY_HAND)
def test_every_metric_declares_its_facts(kind):
    score = (metric := kind()).score()
    assert score.value is None
    assert score.reason
    assert metric.name in score.protocol
    assert metric.citation
    assert metric.bounds == (0.0, 1.0)


def test_functions_agree_with_classes():
    predicted = np.array([[r.reading.counts[n] for n in NAMES] for r in STORY])
    expected = np.array([[r.expected.count(n) for n in NAMES] for r in STORY])
    assert characters.exact_set_accuracy(predicted, expected) == pytest.approx(2 / 3)
    assert characters.count_accuracy(predicted, expected) == pytest.approx(1 / 3)
    assert characters.character_f1(predicted, expected) == pytest.approx(0.8)
    assert characters.character_f1(predicted, expected, "macro") == pytest.approx(5 / 6)
    frames = [([x.characters for x in r.mentions], r.reading.characters) for r in STORY]
    assert reference.antecedent_accuracy(frames) == pytest.approx(2 / 3)


def test_f1_equals_sklearn_style_count_on_random_tables():
    rng = np.random.default_rng(0)
    predicted, expected = rng.integers(0, 2, (2, 400, 9))
    tp = (predicted & expected).sum(0)
    precision, recall = tp / predicted.sum(0), tp / expected.sum(0)
    assert characters.character_f1(predicted, expected, "macro") == pytest.approx(
        (2 * precision * recall / (precision + recall)).mean()
    )
    p, r = tp.sum() / predicted.sum(), tp.sum() / expected.sum()
    assert characters.character_f1(predicted, expected) == pytest.approx(2 * p * r / (p + r))


def test_nothing_expected_and_nothing_seen_is_missing_not_zero():
    assert np.isnan(characters.character_f1(np.zeros((3, 9), int), np.zeros((3, 9), int)))


def test_resolution_is_one_when_outputs_coincide_and_undefined_when_nothing_is_drawn():
    drawn = [True, False, True]
    assert reference.conditional_resolution_rate(drawn, drawn) == 1.0
    assert np.isnan(reference.conditional_resolution_rate([False], [True]))


def test_only_references_to_earlier_frames_count():
    same, earlier = mention("Ann", distance=0), mention("Ann", distance=3)
    assert cross_frame_mentions([same, earlier, mention("Ann", distance=None, kind="explicit")]) == (earlier,)


def test_guesser_has_kappa_zero_and_perfect_reader_one():
    train = [mention("Ann")] * 3 + [mention("Cat")] + [mention("Bob", surface="he")] * 2
    guess = learn_pronoun_guess(train)
    assert guess == {"he": {"Bob": 1.0}, "she": {"Ann": 0.75, "Cat": 0.25}}
    frames = [("Ann", "Ann"), ("Cat", "Ann"), ("Cat", "Ann")]  # truth, what the guesser draws
    guesser, perfect = m.AntecedentKappa(guess), m.AntecedentKappa(guess)
    for k, (truth, drawn) in enumerate(frames):
        guesser.update([record(0, (truth,), reading(**{drawn: 1}), [mention(truth)], story=str(k))])
        perfect.update([record(0, (truth,), reading(**{truth: 1}), [mention(truth)], story=str(k))])
    assert float(guesser.compute()) == 0.0
    assert float(perfect.compute()) == 1.0
    assert guesser.guess_accuracy() == pytest.approx(1 / 3)


def test_pronoun_class_knows_number_but_not_who():
    assert pronoun_class(mention("Ann", surface="Her")) == "she"
    assert pronoun_class(mention("Ann", "Bob", surface="them")) == "they:2"
    assert pronoun_class(mention("Ann", "Bob", surface="both of them")) == "phrase:2"
    assert guessed_hits(mention("Ann"), {}) == 0


def test_drawing_everybody_passes_plain_accuracy_and_fails_the_strict_one():
    everybody = [record(1, ("Ann",), reading(Ann=1, Bob=1, Cat=1), [mention("Ann")])]
    plain, strict = m.AntecedentAccuracy(), m.AntecedentAccuracyStrict()
    plain.update(everybody)
    strict.update(everybody)
    assert (float(plain.compute()), float(strict.compute())) == (1.0, 0.0)


@pytest.mark.parametrize("kind", BY_HAND)
def test_order_of_stories_and_joining_of_processes_change_no_bit(kind):
    rng = np.random.default_rng(1)
    tables = [
        [
            record(
                0,
                ("Ann",),
                reading(Ann=int(rng.integers(3)), Bob=int(rng.integers(2))),
                [mention("Ann")],
                reading(Ann=1),
                story=f"s{k}",
            )
        ]
        for k in range(20)
    ]
    forward, backward = kind(), pickle.loads(pickle.dumps(kind()))
    for story in tables:
        forward.update(story)
    for story in reversed(tables):
        backward.update(story)
    assert forward.score() == backward.score()


def test_frechet_counts_frames_and_widens_with_fewer_stories():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(500, 4))

    def scored(stories):
        metric = m.Frechet(real, np.arange(500) // 5, "toy-net-v1", "toy")
        for k in range(stories):
            frames = [
                m.FrameRecord(str(k), t, str(k), (), "", {}, (), Observation(Reading({}, "", {}, {}, row)))
                for t, row in enumerate(np.random.default_rng(k).normal(size=(5, 4)).astype(np.float32))
            ]
            metric.update(frames)
        return metric.score()

    few, many = scored(10), scored(200)
    assert many.protocol == "fd/toy-net/v1@toy"
    assert (few.n, many.n) == (50, 1_000)
    assert many.value < few.value  # bias falls with n
    assert many.high - many.low < few.high - few.low


def test_without_a_guess_kappa_has_no_value_anywhere_and_with_a_perfect_one_no_room():
    unknown, perfect = m.AntecedentKappa({}), m.AntecedentKappa({"she": {"Ann": 1.0}})
    for metric in (unknown, perfect):
        metric.update([record(0, ("Ann",), reading(Ann=1), [mention("Ann")])])
        assert np.isnan(float(metric.compute()))
    assert unknown.score().reason == NO_GUESS
    assert (perfect.score().reason, perfect.score().n) == (NO_ROOM, 1)
