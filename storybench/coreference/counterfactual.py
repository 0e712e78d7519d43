"""Counterfactual text: one name of a story swapped before a frame that only refers to it.

For one mention that refers across frames to a single character c, every explicit mention of c in the frames before
becomes c', of the same pronoun and nowhere else in the story. No other token changes, the frames from the mention on
keep their captions, and the story keeps its id, hence its noise. If the picture of the frame then shows c', the model
read; if it shows c, it guessed (metrics.md 3).

A mention is only taken if nothing before or beside it gives c away: its own caption does not name c, no name of c is
left after the swap, no surname is, and no noun tells of people as known ("his wife", "the twins", "the man"). A new
person ("a man") gives nobody away. ``Frame.characters`` and the true pictures stay those of the original.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from storybench.coreference.chance import cross_frame_mentions
from storybench.coreference.english import english
from storybench.coreference.tokens import tokenize
from storybench.errors import DataError
from storybench.story import Caption, Character, Frame, Mention, Story

VERSION = 1  # of the rules: which mention is taken, and by whom it is replaced
TEXT = "counterfactual"  # the text mode that swapped stories have
INTRODUCING = frozenset({"a", "an", "another", "some"})
_NOUN_PHRASE = 4  # words that are read back from a noun for its determiner
T = TypeVar("T")


@dataclass(frozen=True)
class NameSwap:
    """What was swapped: ``original`` by ``replacement`` in ``named_frames``, for the sake of ``frame``."""

    story: str
    frame: int
    original: str
    replacement: str
    named_frames: tuple[int, ...]  # frames before ``frame`` whose captions now name the replacement, in order


class Swapped(NamedTuple):
    """A story with the text mode ``counterfactual``, and what differs in it."""

    story: Story
    swap: NameSwap


def swap_stories(stories: Iterable[Story], text: str, seed: int = 0) -> list[Swapped]:
    """Return the stories in which a name can be swapped, swapped; the others are left out, nothing is drawn for them.

    Raises:
        DataError: If a story has no text ``text``.
    """
    return [swapped for story in stories if (swapped := swap_name(story, text, seed)) is not None]


def swap_name(story: Story, text: str, seed: int = 0) -> Swapped | None:
    """Return a story with one name swapped in text mode ``text``, told as mode ``counterfactual``.

    Args:
        story: An annotated story; its id and ``seed`` alone choose among the mentions and the replacements.
        text: Text mode to start from; ``explicit`` has no mention to take.
        seed: Another seed takes another mention or replacement, where there are several.

    Returns:
        None if no mention of the story can be taken.

    Raises:
        DataError: If the story has no text ``text``.
    """
    for frame in story.frames:
        if text not in frame.captions:
            raise DataError(f"Story {story.id} has no text {text!r}; available: {', '.join(sorted(frame.captions))}.")
    captions = [frame.captions[text] for frame in story.frames]
    cast = {character.name: character for character in story.cast}
    taken = {
        (t, c): options
        for t, caption in enumerate(captions)
        for c in sorted({m.characters[0] for m in cross_frame_mentions(caption.mentions) if len(m.characters) == 1})
        if c in cast and (options := _swappable(captions, t, cast[c], story)) is not None
    }
    if not taken:
        return None
    t, c = _choose(sorted(taken), seed, story.id, "mention")
    replacement = _choose(taken[t, c], seed, story.id, "replacement")
    told = _tell(captions, t, cast[c], replacement)
    named = tuple(k for k in range(t) if _names(captions[k], c))
    frames = tuple(
        replace(frame, captions=_MoreTexts(frame, caption)) for frame, caption in zip(story.frames, told, strict=True)
    )
    return Swapped(replace(story, frames=frames), NameSwap(story.id, t, c, replacement, named))


class _MoreTexts(Mapping[str, Caption]):
    """The captions of a frame and one more; modes that are told when they are read stay so."""

    def __init__(self, frame: Frame, caption: Caption) -> None:
        self._texts, self._caption = frame.captions, caption

    def __getitem__(self, text: str) -> Caption:
        return self._caption if text == TEXT else self._texts[text]

    def __iter__(self) -> Iterator[str]:
        return iter((*(text for text in self._texts if text != TEXT), TEXT))

    def __len__(self) -> int:
        return len(set(self._texts) | {TEXT})


def _swappable(captions: Sequence[Caption], t: int, character: Character, story: Story) -> list[str] | None:
    """Return who may stand for ``character`` before frame ``t``, sorted; None if it cannot be taken out."""
    before, name = captions[:t], character.name
    if _names(captions[t], name) or not any(_names(caption, name) for caption in before):
        return None
    without = [_renamed(caption, character, "") for caption in before]
    if any(_has_article(caption, name) for caption in before):
        return None
    named, surname = _pattern(character), _surnames(story.cast)
    for caption in (*without, captions[t]):
        if caption is None or named.search(caption.text) or _gives_away(caption, surname):
            return None
    present = {c for frame in story.frames for c in frame.characters}
    present |= {c for caption in captions for m in caption.mentions for c in m.characters}
    others = [c for c in story.cast if c.pronoun == character.pronoun and c.name not in present]
    options = sorted(c.name for c in others if not any(_pattern(c).search(caption.text) for caption in captions))
    return options or None


def _tell(captions: Sequence[Caption], t: int, character: Character, replacement: str) -> list[Caption]:
    """Return all captions with the name swapped before frame ``t``, and every mention with whom it now stands for."""
    told, last_named = [], -1  # the last frame whose caption names the original
    for k, caption in enumerate(captions):
        new = _renamed(caption, character, replacement) if k < t else caption
        assert new is not None
        mentions = []
        for m in new.mentions:
            if m.kind == "explicit" and character.name in m.characters:
                last_named = k
            mentions.append(_standing_for(m, character.name, replacement) if last_named < t else m)
        told.append(Caption(new.text, tuple(mentions)))
    return told


def _standing_for(mention: Mention, original: str, replacement: str) -> Mention:
    names = tuple(replacement if c == original else c for c in mention.characters)
    return replace(mention, characters=names)


def _renamed(caption: Caption, character: Character, name: str) -> Caption | None:
    """Return a caption with ``name`` where it names ``character``; None if it does so by a word that is no known name.

    The mentions keep whom they stand for; spans and surfaces are those of the new text.
    """
    text, mentions, copied = "", [], 0
    for mention in caption.mentions:
        text += caption.text[copied : mention.start]
        surface = mention.surface
        if mention.kind == "explicit" and character.name in mention.characters:
            found = list(_pattern(character).finditer(surface))
            if len(found) != 1:
                return None
            start, end = found[0].span()
            surface = surface[:start] + _in_case_of(found[0][0], name) + surface[end:]
        start, copied = len(text), mention.end
        text += surface
        mentions.append(replace(mention, start=start, end=len(text), surface=surface))
    return Caption(text + caption.text[copied:], tuple(mentions))


def _in_case_of(written: str, name: str) -> str:
    """Return ``name`` in the case that the caption writes names in: some have no capitals."""
    return name.lower() if written.islower() else name.upper() if written.isupper() else name


def _names(caption: Caption, name: str) -> bool:
    return any(m.kind == "explicit" and name in m.characters for m in caption.mentions)


def _has_article(caption: Caption, name: str) -> bool:
    """Say whether a mention of ``name`` stands after "a" or "an", which might not fit another name."""
    starts = [m.start for m in caption.mentions if m.kind == "explicit" and name in m.characters]
    return any(re.search(r"\ban?\s+$", caption.text[:start], re.IGNORECASE) for start in starts)


def _gives_away(caption: Caption, surnames: frozenset[str]) -> bool:
    """Say whether words outside of the annotated mentions tell of people as known, or a surname."""
    spans = [(m.start, m.end) for m in caption.mentions if m.characters]
    tokens = tokenize(caption.text)
    for i, token in enumerate(tokens):
        if any(start <= token.start < end for start, end in spans):
            continue
        if token.word.rstrip("s") in surnames:
            return True
        people = english().people.get(token.word)
        if people is None:
            continue
        before = [other.word for other in tokens[max(i - _NOUN_PHRASE, 0) : i]]
        determiners = [word for word in before if word in english().determiners]
        if people.many or not determiners or determiners[-1] not in INTRODUCING:
            return True
    return False


def _surnames(cast: Iterable[Character]) -> frozenset[str]:
    """Return the last words of names of several words, in lower case and without a final s."""
    names = [name.lower().split() for c in cast for name in (c.name, *c.aliases)]
    return frozenset(parts[-1].rstrip("s") for parts in names if len(parts) > 1)


def _pattern(character: Character) -> re.Pattern[str]:
    """Return what finds a name or an alias, longest first, in any case; spaces and points between words may vary."""
    forms = sorted({character.name, *character.aliases}, key=lambda form: (-len(form), form))
    loose = [r"[\s.\-]*".join(map(re.escape, re.split(r"[\s.\-]+", form))) for form in forms]
    return re.compile(rf"(?<!\w)(?:{'|'.join(loose)})(?!\w)", re.IGNORECASE)


def _choose(options: Sequence[T], seed: int, story_id: str, what: str) -> T:
    """Return one of the options, the same in every process."""
    digest = hashlib.sha256(f"{TEXT}|{seed}|{story_id}|{what}".encode()).digest()
    return options[int.from_bytes(digest, "big") % len(options)]
