"""In which form a mention would be a pronoun, read off its neighbours; None where that cannot be told for sure.

Subject: the mention opens a clause (it starts the sentence, or follows a conjunction, a comma or "then") and a finite
verb that is known follows it, adverbs aside. "Fred and Barney" takes the verb of a plural, "and Fred is" opens a
clause, "a man and Fred are" does not.

Object: a preposition or a verb that is known stands before it, and what follows ends the phrase: a mark, a
preposition, a conjunction, an adverb; a noun phrase after a verb of giving ("hands Fred a cup"), "to" and "that" after
one of telling, a gerund after one of watching.

Possessive: 's follows, and then a noun: not what makes it short for "is" ("Fred's in the car", "Fred's talking").

Never: a member of a longer list, a name beside a noun ("Super Pororo", "Pororo house"), a name with a relative
clause, within quotation marks, after "like", "called", "named", or as a predicate ("it is Fred").
"""

from __future__ import annotations

from storybench.coreference.english import english
from storybench.coreference.reading import Named, Reading, Role

_PLACES = frozenset({"in", "inside", "into", "outside", "of", "from"})
_REDUCED = frozenset({"dressed", "covered", "surrounded", "named", "seated", "called"})  # "Fred dressed in red stands"
_AFTER_TOLD = frozenset({"to", "that", "if", "what", "why", "how", "not", "where", "whether"})
_BE = frozenset({"is", "are", "was", "were", "be", "been", "being"})
_RELATIVE = frozenset({"who", "whose", "whom", "which", "that"})
_QUOTES = frozenset({'"', "“", "”"})
_MARKS = frozenset({"", ".", "!", "?", ";", ")", '"'})
_CONJUNCTIONS = frozenset({"and", "while", "but", "because", "when", "before", "after", "so", "if", "as", "until"})


def role_of(reading: Reading, named: Named) -> Role | None:
    """Return the role of a mention, or None if no rule tells it."""
    if _quoted(reading, named.first):
        return None
    if named.owner:
        return _possessive(reading, named)
    return _subject(reading, named) or _object(reading, named)


def _quoted(reading: Reading, index: int) -> bool:
    return sum(token.word in _QUOTES for token in reading.tokens[:index]) % 2 == 1


def _subject(reading: Reading, named: Named) -> Role | None:
    language = english()
    plural = len(named.people) > 1
    both = reading.word(named.first - 1) == "both" and len(named.people) == 2
    first = named.first - both
    verb = named.last
    floats = ("both", "all") if plural else ()
    while reading.word(verb) in language.adverbs or reading.word(verb) in floats:
        verb += 1
    word = reading.word(verb)
    number = language.number(word)
    if number is None or word in _REDUCED or (number == "plural" and not plural):
        return None
    follows = reading.word(verb + 1)
    if word not in language.auxiliaries and follows in language.auxiliaries:  # "Pororo hands are": a noun
        return None
    listed_by_commas = plural and "and" not in _words(reading, named.spans[-2][1], named.spans[-1][0])
    if listed_by_commas and number != "plural":  # "Next to Fred, Barney is": two clauses, not a list
        return None
    if not _opens_clause(reading, first, number == "singular" or plural):
        return None
    return Role("subject", first, named.last, verb, both)


def _opens_clause(reading: Reading, first: int, clear_after_and: bool) -> bool:
    """Say whether a subject may stand at ``first``."""
    language = english()
    before = first
    while before > 0 and not reading.starts_sentence(before) and reading.word(before - 1) in language.adverbs:
        before -= 1
    if reading.starts_sentence(before):
        return True
    word, earlier = reading.word(before - 1), reading.word(before - 2)
    if word in language.clause_openers:
        return True
    if word == ",":
        return earlier not in language.people
    if word in ("and", "or"):
        ends_clause = language.verb(earlier) is not None or earlier in language.adverbs or earlier == ","
        return clear_after_and and (ends_clause or earlier not in language.people)
    return False


def _object(reading: Reading, named: Named) -> Role | None:
    language = english()
    both = reading.word(named.first - 1) == "both" and len(named.people) == 2
    first = named.first - both
    before, after = reading.word(first - 1), reading.word(named.last)
    verb = language.verb(before) if _acts(reading, first - 1) else None
    by_preposition = before in language.person_prepositions or (
        before == "of" and reading.word(first - 2) in language.of_heads
    )
    if reading.starts_sentence(first) or not (by_preposition or verb):
        return None
    if verb is not None and (verb in language.quoting or before in _BE):
        return None
    if not _ends_phrase(reading, named.last):
        gives = verb in language.giving and after in language.determiners
        tells = verb in language.telling and after in _AFTER_TOLD
        watches = (verb in language.watching or before == "with") and after in language.gerunds
        if not (gives or tells or watches):
            return None
    return Role("object", first, named.last, both=both)


def _acts(reading: Reading, index: int) -> bool:
    """Say whether the token at ``index`` is a verb in use, not a noun that could be one."""
    language = english()
    word = reading.word(index)
    verb = language.verb(word)
    if verb is None or word in language.auxiliaries:
        return False
    if reading.word(index - 1) in language.determiners:
        return False
    return word != verb or reading.word(index - 1) in ("to", *language.auxiliaries)


def _ends_phrase(reading: Reading, index: int) -> bool:
    """Say whether the noun phrase before ``index`` is over there, and no further member joins it."""
    language = english()
    word, after = reading.word(index), reading.word(index + 1)
    if index >= len(reading.tokens) or reading.sentences[index] != reading.sentences[index - 1]:
        return True
    if word in _MARKS or word in language.prepositions or word in language.adverbs:
        return True
    if word == ",":
        return after not in language.determiners and after not in language.people and after not in _RELATIVE
    if word == "and":
        return language.verb(after) is not None or after in language.adverbs or after in language.auxiliaries
    return word in _CONJUNCTIONS


def _possessive(reading: Reading, named: Named) -> Role | None:
    language = english()
    before, owned = reading.word(named.first - 1), reading.word(named.last + 1)
    if not owned[:1].isalpha() or owned in language.contraction_followers or owned in language.prepositions:
        return None
    if owned in language.adverbs or owned in language.auxiliaries or owned == "super":
        return None
    follows = reading.word(named.last + 2)
    if owned in language.gerunds and (owned not in language.noun_gerunds or follows in language.determiners):
        return None
    if before in language.determiners or (before in ("and", ",") and not reading.starts_sentence(named.first)):
        return None
    plural = len(named.people) > 1
    if plural and not reading.starts_sentence(named.first) and before not in _PLACES:
        return None
    return Role("possessive", named.first, named.last + 1)


def _words(reading: Reading, first: int, last: int) -> list[str]:
    return [reading.word(i) for i in range(first, last)]
