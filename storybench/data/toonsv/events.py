"""What happens in one frame: clauses that say who does what, with whom and with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from storybench.data.toonsv.casting import Company
from storybench.data.toonsv.dice import Dice
from storybench.data.toonsv.phrases import SHARED_ACTIONS
from storybench.data.toonsv.world import ACTIONS, STAND

Style = Literal["act", "hold", "owner", "show", "watch"]


@dataclass(frozen=True)
class Clause:
    """One verb and those about it.

    Styles: ``act`` tells an action (with a partner, or with a prop in hand); ``hold`` tells the prop alone; ``owner``
    speaks of the prop as its holder's ("Zara's kite flies"); ``show`` shows the prop to the partner; ``watch`` looks on
    while the partner acts. Only a single subject holds a prop.
    """

    subjects: tuple[str, ...]
    action: str
    partners: tuple[str, ...] = ()
    prop: str | None = None
    style: Style = "act"


@dataclass(frozen=True)
class Event:
    """What one frame tells: its place and one to three clauses, in the order in which they are told."""

    index: int
    setting: str
    clauses: tuple[Clause, ...]

    @cached_property
    def characters(self) -> tuple[str, ...]:
        """Who is in the frame, in the order of naming, which is the order left to right."""
        return tuple(name for clause in self.clauses for name in clause.subjects + clause.partners)

    @cached_property
    def actions(self) -> dict[str, str]:
        """What each character does; ``stand`` for one who is given no action of its own."""
        done = {}
        for clause in self.clauses:
            acts = clause.style == "act"
            for name in clause.subjects:
                done[name] = clause.action if acts else STAND
            shared = clause.style == "watch" or (acts and clause.action in SHARED_ACTIONS)
            for name in clause.partners:
                done[name] = clause.action if shared else STAND
        return done

    @cached_property
    def props(self) -> dict[str, str]:
        """Who holds what."""
        return {clause.subjects[0]: clause.prop for clause in self.clauses if clause.prop}


class Choices(Protocol):
    """What may be done in the frame (see ``planner``)."""

    def action(self, names: Sequence[str], among: Sequence[str] = ACTIONS) -> str | None:
        """Choose an action for all the names, or None."""

    def prop(self, name: str) -> str | None:
        """Choose a prop, or None."""


def write_event(dice: Dice, company: Company, may: Choices) -> tuple[Clause, ...]:
    """Choose the clauses of a frame for its company: each of its members is told exactly once."""
    names = company.members
    if len(names) == 1:
        return (_solo(dice, names[0], may),)
    for _ in range(8):
        clauses = _two(dice, names, may) if len(names) == 2 else _three(dice, company, may)
        if clauses:
            return clauses
    return tuple(_solo(dice, name, may) for name in names)


def _solo(dice: Dice, name: str, may: Choices, beside_others: bool = False) -> Clause:
    style = dice.weighted(("act", "with", "hold", "owner"), (0.66, 0.12, 0.2, 0.02 if beside_others else 0.14))
    action = may.action((name,))
    prop = may.prop(name) if style != "act" else None
    if action is None or (prop and style in ("hold", "owner")):
        return Clause((name,), STAND, (), prop or may.prop(name), "owner" if style == "owner" else "hold")
    return Clause((name,), action, (), prop)


def _joint(subjects: tuple[str, ...], may: Choices) -> Clause | None:
    action = may.action(subjects)
    return Clause(subjects, action) if action else None


def _partnered(dice: Dice, subjects: tuple[str, ...], partners: tuple[str, ...], may: Choices) -> Clause | None:
    style = dice.weighted(("act", "show", "watch"), (0.76, 0.12, 0.12))
    if style == "show" and len(subjects) == 1:
        prop = may.prop(subjects[0])
        return Clause(subjects, STAND, partners, prop, "show") if prop else None
    if style == "watch":
        action = may.action(partners)
        return Clause(subjects, action, partners, None, "watch") if action else None
    if dice.chance(0.3):
        action = may.action(subjects, ("wave", "cheer"))
    else:
        action = may.action(subjects + partners, SHARED_ACTIONS)
    return Clause(subjects, action, partners) if action else None


def _all(*clauses: Clause | None) -> tuple[Clause, ...] | None:
    return None if None in clauses else clauses  # type: ignore[return-value]


def _two(dice: Dice, names: tuple[str, ...], may: Choices) -> tuple[Clause, ...] | None:
    kind = dice.weighted(("joint", "partner", "split"), (0.3, 0.34, 0.36))
    if kind == "joint":
        return _all(_joint(names, may))
    if kind == "partner":
        return _all(_partnered(dice, names[:1], names[1:], may))
    return tuple(_solo(dice, name, may, True) for name in names)


def _three(dice: Dice, company: Company, may: Choices) -> tuple[Clause, ...] | None:
    a, b, c = company.members
    kinds = ("joint", "pair with", "with pair", "pair and", "and pair", "split", "partner and")
    weights = (0.17, 0.17, 0.13, 0.17, 0.08, 0.12, 0.16)
    if company.pair == (a, b):
        weights = (0.08, 0.38, 0.0, 0.4, 0.0, 0.07, 0.07)
    elif company.pair == (b, c):
        weights = (0.08, 0.0, 0.5, 0.0, 0.3, 0.06, 0.06)
    kind = dice.weighted(kinds, weights)
    if kind == "joint":
        return _all(_joint((a, b, c), may))
    if kind == "pair with":
        return _all(_partnered(dice, (a, b), (c,), may))
    if kind == "with pair":
        return _all(_partnered(dice, (a,), (b, c), may))
    if kind == "pair and":
        return _all(_joint((a, b), may), _solo(dice, c, may, True))
    if kind == "and pair":
        return _all(_solo(dice, a, may, True), _joint((b, c), may))
    if kind == "partner and":
        return _all(_partnered(dice, (a,), (b,), may), _solo(dice, c, may, True))
    return tuple(_solo(dice, name, may, True) for name in company.members)
