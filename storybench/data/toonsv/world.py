"""The closed world of ToonSV: who lives in it, where, what they do, and what they hold.

Facts only. How they look is in ``drawing``; how they are told is in ``grammar``; which of them meet is in ``planner``.
"""

from __future__ import annotations

from dataclasses import dataclass

from storybench.story import Pronoun

SIZE_PX = 128  # side of a frame


@dataclass(frozen=True)
class Person:
    """A member of the cast: name, the pronoun the grammar uses, and a one-line look for people."""

    name: str
    pronoun: Pronoun
    look: str


CAST: tuple[Person, ...] = (
    Person("Zara", "she", "brown skin, a big round pink afro, a red dress with white dots"),
    Person("Mila", "she", "light skin, long blonde pigtails, a violet pinafore"),
    Person("Nora", "she", "an old lady: grey bun, round glasses, a long teal coat"),
    Person("Finn", "he", "a small boy: spiky orange hair, freckles, a green striped jumper, blue shorts"),
    Person("Otto", "he", "tall and thin: a black moustache, a brown flat cap, a mustard shirt, blue dungarees"),
    Person("Mr Plum", "he", "round and short: black top hat, monocle, a plum tailcoat"),
    Person("Pip", "it", "a round yellow chick with a tuft, orange beak and feet"),
    Person("Bolt", "it", "a boxy light-blue robot with an antenna and a dark visor with round eyes"),
    Person("Robin", "they", "dark skin, a short white-and-cyan swept fringe, an orange hooded cape, dark leggings"),
)
NAMES: tuple[str, ...] = tuple(p.name for p in CAST)
PRONOUN: dict[str, Pronoun] = {p.name: p.pronoun for p in CAST}

OUTDOORS = ("beach", "meadow", "forest", "mountains", "city", "desert", "farm", "playground")
INDOORS = ("kitchen", "bedroom", "classroom", "library")
SETTINGS: tuple[str, ...] = OUTDOORS + INDOORS

STAND = "stand"  # what a character does that the caption gives nothing to do; not one of the 8 told actions
ACTIONS: tuple[str, ...] = ("walk", "run", "jump", "sit", "sleep", "wave", "dance", "cheer")
PROPS: tuple[str, ...] = ("umbrella", "balloon", "book", "ball", "kite", "cake", "guitar", "flower")

# Facts that stand only in the picture: drawn once a story, kept throughout it, told by no caption.
SCARF_COLOURS = ("red", "yellow", "green", "blue", "white")
PROP_COLOURS = ("red", "yellow", "green", "blue", "pink")
WEATHERS = ("sunny", "cloudy", "rainy")  # seen outdoors
WALL_COLOURS = ("peach", "mint", "sky", "lilac")  # seen indoors
