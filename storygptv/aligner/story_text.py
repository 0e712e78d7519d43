"""ToonSV stories as text for the language model, with alternative text where pictures will stand.

The model is pretrained on text only. Each frame gives ``Caption : <referential caption>`` and a description of its
picture to predict, ``Image : <alternative text>``; earlier pictures stand before their captions, as in the published
prompt, or after them, or are left out, so that names must also be found from captions alone. A description to predict
is a branch (:mod:`storygptv.aligner.packing`): later frames do not read it, so that every frame of a story is a target.

What a picture shows is written as a dense sentence, as a list of names, or as a sheet of facts in random order
(``first-name Zara place beach second-name nobody``): [IMG] tokens prompt a frozen model at fixed positions, and keys in
any order are what such prompts can learn to imitate.

Every piece of text carries a weight for the loss and a :class:`Kind` for the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

from storybench.data.toonsv.grammar import Told, visible_details
from storybench.data.toonsv.planner import StoryPlan
from storybench.data.toonsv.world import INDOORS

ORDINALS = ("first", "second", "third")
SHEET_KEYS = tuple(f"{o}-{fact}" for o in ORDINALS for fact in ("name", "scarf", "act", "prop", "hue")) + ("place",)
NOBODY, NOTHING = "nobody", "nothing"
EXTRA_WORDS = ("Image", "Caption", NOBODY, NOTHING, "place", *SHEET_KEYS)  # what the grammar's vocabulary may lack

Style = Literal["sheet", "dense", "names"]


class Kind(IntEnum):
    """What a piece of text tests."""

    OTHER = 0
    NAME_REFERRED = 1  # a name in a picture whose caption only refers to it: the coreference score
    NAME_TOLD = 2
    DETAIL_KNOWN = 3  # a colour or weather that an earlier picture of the same text showed
    DETAIL_NEW = 4
    PLACE_CARRIED = 5  # a place that the caption leaves out
    PLACE_TOLD = 6
    ACT = 7
    NOBODY = 8


WEIGHTS: dict[Kind, float] = {
    Kind.OTHER: 0.1,
    Kind.NAME_REFERRED: 1.5,
    Kind.NAME_TOLD: 1.0,
    Kind.DETAIL_KNOWN: 1.0,
    Kind.DETAIL_NEW: 0.0,
    Kind.PLACE_CARRIED: 1.0,
    Kind.PLACE_TOLD: 0.5,
    Kind.ACT: 0.5,
    Kind.NOBODY: 0.5,
}


@dataclass(frozen=True)
class Piece:
    """A stretch of text, its loss weight (0: context only), its kind, and its branch (0: the trunk)."""

    text: str
    weight: float
    kind: Kind = Kind.OTHER
    branch: int = 0


@dataclass(frozen=True)
class TextOptions:
    """How stories are written; the defaults are those of training."""

    styles: tuple[tuple[Style, float], ...] = (("sheet", 0.7), ("dense", 0.1), ("names", 0.2))
    before: float = 0.5  # chance that the picture of a frame stands in the trunk before its caption
    after: float = 0.2  # chance that it stands there after its caption, as its own target; else it is not in the trunk
    blind_stories: float = 0.15  # chance that no picture stands in the trunk
    keep_names: float = 0.9  # chance of each name on a sheet
    keep_facts: float = 0.4  # chance of each other fact
    last_only: bool = False  # only the last frame has a target


class StoryWriter:
    """Writes one story, remembering which details its trunk has shown."""

    def __init__(self, plan: StoryPlan, told: tuple[Told, ...], rng: np.random.Generator, options: TextOptions) -> None:
        self.plan = plan
        self.told = told
        self.rng = rng
        self.options = options
        self.shown: set[str] = set()

    def write(self) -> list[Piece]:
        """Return the pieces of the story, in order."""
        last, options = len(self.told) - 1, self.options
        blind = self.rng.random() < options.blind_stories
        pieces: list[Piece] = []
        for t in range(last + 1):
            caption = [Piece("Caption :", 0.0), Piece(self.told[t].referential.text, WEIGHTS[Kind.OTHER])]
            place = 1.0 if blind else self.rng.random()
            target = [Piece("Image :", 0.0), *self.picture(t)] if t == last or not options.last_only else []
            branch = [Piece(p.text, p.weight, p.kind, t + 1) for p in target]
            if t == last:
                pieces += caption + branch
            elif place < options.before:
                picture = [Piece(p.text, 0.0) for p in self.picture(t, show=True)]
                pieces += [Piece("Image :", 0.0), *picture, *caption, *branch]
            elif place < options.before + options.after and not options.last_only:
                pieces += [*caption, Piece("Image :", 0.0), *self.picture(t, show=True)]
            else:
                pieces += caption + branch
        return pieces

    def picture(self, t: int, show: bool = False) -> list[Piece]:
        """Return what the picture of frame ``t`` shows, in a random style; remember its details if it is ``show``n."""
        styles, weights = zip(*self.options.styles, strict=True)
        style = styles[int(np.searchsorted(np.cumsum(weights), self.rng.random() * sum(weights)))]
        pieces, shown = {"sheet": self._sheet, "dense": self._dense, "names": self._names}[style](t)
        if show:
            self.shown |= shown
        return pieces

    def _referred(self, t: int) -> set[str]:
        mentions = self.told[t].referential.mentions
        named = {n for m in mentions if m.kind == "explicit" for n in m.characters}
        return {n for m in mentions if m.kind == "referential" for n in m.characters} - named

    def _name(self, t: int, name: str) -> Piece:
        return _piece(name, Kind.NAME_REFERRED if name in self._referred(t) else Kind.NAME_TOLD)

    def _detail(self, key: str, value: str) -> Piece:
        return _piece(value, Kind.DETAIL_KNOWN if key in self.shown else Kind.DETAIL_NEW)

    def _names(self, t: int) -> tuple[list[Piece], set[str]]:
        pieces: list[Piece] = []
        names = self.plan.events[t].characters
        for k, name in enumerate(names):
            if k:
                pieces.append(_piece("and" if k == len(names) - 1 else ",", Kind.NOBODY))
            pieces.append(self._name(t, name))
        return [*pieces, _piece(".", Kind.NOBODY)], set()

    def _dense(self, t: int) -> tuple[list[Piece], set[str]]:
        caption = self.told[t].explicit
        pieces, end = [], 0
        for mention in caption.mentions:
            if mention.kind == "explicit":
                (name,) = mention.characters
                pieces.append(Piece(caption.text[end : mention.start], 0.25))
                pieces.append(self._name(t, name))
                end = mention.start + len(name)
        pieces.append(Piece(caption.text[end:], 0.25))
        details = visible_details(self.plan, t)
        for key, value in details.items():
            pieces += [Piece(detail_subject(key), 0.1), self._detail(key, value), Piece(".", 0.0)]
        return [p for p in pieces if p.text.strip()], set(details)

    def _sheet(self, t: int) -> tuple[list[Piece], set[str]]:
        event, details = self.plan.events[t], visible_details(self.plan, t)
        facts: list[tuple[str, Piece, str | None]] = []
        for k, ordinal in enumerate(ORDINALS):
            if k >= len(event.characters):
                facts.append((f"{ordinal}-name", _piece(NOBODY, Kind.NOBODY), None))
                continue
            name = event.characters[k]
            prop = event.props.get(name)
            facts.append((f"{ordinal}-name", self._name(t, name), None))
            facts.append((f"{ordinal}-scarf", self._detail(f"scarf:{name}", details[f"scarf:{name}"]), f"scarf:{name}"))
            facts.append((f"{ordinal}-act", _piece(event.actions[name], Kind.ACT), None))
            facts.append((f"{ordinal}-prop", _piece(prop or NOTHING, Kind.ACT), None))
            if prop:
                facts.append((f"{ordinal}-hue", self._detail(f"prop:{prop}", details[f"prop:{prop}"]), f"prop:{prop}"))
        implicit = event.setting == self.plan.events[t - 1].setting if t else False
        place = Kind.PLACE_CARRIED if implicit and self._place_left_out(t) else Kind.PLACE_TOLD
        facts.append(("place", _piece(event.setting, place), None))
        outlook = "wall" if event.setting in INDOORS else "weather"
        facts.append((outlook, self._detail(outlook, details[outlook]), outlook))
        order = self.rng.permutation(len(facts))
        keep = [i for i in order if self.rng.random() < self._chance(facts[i])] or [int(order[0])]
        pieces = [piece for i in keep for piece in (Piece(facts[i][0], 0.0), facts[i][1])]
        return [*pieces, Piece(".", 0.0)], {key for i in keep if (key := facts[i][2])}

    def _chance(self, fact: tuple[str, Piece, str | None]) -> float:
        if fact[1].text in (NOBODY, NOTHING):
            return self.options.keep_facts / 2
        return self.options.keep_names if fact[0].endswith("name") else self.options.keep_facts

    def _place_left_out(self, t: int) -> bool:
        explicit, referential = self.told[t].explicit, self.told[t].referential
        return _without_mentions(explicit.text, explicit.mentions) != _without_mentions(
            referential.text, referential.mentions
        )


def detail_subject(key: str) -> str:
    """Return the words before the value of a detail: ``scarf:Zara`` gives ``The scarf of Zara is``."""
    kind, _, name = key.partition(":")
    subject = {"scarf": f"The scarf of {name}", "prop": f"The {name}", "wall": "The wall"}.get(kind, "The sky")
    return f"{subject} is"


def _piece(text: str, kind: Kind) -> Piece:
    return Piece(text, WEIGHTS[kind], kind)


def _without_mentions(text: str, mentions: tuple) -> str:
    for mention in reversed(mentions):
        text = text[: mention.start] + text[mention.end :]
    return "".join(text.lower().replace(" and ", "").replace(",", "").split())
