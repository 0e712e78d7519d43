"""A scene: all that is needed to draw one frame, and nothing about how it is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """One drawn character.

    ``x`` is the centre in pixels of a 128-pixel frame; ``facing`` is -1 (left) or 1 (right). ``prop`` is held in the
    front hand (or lies beside a sleeper) and has ``prop_colour``.
    """

    character: str
    action: str
    x: int
    facing: int
    scarf: str
    prop: str | None = None
    prop_colour: str | None = None


@dataclass(frozen=True)
class Scene:
    """One frame to draw: a place and the actors in it, left to right."""

    setting: str
    actors: tuple[Actor, ...]
    weather: str  # kept indoors too (seen through nothing), so that it returns when the story steps out
    wall: str  # likewise, seen only indoors
