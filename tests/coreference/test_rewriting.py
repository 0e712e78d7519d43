"""The referential text, rule by rule, on invented captions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storybench.coreference.lexicon import load_lexicon, with_pronouns
from storybench.coreference.rewriting import Rewriter
from storybench.errors import ConfigError

FLINTSTONES = Rewriter(load_lexicon("flintstones"))
PORORO = Rewriter(load_lexicon("pororo"))

CHANGED = [  # captions before the last, the last, and what it becomes
    (["Wilma cooks."], "Wilma is singing.", "She is singing."),
    (["Fred sleeps."], "fred is singing.", "He is singing."),
    (["Fred sleeps."], "In the yard, Fred sings.", "In the yard, he sings."),
    (["Fred sleeps."], "Then Fred sings.", "Then he sings."),
    (["Fred sleeps."], "A man is talking to Fred.", "A man is talking to him."),
    (["Wilma sleeps."], "A man hands Wilma a cup.", "A man hands her a cup."),
    (["Wilma sleeps."], "Wilma's hat is green.", "Her hat is green."),
    (["Betty sleeps."], "The cup is in Betty's hand.", "The cup is in her hand."),
    (["Mr. Slate yells."], "mr slate is angry.", "He is angry."),
    (["Slate yells."], "Mr.Slate is angry.", "He is angry."),
    (["mr slate yells."], "Mr Slate is angry. Slate walks away.", "He is angry. He walks away."),
    (["Fred and Barney drive."], "Barney and Fred are laughing.", "They are laughing."),
    (["Fred and Barney drive."], "fred and barney is laughing.", "They are laughing."),
    (["Fred and Barney drive."], "Fred and Barney was there.", "They were there."),
    (["Fred and Barney drive."], "Fred and Barney runs.", "They run."),
    (["Fred and Barney drive."], "A man waves to Fred and Barney.", "A man waves to them."),
    (["Fred and Barney drive."], "Fred and Barney's car is red.", "Their car is red."),
    (
        ["Fred and Barney drive.", "Fred sleeps."],
        "Fred and Barney are here. Barney talks. Fred listens.",
        "Both of them are here. Barney talks. Fred listens.",
    ),
    (
        ["Fred, Wilma and Betty eat.", "Fred sleeps."],
        "Fred, Wilma, and Betty sing. Fred, too. Wilma hums. Betty waves.",
        "All three of them sing. Fred, too. Wilma hums. Betty waves.",
    ),
    (
        ["Fred and Barney drive.", "Fred sleeps."],
        "Fred and Barney see each other. Barney talks. Fred listens.",
        "They see each other. Barney talks. Fred listens.",
    ),
    (["Fred and Barney drive."], "Fred is talking to Barney.", "He is talking to Barney."),
    (["Fred sleeps."], "Fred sings. Barney looks at Fred.", "He sings. Barney looks at him."),
    (["Fred sleeps."], "Fred talks to Barney. Fred laughs.", "He talks to Barney. He laughs."),
    (["Fred sleeps.", "Wilma cooks."], "Fred is singing.", "He is singing."),
    (["Fred and Wilma sit."], "Fred waves to Wilma.", "He waves to Wilma."),
    (["Fred sleeps."], "It is raining. Fred sings.", "It is raining. He sings."),
    (["Fred and Wilma sit."], "Fred and Wilma is here and look.", "They are here and look."),
]
KEPT = [
    (["Wilma cooks."], "Fred is singing.", "nobody named Fred before"),
    (["Fred and Barney drive."], "Fred is singing.", "Barney fits as well"),
    (["Fred talks to a man."], "Fred is singing.", "the man fits as well"),
    (["Fred sleeps.", "Barney sleeps."], "Fred is singing.", "Barney was the last"),
    (["Fred sleeps."], "A man yells. Fred is singing.", "the man fits as well"),
    (["Fred sleeps."], "Fred and a man are singing.", "one member of a group"),
    (["Fred sleeps."], "Fred and Barney are singing.", "a member of a group nobody has seen"),
    (["Fred sleeps."], "Fred's singing.", "short for Fred is"),
    (["Fred sleeps."], "Barney says that Fred is ill.", "he could be Barney"),
    (["Fred sleeps."], "Barney eats Fred's cake.", "his could be Barney's"),
    (["Fred sleeps."], "While Fred sings, Barney eats.", "he could be Barney"),
    (["Fred sleeps."], "He is here. Barney waves. Fred is singing.", "Barney stands between"),
    (["Fred sleeps."], "A dog barks. Fred runs.", "captions call dogs he"),
    (["Fred's house burns."], "Fred is singing.", "an owner is not there"),
    (["Fred sleeps."], "Freddy sings. Alfred sings.", "other words"),
    (["Fred sleeps."], "Wilma sees Fred, who is singing.", "him, who"),
    (["Fred sleeps."], "The man is called Fred.", "a name as a name"),
    (["Wilma writes on a slate."], "Mr Slate is singing.", "a slate is no Slate"),
    (["Bamm Bamm eats."], "Bamm Bamm is singing.", "not of the cast"),
    (["Fred and Barney drive.", "Wilma cooks."], "Fred and Barney are singing.", "they could be with Wilma"),
    (["Fred, Barney and their friends drive."], "Fred and Barney are singing.", "they could be all"),
    (["Fred sleeps.", "It rains.", "It snows."], "Fred is singing.", "nobody thinks of him any more"),
    (["Fred sits.", "Fred sings.", "Fred runs.", "Fred eats.", "Fred hides."], "Fred sleeps.", "named too long ago"),
    (["Fred sleeps."], "Wilma sings. Fred runs.", "after somebody else"),
    (["Fred and Barney drive.", "Fred sleeps."], "Fred and Barney are here.", "who is the other one"),
    (["Fred, Barney and Mr Slate eat."], "Fred talks to Barney and Mr Slate.", "two people to rule out"),
    (["Fred and Barney eat."], "Fred laughs as Barney falls.", "Barney is of another clause"),
    (["Fred and Wilma sit."], "Fred and Wilma is reading are in the room.", "two verbs"),
    (["Fred sits.", "Barney is here. She reads."], "Barney is singing.", "Barney was called she"),
]


@pytest.mark.parametrize(("before", "caption", "expected"), CHANGED)
def test_a_mention_that_a_reader_can_resolve_becomes_a_pronoun(before, caption, expected):
    told = FLINTSTONES.referential([*before, caption])[-1]
    assert told.text == expected
    new = [m for m in told.mentions if m.kind == "referential" and m.distance]
    assert new, "every change is recorded"


@pytest.mark.parametrize(("before", "caption", "why"), KEPT)
def test_a_mention_that_a_reader_could_not_resolve_stays(before, caption, why):
    assert FLINTSTONES.referential([*before, caption])[-1].text == caption, why


def test_a_pronoun_does_not_change_hands_between_two_frames():
    captions = ["Fred and Barney sit.", "Fred talks to Barney.", "Barney talks to Fred."]
    told = [t.text for t in FLINTSTONES.referential(captions)]
    assert told == ["Fred and Barney sit.", "He talks to Barney.", "Barney talks to Fred."]


def test_mentions_record_everything():
    told = FLINTSTONES.referential(["Fred and Barney sit.", "Wilma's cat looks at Fred.", "Fred sings. He sees Wilma."])
    first, second, third = told
    assert [(m.surface, m.characters, m.kind) for m in first.mentions] == [
        ("Fred", ("Fred",), "explicit"),
        ("Barney", ("Barney",), "explicit"),
    ]
    assert [(m.surface, m.form) for m in second.mentions] == [("Wilma's", "possessive"), ("Fred", "object")]
    assert third.text == "He sings. He sees Wilma."
    he, again, wilma = third.mentions
    assert (he.characters, he.distance, he.ambiguous, he.form) == (("Fred",), 1, True, "subject")
    assert (again.characters, again.distance, again.kind) == (("Fred",), 1, "referential")
    assert (wilma.kind, wilma.distance) == ("explicit", None)


def test_distance_counts_back_to_the_last_naming():
    told = FLINTSTONES.referential(["Fred sits.", "Fred sings.", "It rains.", "Fred sleeps."])
    assert [t.text for t in told] == ["Fred sits.", "He sings.", "It rains.", "He sleeps."]
    assert [m.distance for t in told for m in t.mentions] == [None, 1, 3]
    long = FLINTSTONES.referential(["Fred sits."] * 7)
    assert [m.distance for t in long for m in t.mentions] == [None, 1, 2, 3, 4, None, 1]


def test_pronouns_of_the_caption_are_mentions_certain_or_not():
    caption = FLINTSTONES.original(["Fred waves and he laughs. Barney nods. He sleeps. They go."])[0]
    kinds = [(m.surface, m.kind, m.characters, m.distance) for m in caption.mentions if m.kind != "explicit"]
    assert kinds == [
        ("he", "referential", ("Fred",), 0),
        ("He", "uncertain", (), None),
        ("They", "referential", ("Fred", "Barney"), 0),
    ]


def test_a_pronoun_follows_its_antecedent_into_the_earlier_frame():
    told = FLINTSTONES.referential(["Fred and Wilma sit.", "Fred and Wilma sing. She laughs."])[1]
    assert told.text == "They sing. She laughs."
    assert [(m.surface, m.characters, m.distance) for m in told.mentions] == [
        ("They", ("Fred", "Wilma"), 1),
        ("She", ("Wilma",), 1),
    ]


def test_who_gets_two_pronouns_in_a_story_gets_none_of_ours():
    captions = ["Harry flies.", "Harry sings.", "Harry looks for her house."]
    assert [t.text for t in PORORO.referential(captions)] == captions
    assert PORORO.referential(captions[:2])[1].text == "He sings."


def test_pronouns_can_be_configured():
    told = Rewriter(with_pronouns("pororo", {"Rody": "it"})).referential(["Rody rolls.", "Rody stops."])
    assert told[1].text == "It stops."
    with pytest.raises(ConfigError, match=r"dataset\.pronouns"):
        with_pronouns("pororo", {"Rody": "they"})


def test_white_space_and_marks_stay_as_published():
    told = FLINTSTONES.referential(["Fred sits.", "Fred  sings,\nthen he\tsleeps .. "])[1]
    assert told.text == "He  sings,\nthen he\tsleeps .. "


WORDS = st.sampled_from(
    """Fred fred Wilma Betty Barney Mr. Slate slate Dino Pebbles 's ’s and , . ! ? " ( ) & is are was has runs run
    talks to with at looks sees he she they him her his them their it man dog friends a the both all who while then
    in car""".split()  # noqa: SIM905
)
CAPTIONS = st.lists(st.lists(WORDS, max_size=14).map(" ".join), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.one_of(CAPTIONS, st.lists(st.text(max_size=40), min_size=1, max_size=5)))
def test_no_caption_breaks_the_rewriter(captions):
    told = FLINTSTONES.referential(captions)
    assert told == FLINTSTONES.referential(list(captions))
    assert told[0].text == captions[0]
    for k, (caption, original) in enumerate(zip(told, captions, strict=True)):
        position = 0
        for mention in caption.mentions:
            assert mention.frame == k
            assert mention.start >= position
            assert caption.text[mention.start : mention.end] == mention.surface
            position = mention.end
        if caption.text != original:
            assert any(m.kind == "referential" and m.distance for m in caption.mentions)
    untouched = FLINTSTONES.original(captions)
    assert [c.text for c in untouched] == list(captions)
