"""Reference metrics on stories small enough to score by hand."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from storybench import metrics as m
from storybench.coreference.chance import cross_frame_mentions, learn_pronoun_guess
from storybench.data.toonsv.dataset import ToonSV
from storybench.metrics import reference as r
from storybench.metrics.functional import reference as functional
from storybench.metrics.instruments import Instruments
from storybench.perception.observation import Observation, Reading
from storybench.story import Mention

NAMES = ("Ann", "Bob", "Cat", "Dan")
GUESS = {
    "she": {"Ann": 0.6, "Cat": 0.4},
    "he": {"Bob": 0.9, "Dan": 0.1},
    "they:2": {"Ann": 0.8, "Bob": 0.7, "Cat": 0.5},
}
INSTRUMENTS = Instruments(protocols={"reading": "toy-reader-v1"}, pronoun_guess=GUESS)
EVERY = (
    r.AntecedentAccuracy,
    r.AntecedentAccuracyStrict,
    r.AntecedentAccuracyPlural,
    r.AntecedentAccuracyAmbiguous,
    r.AntecedentKappa,
    r.ConditionalResolution,
    r.ReferenceGap,
    r.SettingCarryOver,
)


def reading(*names, setting="beach"):
    return Reading({n: names.count(n) for n in NAMES}, setting)


def mention(*who, surface="she", distance=1, ambiguous=False):
    return Mention(1, 0, len(surface), surface, who, "referential", distance=distance, ambiguous=ambiguous)


def record(frame, expected, drawn, mentions=(), explicit=None, story="s", place="beach", seen_at="beach", **rest):
    return m.FrameRecord(
        story,
        frame,
        story,
        tuple(expected.split()),
        place,
        {},
        tuple(mentions),
        Observation(reading(*drawn.split(), setting=seen_at)),
        None if explicit is None else Observation(reading(*explicit.split())),
        **rest,
    )


# Who is asked for, who is drawn from the referential and from the explicit caption.
STORY = [
    record(0, "Ann Bob", "Ann Bob", named=("Ann", "Bob")),
    record(1, "Ann", "Ann", [mention("Ann")], "Ann"),  # right both times
    record(
        2, "Bob Cat", "Ann Cat", [mention("Bob", surface="he", distance=2, ambiguous=True)], "Bob Cat", named=("Cat",)
    ),
    record(3, "Ann Bob", "Ann Dan", [mention("Ann", "Bob", surface="they", distance=3, ambiguous=True)], "Ann Bob"),
    record(4, "Cat", "Cat Dan", [mention("Cat", distance=2)], "Ann"),  # right only when referred to
]
BY_HAND = {
    r.AntecedentAccuracy: 3 / 5,  # Ann; not Bob; Ann of Ann and Bob; Cat
    r.AntecedentAccuracyStrict: 1 / 4,  # frame 1; frame 4 shows Dan as well
    r.AntecedentAccuracyPlural: 1 / 2,
    r.AntecedentAccuracyAmbiguous: 1 / 3,
    r.AntecedentKappa: (3 / 5 - 4 / 5) / (1 - 4 / 5),  # the guess: Ann, Bob, Ann and Bob, and Ann for Cat
    r.ConditionalResolution: 1 / 3,  # frames 1, 2, 3 when named, of them frame 1
    r.ReferenceGap: (2 - 1) / 4,
}
COUNTS = {
    r.AntecedentAccuracy: 5,
    r.AntecedentAccuracyStrict: 4,
    r.AntecedentAccuracyPlural: 2,
    r.AntecedentAccuracyAmbiguous: 3,
    r.AntecedentKappa: 5,
    r.ConditionalResolution: 3,
    r.ReferenceGap: 4,
}


def scored(kind, *stories):
    metric = kind.build(INSTRUMENTS)
    for story in stories:
        metric.update(story)
    return metric


@pytest.mark.parametrize("kind", BY_HAND)
def test_hand_made_story(kind):
    metric = scored(kind, STORY)
    assert float(metric.compute()) == pytest.approx(BY_HAND[kind], abs=1e-15)
    score = metric.score()
    assert (score.n, score.protocol) == (COUNTS[kind], f"{kind.name}/v1@toy-reader-v1")
    assert score.higher_is_better is (kind is not r.ReferenceGap)


def test_details_of_the_hand_made_story():
    found = scored(r.AntecedentAccuracy, STORY).details()
    parts = {d: (part["value"], part["n"]) for d, part in found["antecedent_by_distance"].items()}
    assert parts == {"1": (1.0, 1), "2": (0.5, 2), "3": (0.5, 2)}
    parts = {p: (part["value"], part["n"]) for p, part in found["antecedent_by_pronoun"].items()}
    assert parts == {"she": (1.0, 2), "he": (0.0, 1), "they:several": (0.5, 2)}
    assert found["antecedent_distance_slope"] < 0
    assert found["antecedent_half_life"] is None  # half of what is far is drawn, and the guess draws more
    gap = scored(r.ReferenceGap, STORY).details()
    assert gap == {"reference_gap_discordant": {"b": 2, "c": 1}}
    kappa = scored(r.AntecedentKappa, STORY).details()
    assert kappa["antecedent_chance"] == pytest.approx(4 / 5)
    # Ann and Bob are right; for "they" the latest two are Cat and Bob of frame 2; for Cat the latest "she" is Ann.
    assert kappa["antecedent_recency"]["value"] == pytest.approx(3 / 5)


@pytest.mark.parametrize("kind", EVERY)
def test_details_are_ready_for_json_and_empty_without_a_story(kind):
    assert kind.build(INSTRUMENTS).details() == {}
    json.dumps(scored(kind, STORY).details(), allow_nan=False)


def test_keys_of_details_are_unique_among_metrics():
    keys = [key for kind in EVERY for key in scored(kind, STORY, CARRIED).details()]
    assert len(keys) == len(set(keys)) >= 8


def test_metrics_say_what_is_missing():
    plain = [record(0, "Ann", "Ann"), record(1, "Ann", "Ann")]
    assert scored(r.ConditionalResolution, plain).score().reason == r.NO_MENTION
    assert scored(r.AntecedentAccuracy, plain).score().reason == r.NO_MENTION
    unpaired = [record(1, "Ann", "Ann", [mention("Ann")])]
    assert scored(r.ConditionalResolution, unpaired).score().reason == r.NO_EXPLICIT
    assert scored(r.ReferenceGap, unpaired).score().reason == r.NO_EXPLICIT
    assert r.AntecedentKappa.build(Instruments()).score().reason == r.NO_GUESS
    undrawn = [record(1, "Ann", "Ann", [mention("Ann")], "Bob")]
    assert scored(r.ConditionalResolution, undrawn).score().reason == r.ConditionalResolution.missing


def test_coinciding_outputs_resolve_everything_and_have_no_gap():
    story = [record(k, "Ann Bob", drawn, [mention("Ann")], drawn) for k, drawn in enumerate(("Ann", "Bob", "Ann Cat"))]
    assert float(scored(r.ConditionalResolution, story).compute()) == 1.0
    assert float(scored(r.ReferenceGap, story).compute()) == 0.0


def test_best_history_blind_guesser_has_kappa_zero_on_real_mentions():
    """The guess is learnt on train and scored on test: p0 is the guesser's own accuracy there."""
    mentions = [m for s in ToonSV("train", size=60) for m in _references(s)]
    guess = learn_pronoun_guess(mentions)
    names = sorted(c.name for c in ToonSV("test")[0].cast)
    metric = r.AntecedentKappa(guess)
    for story in ToonSV("test", size=40):
        for k, mention_ in enumerate(_references(story)):
            shares = guess.get(r.pronoun_class(mention_), {})
            best = sorted(shares, key=lambda c: (-shares[c], c))[: len(mention_.characters)]
            drawn = Reading({n: int(n in best) for n in names}, "")
            frame = m.FrameRecord(f"{story.id}/{k}", 1, story.id, (), "", {}, (mention_,), Observation(drawn))
            metric.update([frame])
    score = metric.score(draws=200)
    assert score.n > 100
    assert score.value == 0.0
    assert (score.low, score.high) == (None, None) or score.low <= 0.0 <= score.high


def _references(story):
    return [m for frame in story.frames for m in cross_frame_mentions(frame.captions["referential"].mentions)]


def test_drawing_everybody_passes_plain_accuracy_and_fails_the_strict_one():
    everybody = [record(1, "Ann", "Ann Bob Cat Dan", [mention("Ann")], "Ann")]
    assert float(scored(r.AntecedentAccuracy, everybody).compute()) == 1.0
    assert float(scored(r.AntecedentAccuracyStrict, everybody).compute()) == 0.0


@pytest.mark.parametrize(
    ("antecedents", "fitting", "earlier", "hits"),
    [
        (("Ann",), {"Ann", "Cat"}, [("Cat",), ("Ann", "Bob")], 1),
        (("Ann",), {"Ann", "Cat"}, [("Ann",), ("Cat", "Bob")], 0),  # Cat came later
        (("Ann",), {"Ann", "Cat"}, [("Ann", "Cat")], 0),  # in one frame the later word wins
        (("Bob",), {"Bob"}, [("Ann", "Bob"), ("Ann",), ("Cat",)], 1),
        (("Ann",), set(), [("Ann",)], 0),  # a pronoun never met on train fits nobody
        (("Ann",), {"Ann"}, [], 0),
        (("Ann", "Bob"), set(), [("Ann", "Bob"), ("Cat",)], 2),
        (("Ann", "Bob"), set(), [("Ann", "Bob"), ("Bob", "Cat")], 1),
        (("Ann", "Bob"), set(), [("Ann",), ("Bob",)], 2),  # no pair: the two last ones
        (("Ann", "Bob", "Cat"), set(), [("Cat", "Ann", "Bob"), ("Ann", "Dan")], 3),
    ],
)
def test_recency_guesses_the_last_mentioned_of_the_same_gender_and_number(antecedents, fitting, earlier, hits):
    assert functional.recency_hits(antecedents, fitting, earlier) == hits


CARRIED = [
    record(0, "Ann", "Ann", place="beach", seen_at="beach"),
    record(1, "Ann", "Ann", place="beach", seen_at="beach", setting_named=False),  # right after right
    record(2, "Ann", "Ann", place="beach", seen_at="farm", setting_named=False),  # wrong after right
    record(3, "Ann", "Ann", place="beach", seen_at="farm", setting_named=False),  # wrong after wrong
    record(4, "Ann", "Ann", place="beach", seen_at="beach", setting_named=True),  # told again
    record(5, "Ann", "Ann", place="farm", seen_at="farm", setting_named=False),  # another place: not carried over
    record(6, "Ann", "Ann", place="farm", seen_at="farm", setting_named=False),  # right after right
]


def test_setting_carry_over_by_hand():
    metric = scored(r.SettingCarryOver, CARRIED)
    assert float(metric.compute()) == pytest.approx(2 / 4)
    assert metric.score().n == 4
    found = metric.details()
    given, named = found["setting_carry_over_given_previous"], found["setting_carry_over_when_named"]
    assert (given["value"], given["n"]) == (pytest.approx(2 / 3), 3)
    assert (named["value"], named["n"]) == (1.0, 1)


def test_setting_carry_over_needs_a_place_to_be_kept_read_and_untold():
    for rest in (
        {"setting_named": True},
        {"setting_named": False, "place": ""},
        {"setting_named": False, "seen_at": ""},
    ):
        score = scored(r.SettingCarryOver, [record(k, "Ann", "Ann", **rest) for k in range(3)]).score()
        assert score.reason == r.SettingCarryOver.missing


@pytest.mark.parametrize("kind", EVERY)
def test_order_of_frames_stories_and_processes_changes_no_bit(kind):
    rng = np.random.default_rng(3)
    stories = []
    for k in range(30):
        drawn = [" ".join(rng.choice(NAMES, 2)) for _ in range(8)]
        who = [mention("Ann"), mention("Bob", surface="he", distance=2), mention("Ann", "Bob", surface="they")]
        at = [str(rng.choice(["beach", "farm"])) for _ in range(4)]
        stories.append(
            [
                record(
                    t, "Ann Bob", drawn[t], [who[t % 3]], drawn[t + 4], str(k), seen_at=at[t], setting_named=t % 2 == 0
                )
                for t in range(4)
            ]
        )
    forward, backward = scored(kind, *stories), pickle.loads(pickle.dumps(kind.build(INSTRUMENTS)))
    for story in reversed(stories):
        backward.update(story[::-1])
    assert forward.score(draws=500) == backward.score(draws=500)
    assert forward.details() == backward.details()


def test_gap_and_resolution_agree_with_their_functions():
    rng = np.random.default_rng(0)
    named, referred = rng.random((2, 200)) < 0.6
    story = [
        record(t, "Ann", "Ann" if ref else "", [mention("Ann")], "Ann" if exp else "")
        for t, (exp, ref) in enumerate(zip(named, referred, strict=True))
    ]
    assert float(scored(r.ReferenceGap, story).compute()) == pytest.approx(functional.reference_gap(named, referred))
    assert functional.reference_gap(named, referred) == pytest.approx(named.mean() - referred.mean())
    rate = functional.conditional_resolution_rate(named, referred)
    assert float(scored(r.ConditionalResolution, story).compute()) == pytest.approx(rate)
    assert rate == pytest.approx((named & referred).sum() / named.sum())
