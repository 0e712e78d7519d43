"""From integers to an abstract story: who meets whom, where, doing what. No words are chosen here.

**Placing rule.** The actors of a frame stand left to right in the order in which the explicit caption names them: the
first named is leftmost. One actor stands at x = 64 +- 14; two at 38 and 90 +- 6; three at 22, 64 and 106 +- 4.

**Held-out triples.** ``is_held_out`` splits the (character, action, setting) and (character, prop, setting) triples by
a stable hash. Only the split ``novel`` may show a held-out triple, and each of its stories shows at least two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from storybench.data.toonsv.casting import Company, cast_frames
from storybench.data.toonsv.dice import Dice
from storybench.data.toonsv.events import Clause, Event, write_event
from storybench.data.toonsv.scene import Actor, Scene
from storybench.data.toonsv.world import (
    ACTIONS,
    INDOORS,
    NAMES,
    OUTDOORS,
    PROP_COLOURS,
    PROPS,
    SCARF_COLOURS,
    SETTINGS,
    STAND,
    WALL_COLOURS,
    WEATHERS,
)
from storybench.errors import ConfigError, unknown

SPLITS = ("train", "val", "test", "mini", "novel")
MAX_INDEX = 1_000_000_000
_SALT = 0x70075  # sets ToonSV's streams apart from other uses of the same seed
_NOVEL_MINIMUM = 2
_OUTDOORS_ONLY = ("kite",)
_INDOOR_SET = frozenset(INDOORS)
_SLOTS = {1: ((64,), 14), 2: ((38, 90), 6), 3: ((22, 64, 106), 4)}


@dataclass(frozen=True)
class StoryPlan:
    """A whole story before it is told: its events, the scenes that show them and the facts kept throughout."""

    split: str
    index: int
    seed: int
    cast: tuple[str, ...]
    events: tuple[Event, ...]
    scenes: tuple[Scene, ...]
    scarves: dict[str, str] = field(default_factory=dict)
    prop_colours: dict[str, str] = field(default_factory=dict)
    weather: str = "sunny"
    wall: str = "mint"

    @property
    def id(self) -> str:
        """Such as ``toonsv-test-00017``; a seed other than 0 or another length is part of it."""
        seed = f"-s{self.seed}" if self.seed else ""
        length = f"-t{len(self.events)}" if len(self.events) != 5 else ""
        return f"toonsv-{self.split}{seed}{length}-{self.index:05d}"


@cache
def is_held_out(character: str, thing: str, setting: str) -> bool:
    """Say whether (character, action or prop, setting) is kept for the split ``novel``."""
    digest = hashlib.sha256(f"toonsv|{character}|{thing}|{setting}".encode()).digest()
    return int.from_bytes(digest, "big") % 8 == 0


def held_out_triples(event: Event) -> set[tuple[str, str, str]]:
    """Return the held-out triples that an event shows."""
    shown = [(name, action) for name, action in event.actions.items() if action != STAND]
    shown += [(name, prop) for name, prop in event.props.items()]
    return {(name, thing, event.setting) for name, thing in shown if is_held_out(name, thing, event.setting)}


class _Choices:
    """What the actors of one frame may do: the split's side of the held-out triples."""

    def __init__(self, dice: Dice, setting: str, novel: bool) -> None:
        self._dice = dice
        self._setting = setting
        self._novel = novel
        self._used_props: list[str] = []

    def action(self, names: Sequence[str], among: Sequence[str] = ACTIONS) -> str | None:
        """Choose an action that all the names may do here, or None when there is none."""
        return self._choose(names, among)

    def prop(self, name: str) -> str | None:
        """Choose a prop that nobody else holds in this frame, or None."""
        indoors = self._setting in _INDOOR_SET
        among = [p for p in PROPS if p not in self._used_props and not (indoors and p in _OUTDOORS_ONLY)]
        prop = self._choose((name,), among)
        if prop:
            self._used_props.append(prop)
        return prop

    def _choose(self, names: Sequence[str], among: Sequence[str]) -> str | None:
        rare = [thing for thing in among if any(is_held_out(n, thing, self._setting) for n in names)]
        if self._novel and rare and self._dice.chance(0.6):
            return self._dice.pick(rare)
        allowed = among if self._novel else [thing for thing in among if thing not in rare]
        return self._dice.pick(allowed) if allowed else None


def _key(split: str) -> int:
    if split not in SPLITS:
        raise unknown("split", split, SPLITS, of="ToonSV")
    return SPLITS.index(split)


def plan_story(split: str, index: int, frames: int = 5, seed: int = 0) -> StoryPlan:
    """Plan story ``index`` of a split: the same integers give the same story in any process and order.

    Raises:
        ConfigError: If the split is unknown or a number is out of range.
    """
    key = _key(split)
    if not 0 <= index < MAX_INDEX or frames < 1 or seed < 0:
        raise ConfigError(f"index must be in 0..{MAX_INDEX - 1}, frames >= 1 and seed >= 0: {index}, {frames}, {seed}")
    for attempt in range(200):
        plan = _draw(Dice(_SALT, key, seed, index, frames, attempt), split, index, frames, seed)
        if split != "novel" or len(set().union(*map(held_out_triples, plan.events))) >= min(_NOVEL_MINIMUM, frames):
            return plan
    raise RuntimeError(f"no novel story found for index {index}")  # about 1e-30


def _draw(dice: Dice, split: str, index: int, frames: int, seed: int) -> StoryPlan:
    cast = tuple(dice.sample(NAMES, dice.weighted((2, 3, 4), (0.25, 0.4, 0.35))))
    settings = _settings(dice, frames)
    scarves = {name: dice.pick(SCARF_COLOURS) for name in cast}
    prop_colours = {prop: dice.pick(PROP_COLOURS) for prop in PROPS}
    weather, wall = dice.pick(WEATHERS), dice.pick(WALL_COLOURS)
    events: list[Event] = []
    scenes: list[Scene] = []
    for t, company in enumerate(cast_frames(dice, cast, frames)):
        event = _event(dice, t, company, settings[t], novel=split == "novel")
        events.append(event)
        scenes.append(Scene(event.setting, _actors(dice, event, scarves, prop_colours), weather, wall))
    met = tuple(dict.fromkeys(name for event in events for name in event.characters))
    return StoryPlan(
        split,
        index,
        seed,
        met,
        tuple(events),
        tuple(scenes),
        {name: scarves[name] for name in met},
        prop_colours,
        weather,
        wall,
    )


def _event(dice: Dice, t: int, company: Company, setting: str, novel: bool) -> Event:
    clauses: tuple[Clause, ...] = write_event(dice, company, _Choices(dice, setting, novel))
    return Event(t, setting, clauses)


def _settings(dice: Dice, frames: int) -> list[str]:
    """A few places, each kept for a few frames; a left place may return."""
    weights = [2.0 if s in OUTDOORS else 1.6 for s in SETTINGS]
    pool: list[str] = []
    wanted = dice.weighted((1, 2, 3), (0.2, 0.55, 0.25)) + min(frames // 15, 2)
    while len(pool) < wanted:
        place = dice.weighted(SETTINGS, weights)
        if place not in pool:
            pool.append(place)
    told, stay = [pool[0]], 1
    for _ in range(frames - 1):
        leave = (0.12, 0.35, 0.5, 0.85)[min(stay, 4) - 1] if len(pool) > 1 else 0.0
        if dice.chance(leave):
            ahead = [p for p in pool if p not in told] or [p for p in pool if p != told[-1]]
            told.append(dice.pick(ahead))
            stay = 1
        else:
            told.append(told[-1])
            stay += 1
    return told


def _actors(dice: Dice, event: Event, scarves: dict[str, str], prop_colours: dict[str, str]) -> tuple[Actor, ...]:
    """Place the actors in naming order; those who act on one another look at one another."""
    names, actions, props = event.characters, event.actions, event.props
    slots, jitter = _SLOTS[len(names)]
    xs = [slot + dice.below(2 * jitter + 1) - jitter for slot in slots]
    facing = {}
    for clause in event.clauses:
        common = 1 if dice.chance(0.5) else -1
        for name in clause.subjects:
            facing[name] = 1 if clause.partners else common
        for name in clause.partners:
            facing[name] = 1 if clause.action == "run" or (clause.style == "watch" and common > 0) else -1
    actors = []
    for name, x in zip(names, xs, strict=True):
        prop = props.get(name)
        colour = prop_colours[prop] if prop else None
        actors.append(Actor(name, actions[name], x, facing[name], scarves[name], prop, colour))
    return tuple(actors)
