"""The grammar: exact spans, references that a reader can resolve, and two texts that differ in references only."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storybench.data.toonsv import phrases
from storybench.data.toonsv.grammar import Told, dense_caption, tell_story, visible_details
from storybench.data.toonsv.lexicon import find_names, tokenize_words, unknown_words, vocabulary
from storybench.data.toonsv.planner import StoryPlan, plan_story
from storybench.data.toonsv.template import parse
from storybench.data.toonsv.world import NAMES, PRONOUN, PROP_COLOURS, SCARF_COLOURS, WALL_COLOURS, WEATHERS
from storybench.story import Caption, Mention

PLANS = [plan_story("train", k) for k in range(1500)]
PLANS += [plan_story("novel", k) for k in range(200)] + [plan_story("test", k, 20) for k in range(60)]
STORIES: list[tuple[StoryPlan, tuple[Told, ...]]] = [(plan, tell_story(plan)) for plan in PLANS]
FRAMES = [(plan, told, t) for plan, tolds in STORIES for t, told in enumerate(tolds)]


def _references(caption: Caption) -> list[Mention]:
    return [m for m in caption.mentions if m.kind == "referential"]


def _named(caption: Caption) -> list[str]:
    return [name for m in caption.mentions if m.kind == "explicit" for name in m.characters]


def _is_own(caption: Caption, mention: Mention) -> bool:
    """A holder's own possessive: the same character is already told in this caption."""
    told = {n for m in caption.mentions if m.start < mention.start for n in m.characters}
    return mention.kind == "referential" and len(mention.characters) == 1 and mention.characters[0] in told


def test_spans_are_exact_ordered_and_disjoint() -> None:
    for _, told, t in FRAMES:
        for caption in (told.explicit, told.referential):
            end = 0
            for m in caption.mentions:
                assert m.frame == t
                assert end <= m.start < m.end
                assert caption.text[m.start : m.end] == m.surface
                assert (m.distance is None) == (m.kind == "explicit")
                end = m.end


def test_both_texts_tell_exactly_the_characters_of_the_frame_in_order() -> None:
    for plan, told, t in FRAMES:
        characters = list(plan.events[t].characters)
        assert _named(told.explicit) == characters
        assert [name for _, _, name in find_names(told.explicit.text)] == characters
        referred = told.referential
        assert [n for m in referred.mentions if not _is_own(referred, m) for n in m.characters] == characters
        assert all(m.distance == 0 and _is_own(told.explicit, m) for m in _references(told.explicit))


def test_the_first_frame_reads_the_same() -> None:
    for _, tolds in STORIES:
        assert tolds[0].explicit == tolds[0].referential


def test_references_follow_the_stated_rule() -> None:
    """Recomputes the rule of ``discourse`` from the annotation alone."""
    for plan, tolds in STORIES:
        seen = [frozenset(e.characters) for e in plan.events]
        named = [set(_named(told.referential)) for told in tolds]
        for t, told in enumerate(tolds):
            for m in _references(told.referential):
                last = {n: max((s for s in range(t) if n in named[s]), default=None) for n in m.characters}
                if m.distance == 0:
                    assert _is_own(told.referential, m)
                    assert m.characters[0] in named[t]
                    assert m.surface != "their" or all(len(f) == 1 for f in seen[:t]) or seen[t - 1] == {"Robin"}
                    continue
                assert None not in last.values(), "a pronoun without a name before it"
                assert m.distance == t - min(last.values())  # type: ignore[type-var]
                assert 1 <= m.distance <= 4
                _check_rule(m, seen[:t], told.referential)


def _check_rule(m: Mention, seen: list[frozenset[str]], caption: Caption) -> None:
    word = m.surface.lower()
    groups = [f for f in seen if len(f) > 1]
    if len(m.characters) > 1:
        assert m.form != "possessive"
        if word in ("they", "them"):
            latest = max(s for s, f in enumerate(seen) if len(f) > 1)
            assert seen[latest] == set(m.characters)
            assert frozenset(["Robin"]) not in seen[latest:]
        else:
            assert word in phrases.PLURALS[len(m.characters)]
            assert [f for f in groups if len(f) == len(m.characters)][-1] == set(m.characters)
        return
    (name,) = m.characters
    pronoun = PRONOUN[name]
    assert word == phrases.CASES[pronoun][m.form]
    if pronoun == "they":
        assert seen[-1] == {name}
        assert m.ambiguous == bool(groups)
        return
    rivals = [{n for n in f if PRONOUN[n] == pronoun} for f in seen]
    assert [r for r in rivals if r][-1] == {name}
    assert m.ambiguous == any(r - {name} for r in rivals)
    earlier = [x for x in caption.mentions if x.start < m.start and x.characters != m.characters]
    same = [x for x in earlier if any(PRONOUN[n] == pronoun for n in x.characters)]
    if same:
        assert m.form == "object"
        assert all(" while " not in caption.text[x.end : m.start] for x in same)


_VERBS = {
    plural: singular
    for table in (phrases.ACTION_PHRASES, phrases.PARTNER_PHRASES, phrases.HOLD_PHRASES)
    for options in table.values()
    for phrase in options
    for piece in parse(phrase)
    if isinstance(piece, tuple)
    for singular, plural in [piece]
} | {"watch": "watches", "see": "sees", "show": "shows"}
_PLACES = sorted({p for v in phrases.PLACE_PHRASES.values() for p in v} | set(phrases.ABOVE.values()), key=len)[::-1]
_PLACE = re.compile(
    "|".join(rf"{p}, | {p}(?=[ ,.])" for p in _PLACES)
    + r"|still there, |in the same place, | there too(?=[ ,.])| there(?=[ ,.])"
)


def _bare(text: str) -> str:
    """Lower case, without places and with every verb in the singular."""
    text = _PLACE.sub("", text.lower())
    return re.sub(r"\w+", lambda m: _VERBS.get(m.group(), m.group()), text)


def test_the_two_texts_differ_in_references_only() -> None:
    for _, told, _ in FRAMES:
        caption, text, shift = told.referential, told.referential.text, 0
        for m in caption.mentions:
            if m.kind == "explicit" or _is_own(caption, m):
                continue
            names = list(m.characters)
            full = names[0] + ("'s" if m.form == "possessive" else "")
            if len(names) > 1:
                full = ", ".join(names[:-1]) + " and " + names[-1]
            text = text[: m.start + shift] + full + text[m.end + shift :]
            shift += len(full) - (m.end - m.start)
        assert _bare(text) == _bare(told.explicit.text)


def test_the_explicit_text_always_tells_the_place_and_the_other_often_not() -> None:
    implicit = Counter()
    for plan, told, t in FRAMES:
        setting = plan.events[t].setting
        variants = (*phrases.PLACE_PHRASES[setting], phrases.ABOVE[setting])
        assert any(v in told.explicit.text.lower() for v in variants)
        if t:
            says = any(v in told.referential.text.lower() for v in variants)
            assert says or setting == plan.events[t - 1].setting
            implicit[says] += 1
    assert 0.33 < implicit[False] / implicit.total() < 0.5


_WRONG = re.compile(
    "|".join(
        (
            r"\b(\w+) \1\b",
            r"\b(?:they|both of them|the two of them|the two friends) (?:is|has|does|goes|takes|runs)\b",
            r"\b(?:he|she|it) (?:are|have|do|go|take|run|walk)\b",
            r"\bthe (?:Zara|Mr|Finn|Pip|Bolt)\b",
            r"  | [.,]|,,|, while|there there",
            r"\ba umbrella|\ban (?!umbrella)",
            r"(?<!of )\b(?:her|him|them) (?:is|are)\b",
            r"\b[a-z]+ing (?:holding|carrying)",
        )
    ),
    re.IGNORECASE,
)


def test_sentences_are_well_formed() -> None:
    for _, told, _ in FRAMES:
        for text in (told.explicit.text, told.referential.text):
            assert not _WRONG.search(text), text
            assert text[0].isupper()
            assert text.index(".") == len(text) - 1
            assert not set("{}|@#^") & set(text)
            assert len(text.split()) <= 32


def test_references_of_every_kind_occur() -> None:
    references = [m for _, told, t in FRAMES if t for m in _references(told.referential) if m.distance]
    later = [any(m.distance for m in _references(told.referential)) for _, told, t in FRAMES if t]
    assert 0.6 < sum(later) / len(later) < 0.75
    distances = Counter(m.distance for m in references)
    assert all(distances[d] / len(references) > 0.08 for d in (1, 2, 3, 4))
    assert all(count / len(references) > 0.05 for count in Counter(m.form for m in references).values())
    assert 0.1 < sum(m.ambiguous for m in references) / len(references) < 0.4
    assert 0.1 < sum(len(m.characters) > 1 for m in references) / len(references) < 0.3
    words = {m.surface.lower() for m in references}
    plurals = {w for options in phrases.PLURALS.values() for w in options}
    assert words == {w for cases in phrases.CASES.values() for w in cases.values()} | plurals
    assert any(m.characters == ("Robin",) for m in references)
    assert any(m.distance == 0 for _, told, _ in FRAMES for m in _references(told.referential))


def test_no_untold_detail_is_told_and_the_dense_caption_tells_all_that_shows() -> None:
    for plan, told, t in FRAMES[:3000]:
        details = visible_details(plan, t)
        dense = dense_caption(plan, t, told.explicit.text)
        assert dense.startswith(told.explicit.text)
        assert dense.count(".") == 1 + len(details)
        assert ("wall" in details) != ("weather" in details)
        words = set(tokenize_words(told.explicit.text)) - {"green"}  # the meadow is
        assert not words & {*SCARF_COLOURS, *PROP_COLOURS, *WEATHERS, *WALL_COLOURS}


def test_the_vocabulary_covers_all_that_the_grammar_writes() -> None:
    words = vocabulary()
    assert words == sorted(set(words))
    known = set(words)
    for plan, told, t in FRAMES:
        texts = (told.explicit.text, told.referential.text, dense_caption(plan, t, told.explicit.text))
        assert not {w for text in texts for w in tokenize_words(text)} - known


def test_words_and_names_in_free_text() -> None:
    assert tokenize_words("Zara's kite, Mr. Plum!") == ["Zara", "'s", "kite", ",", "Mr.", "Plum", "!"]
    assert find_names("mr plum met Mr. Plum, PLUM and zara’s friend; plums too") == [
        (0, 7, "Mr Plum"),
        (12, 20, "Mr Plum"),
        (22, 26, "Mr Plum"),
        (31, 35, "Zara"),
    ]
    assert unknown_words("Zara's dragon eats the DRAGON fruit at the seaside.") == ["dragon", "DRAGON", "fruit"]


@given(st.lists(st.sampled_from([*NAMES, "plum", "the", "and", ",", "runs", "Zarah"]), max_size=12))
def test_names_are_found_where_they_stand(words: list[str]) -> None:
    text = " ".join(words)
    found = [name for _, _, name in find_names(text)]
    assert found == ["Mr Plum" if w == "plum" else w for w in words if w in NAMES or w == "plum"]
    assert all(text[a:b].lower() in ("plum", name.lower()) for a, b, name in find_names(text))


@given(st.text(max_size=80))
def test_splitting_loses_nothing_but_space(text: str) -> None:
    joined = "".join(tokenize_words(text))
    assert joined == re.sub(r"\s", "", text).replace("’", "'")


@pytest.mark.parametrize("action", sorted(phrases.ACTION_PHRASES))
def test_every_action_has_several_phrasings(action: str) -> None:
    assert len(set(phrases.ACTION_PHRASES[action])) >= 5
    assert len(set(phrases.PARTNER_PHRASES[action])) >= 5
