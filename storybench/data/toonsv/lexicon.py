"""Words of the ToonSV world: splitting text into words, finding names, and naming words that are not known."""

from __future__ import annotations

import re
from functools import lru_cache

from storybench.data.toonsv import phrases, world
from storybench.data.toonsv.template import parse

ALIASES: dict[str, tuple[str, ...]] = {"Mr Plum": ("Mr. Plum", "Mister Plum", "Plum")}

_WORD = re.compile(r"Mr\.(?=\s)|[^\W\d_]+(?=['’]s\b)|['’]s\b|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_")
_PUNCTUATION = (".", ",", "!", "?", ";", ":", "-", "'", '"', "(", ")", "'s")


def tokenize_words(text: str) -> list[str]:
    """Split text into words, ``'s`` and punctuation: ``"Zara's kite."`` gives ``["Zara", "'s", "kite", "."]``."""
    return [word.replace("’", "'") for word in _WORD.findall(text)]


@lru_cache(maxsize=1)
def _grammar_texts() -> tuple[str, ...]:
    texts: list[str] = [*world.NAMES, *world.PROPS, *world.SETTINGS, *phrases.ARTICLE.values(), "a the"]
    tables = (
        phrases.ACTION_PHRASES,
        phrases.PARTNER_PHRASES,
        phrases.WATCHED,
        phrases.HOLD_PHRASES,
        phrases.OWNER_PHRASES,
        phrases.PLACE_PHRASES,
        phrases.PLURALS,
    )
    templates = [phrase for table in tables for options in table.values() for phrase in options]
    templates += [*phrases.CARRIED, *phrases.CARRIED_ASLEEP, *phrases.WATCH_PHRASES, *phrases.SHOW_PHRASES]
    for phrase in templates:
        for piece in parse(phrase.removesuffix(" ^")):
            texts += piece if isinstance(piece, tuple) else [piece]
    texts += phrases.ABOVE.values()
    texts += [*phrases.SAME_PLACE_START, *phrases.SAME_PLACE_END, *phrases.OPENERS, *phrases.LINKS]
    texts += [form for cases in phrases.CASES.values() for form in cases.values()]
    texts += ["while and together", "The scarf of is sky wall weather"]
    texts += [*world.SCARF_COLOURS, *world.PROP_COLOURS, *world.WEATHERS, *world.WALL_COLOURS]
    return tuple(texts)


@lru_cache(maxsize=1)
def _grammar_words() -> frozenset[str]:
    words = {w for text in _grammar_texts() for w in tokenize_words(text) if w not in "@#"}
    return frozenset(words | {".", ",", "'s"})


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[str, ...]:
    words = _grammar_words() | set(phrases.FREE_WORDS) | set(_PUNCTUATION)
    words |= {w for aliases in ALIASES.values() for alias in aliases for w in tokenize_words(alias)}
    words |= {w[0].upper() + w[1:] for w in words}
    return tuple(sorted(words))


def vocabulary() -> list[str]:
    """Return every word form the grammar can write, and plain words people may type about this world, sorted.

    Words stand in lower case and with a capital (as at the start of a sentence); names with a capital only.
    """
    return list(_vocabulary())


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(word.lower() for word in _vocabulary())


@lru_cache(maxsize=1)
def _names() -> tuple[re.Pattern[str], dict[str, str]]:
    forms = {form.lower(): name for name in world.NAMES for form in (name, *ALIASES.get(name, ()))}
    longest = sorted(forms, key=len, reverse=True)
    pattern = "|".join(re.escape(form).replace(r"\ ", r"\s+") for form in longest)
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE), forms


def find_names(text: str) -> list[tuple[int, int, str]]:
    """Find the cast's names and aliases in free text, whatever the case, as (start, end, name)."""
    pattern, forms = _names()
    return [(m.start(), m.end(), forms[" ".join(m.group().lower().split())]) for m in pattern.finditer(text)]


def unknown_words(text: str) -> list[str]:
    """Return the words of a free text that are outside the vocabulary, once each, in order of appearance.

    Case does not count, and digits are words like any other.
    """
    known = _known()
    return list(dict.fromkeys(w for w in tokenize_words(text) if w.lower() not in known))
