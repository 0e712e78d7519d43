"""How one event will be put, before any name or pronoun is written: the same for both texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from storybench.data.toonsv.dice import Dice
from storybench.data.toonsv.discourse import Discourse
from storybench.data.toonsv.events import Clause, Event
from storybench.data.toonsv.phrases import (
    ABOVE,
    ACTION_PHRASES,
    ARTICLE,
    CARRIED,
    CARRIED_ASLEEP,
    HOLD_PHRASES,
    LINKS,
    OPENERS,
    OWNER_PHRASES,
    PARTNER_PHRASES,
    PLACE_PHRASES,
    SAME_PLACE_END,
    SAME_PLACE_START,
    SHOW_PHRASES,
    WATCH_PHRASES,
    WATCHED,
)
from storybench.data.toonsv.world import PRONOUN

OWN = "own"  # the determiner that is the holder's own possessive pronoun


@dataclass(frozen=True)
class ClauseText:
    """A clause and the phrase chosen for it; ``determiner`` stands before the prop."""

    clause: Clause
    phrase: str
    determiner: str = ""


@dataclass(frozen=True)
class Template:
    """One sentence: a link word, the clauses with what joins them, and where the place is told and how."""

    lead: str
    clauses: tuple[ClauseText, ...]
    joiners: tuple[str, ...]
    place_at: Literal["start", "first", "end"]
    place: str
    same_place: str | None  # what the referential text says instead; None: it tells the place too


@cache
def parse(phrase: str) -> tuple[str | tuple[str, str], ...]:
    """Split a phrase into plain text, (singular, plural) verbs and the marks ``@`` and ``#``."""
    pieces: list[str | tuple[str, str]] = []
    for piece in re.split(r"(\{[^}]*\}|@|#)", phrase):
        if piece.startswith("{"):
            singular, plural = piece[1:-1].split("|")
            pieces.append((singular, plural))
        elif piece:
            pieces.append(piece)
    return tuple(pieces)


def choose_template(dice: Dice, event: Event, discourse: Discourse) -> Template:
    """Choose the wording of an event, given what was told before."""
    t, alone = event.index, len(event.clauses) == 1
    clauses = []
    before: list[str] = []
    for clause in event.clauses:
        clauses.append(_clause(dice, clause, before, alone, discourse))
        before += clause.subjects + clause.partners
    above = clauses[0].phrase.endswith("^")
    place_at: Literal["start", "first", "end"] = "end"
    if not above:
        place_at = dice.weighted(("start", "first", "end"), (0.3, 0.0, 0.7) if alone else (0.4, 0.25, 0.35))
    place = ABOVE[event.setting] if above else dice.pick(PLACE_PHRASES[event.setting])
    same_place = None
    if discourse.setting == event.setting and t - discourse.setting_told < 4 and dice.chance(0.62):
        same_place = dice.pick(SAME_PLACE_START if place_at == "start" else SAME_PLACE_END)
    lead = ""
    if place_at != "start" and dice.chance(0.15):
        lead = dice.pick(LINKS if t else OPENERS)
    return Template(lead, tuple(clauses), _joiners(dice, event), place_at, place, same_place)


def _clause(dice: Dice, clause: Clause, before: list[str], alone: bool, discourse: Discourse) -> ClauseText:
    phrase = _phrase(dice, clause, alone)
    if clause.prop is None or clause.style == "owner":
        return ClauseText(clause, phrase)
    owner = clause.subjects[0]
    if _own_is_clear(owner, before, alone and not clause.partners, discourse) and dice.chance(0.35):
        return ClauseText(clause, phrase, OWN)
    if clause.prop in discourse.seen_props and dice.chance(0.7):
        return ClauseText(clause, phrase, "the")
    return ClauseText(clause, phrase, ARTICLE.get(clause.prop, "a"))


def _own_is_clear(owner: str, before: list[str], solo: bool, discourse: Discourse) -> bool:
    """Say whether "her umbrella" can only be the subject's own; "their" also must not read as a group's."""
    if PRONOUN[owner] == "they":
        groups = any(len(frame) > 1 for frame in discourse.frames)
        return solo and not before and (not groups or discourse.frames[-1] == {owner})
    return not any(PRONOUN[name] == PRONOUN[owner] for name in before)


def _phrase(dice: Dice, clause: Clause, alone: bool) -> str:
    if clause.style == "hold":
        return dice.pick(HOLD_PHRASES[clause.prop or ""])
    if clause.style == "owner":
        phrases = OWNER_PHRASES[clause.prop or ""]
        return dice.pick(phrases if alone else [p for p in phrases if not p.endswith("^")])
    if clause.style == "show":
        return dice.pick(SHOW_PHRASES)
    if clause.style == "watch":
        return f"{dice.pick(WATCH_PHRASES)} {dice.pick(WATCHED[clause.action])}"
    if clause.partners:
        return dice.pick(PARTNER_PHRASES[clause.action])
    phrase = dice.pick(ACTION_PHRASES[clause.action])
    if clause.prop:
        carried: tuple[str, ...] = CARRIED_ASLEEP if clause.action == "sleep" else CARRIED
        if "with" in phrase:
            carried = carried[1:]
        elif phrase.endswith("ing"):
            carried = carried[:1]
        return f"{phrase} {dice.pick(carried)}"
    if len(clause.subjects) > 1 and dice.chance(0.3):
        return f"{phrase} together"
    return phrase


def _joiners(dice: Dice, event: Event) -> tuple[str, ...]:
    clauses = event.clauses
    if len(clauses) == 1:
        return ()
    if len(clauses) == 3:
        return (", ", " and ") if dice.chance(0.5) else (" while ", " and ")
    simple = all(len(c.subjects) == 1 and not c.partners for c in clauses)
    return (dice.weighted((" while ", ", and ", " and "), (0.6, 0.2, 0.2) if simple else (0.75, 0.25, 0.0)),)
