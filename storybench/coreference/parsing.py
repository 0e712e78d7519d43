"""Caption -> reading: finds names, joins them to groups, finds pronouns and unnamed people, tells the roles."""

from __future__ import annotations

from dataclasses import replace

from storybench.coreference.english import English, english
from storybench.coreference.lexicon import Lexicon, Person
from storybench.coreference.reading import FORMS, Form, Item, Named, Pronominal, Reading, Unnamed
from storybench.coreference.roles import role_of
from storybench.coreference.tokens import SENTENCE_ENDS, Token, tokenize
from storybench.story import Pronoun

_PRONOUN_WORDS: dict[str, tuple[Pronoun, Form]] = {}
for _pronoun, _forms in FORMS.items():
    for _form, _words in _forms.items():
        for _word in _words:
            _PRONOUN_WORDS.setdefault(_word, (_pronoun, _form))
_AND = ("and", "&")


def read(text: str, lexicon: Lexicon) -> Reading:
    """Return what ``text`` says of people."""
    tokens = tokenize(text)
    words = [token.word for token in tokens]
    singles: list[tuple[Person, int, int]] = []
    k = 0
    while k < len(tokens):
        found = lexicon.name_at(words, k, tokens[k].raw)
        if found is None:
            k += 1
        else:
            singles.append((found[0], k, k + found[1]))
            k += found[1]
    sentences = _sentences(tokens, singles)
    reading = Reading(text, tuple(tokens), sentences, ())
    items: list[Item] = [replace(named, role=role_of(reading, named)) for named in _groups(reading, singles)]
    taken = {i for _, first, last in singles for i in range(first, last)}
    items += [item for i in range(len(tokens)) if i not in taken and (item := _common(reading, i, english()))]
    return Reading(text, tuple(tokens), sentences, tuple(sorted(items, key=lambda item: item.first)))


def _sentences(tokens: list[Token], singles: list[tuple[Person, int, int]]) -> tuple[int, ...]:
    """Return the number of the sentence of each token; the dot of "Mr. Slate" ends none."""
    inside = {i for _, first, last in singles for i in range(first, last)}
    numbers, current = [], 0
    for i, token in enumerate(tokens):
        numbers.append(current)
        if token.word in SENTENCE_ENDS and i not in inside:
            current += 1
    return tuple(numbers)


def _groups(reading: Reading, singles: list[tuple[Person, int, int]]) -> list[Named]:
    """Join names that only commas and "and" part: within a sentence, none of them an owner but the last."""
    groups: list[list[tuple[Person, int, int]]] = []
    for single in singles:
        if groups and _joined(reading, groups[-1][-1][2], single[1]):
            groups[-1].append(single)
        else:
            groups.append([single])
    return [
        Named(
            tuple(person for person, _, _ in group),
            group[0][1],
            group[-1][2],
            tuple((first, last) for _, first, last in group),
            reading.word(group[-1][2]) == "'s",
            reading.sentences[group[0][1]],
        )
        for group in groups
    ]


def _joined(reading: Reading, left: int, right: int) -> bool:
    """Say whether the tokens from ``left`` to ``right`` (exclusive) only list: ``,``, ``and``, ``, and``, nothing."""
    between = [reading.word(i) for i in range(left, right)]
    return all(word in (",", *_AND) for word in between) and len(between) <= 2


def _common(reading: Reading, index: int, language: English) -> Item | None:
    """Return the pronoun or the unnamed person at ``index``, if there is one."""
    word, sentence = reading.word(index), reading.sentences[index]
    if word in _PRONOUN_WORDS:
        pronoun, form = _PRONOUN_WORDS[word]
        if word == "her":
            form = "possessive" if _noun_follows(reading, index + 1, language) else "object"
        if pronoun == "it" and form == "subject" and language.number(reading.word(index + 1)) is None:
            form = "object"
        return Pronominal(pronoun, form, index, sentence)
    if (people := language.people.get(word)) is not None:
        return Unnamed(people.pronouns, people.many, people.weak, index, sentence)
    return None


def _noun_follows(reading: Reading, index: int, language: English) -> bool:
    """Say whether a noun phrase goes on at ``index``: a word that opens neither a phrase nor a clause nor an end."""
    word = reading.word(index)
    closes = language.prepositions | language.clause_openers | language.determiners | language.adverbs | {"and", "who"}
    return word[:1].isalpha() and word not in closes
