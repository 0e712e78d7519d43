"""Who is in each frame of a story: characters enter, leave and return."""

from __future__ import annotations

from dataclasses import dataclass

from storybench.data.toonsv.dice import Dice
from storybench.data.toonsv.world import PRONOUN

# Chances of 1, 2 and 3 characters in a frame by the size of the story's cast: together 30 / 40 / 30 %.
_SIZES = {
    2: ((1, 2), (0.38, 0.62)),
    3: ((1, 2, 3), (0.27, 0.33, 0.40)),
    4: ((1, 2, 3), (0.27, 0.33, 0.40)),
}


@dataclass(frozen=True)
class Company:
    """The characters of a frame in the order of naming; ``pair`` are two adjacent ones that met before as a pair."""

    members: tuple[str, ...]
    pair: tuple[str, str] | None = None


def cast_frames(dice: Dice, cast: tuple[str, ...], frames: int) -> list[Company]:
    """Choose the company of each frame.

    A company stays, gains or loses a member, or an earlier one returns; a set that was met before keeps its order, so
    that "they" has one order too.
    """
    sizes, weights = _SIZES[len(cast)]
    told: list[tuple[str, ...]] = []
    companies = []
    for _ in range(frames):
        members = _members(dice, cast, told, dice.weighted(sizes, weights))
        company = _ordered(dice, members, told)
        told.append(company.members)
        companies.append(company)
    return companies


def _members(dice: Dice, cast: tuple[str, ...], told: list[tuple[str, ...]], size: int) -> list[str]:
    move = dice.weighted(("stay", "return", "new"), (0.4, 0.3, 0.3))
    if told and [PRONOUN[n] for n in told[-1]] == ["they"] and dice.chance(0.7):
        move = "stay"  # the only frame after which a singular they is allowed
    if told and move == "return":
        earlier = [m for m in told[-4:] if len(m) == size]
        if earlier:
            return list(dice.pick(earlier))
    if told and move == "stay":
        last = told[-1]
        if size <= len(last):
            return dice.sample(last, size)
        return list(last) + dice.sample([n for n in cast if n not in last], size - len(last))
    fresh = [n for n in cast if not any(n in m for m in told)]
    if told and fresh and size < len(cast) and dice.chance(0.5):
        first = dice.pick(fresh)
        return [first, *dice.sample([n for n in cast if n != first], size - 1)]
    return dice.sample(cast, size)


def _ordered(dice: Dice, members: list[str], told: list[tuple[str, ...]]) -> Company:
    chosen = set(members)
    for earlier in reversed(told):
        if len(earlier) > 1 and set(earlier) == chosen:
            return Company(earlier)
    if len(members) == 3:
        latest = next((m for m in reversed(told) if len(m) > 1), ())
        if len(latest) == 2 and chosen.issuperset(latest) and dice.chance(0.8):
            (third,) = chosen.difference(latest)
            first, second = latest
            if dice.chance(0.7):
                return Company((first, second, third), (first, second))
            return Company((third, first, second), (first, second))
    return Company(tuple(dice.sample(members, len(members))))
