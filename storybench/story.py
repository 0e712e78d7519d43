"""The nouns everything in storybench speaks in.

A :class:`Story` is the full, annotated truth a data set knows; a :class:`StoryPrompt` is the part of it a model may
see. All are frozen: an adapter builds them once, nobody edits them. Pixels are loaded on demand: a list of stories is
small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

Pronoun = Literal["she", "he", "it", "they"]
MentionKind = Literal["explicit", "referential", "uncertain"]
MentionForm = Literal["subject", "object", "possessive", "reflexive"]


@dataclass(frozen=True)
class Character:
    """One member of a data set's cast.

    ``portrait`` returns an RGB picture of the character alone, the only picture of it that a model is given.
    """

    name: str
    pronoun: Pronoun
    aliases: tuple[str, ...] = ()
    portrait: Callable[[], Image.Image] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Mention:
    """A span of a caption that stands for one or more characters.

    ``distance`` is the number of frames back to the last frame that names all the characters (``None`` for an explicit
    mention, 0 if the same caption names them before); ``text[start:end] == surface`` always holds. ``ambiguous`` says
    that another character of the same pronoun occurs earlier in the story, so that the pronoun alone does not decide.
    A pronoun whose antecedent cannot be told for sure has kind ``uncertain``, no characters and no distance.
    """

    frame: int
    start: int
    end: int
    surface: str
    characters: tuple[str, ...]
    kind: MentionKind
    form: MentionForm = "subject"
    distance: int | None = None
    ambiguous: bool = False


@dataclass(frozen=True)
class Caption:
    """A sentence and the mentions in it, ordered by position."""

    text: str
    mentions: tuple[Mention, ...] = ()


@dataclass(frozen=True)
class FramePixels:
    """The true frame: ``image`` RGB and ``instances`` (H, W) integers, 0 for background, k for the k-th instance.

    ``instances`` is None where a release has no masks. ``labels`` says who each box is, by name for the cast and as
    annotated for others; empty means that the boxes follow the frame's ``characters``.
    """

    image: Image.Image
    instances: np.ndarray | None
    boxes: tuple[tuple[int, int, int, int], ...]  # (x0, y0, x1, y1) in pixels, one per instance, half open
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One sentence and one picture of a story, fully annotated.

    ``captions`` maps a text mode (``explicit``, ``referential``, ...) to its caption. ``characters`` lists every
    instance drawn, left to right where the data set says. ``setting`` is empty where a data set has none annotated.
    ``details`` holds facts of the picture that no caption tells, such as ``scarf:Zara -> red``. ``id`` names the
    picture in its data set: overlapping stories share frames. ``key``, where a data set has one, names the very pixels
    without loading them.
    """

    index: int
    captions: Mapping[str, Caption]
    characters: tuple[str, ...]
    setting: str
    details: Mapping[str, str] = field(default_factory=dict)
    load: Callable[[], FramePixels] | None = field(default=None, compare=False, repr=False)
    id: str = ""
    key: Callable[[], str] | None = field(default=None, compare=False, repr=False)

    @property
    def image(self) -> Image.Image:
        """The true picture, decoded or drawn now."""
        return self.pixels().image

    def pixels(self) -> FramePixels:
        """Load picture, instance map and boxes.

        Raises:
            ValueError: If the adapter was opened without pictures.
        """
        if self.load is None:
            raise ValueError(f"frame {self.index} has captions only: open the data set with its pictures")
        return self.load()


@dataclass(frozen=True)
class StoryPrompt:
    """What a model is given: one caption a frame, and the cast. No labels, masks, mentions or pronoun flags."""

    id: str
    captions: tuple[str, ...]
    cast: tuple[Character, ...]


@dataclass(frozen=True)
class Story:
    """A story of T frames with everything the data set knows about it."""

    id: str
    dataset: str
    split: str
    frames: tuple[Frame, ...]
    cast: tuple[Character, ...] = field(repr=False)
    cluster: str = ""  # stories that share a cluster (an episode) are not independent; empty: the story is its own

    def prompt(self, text: str) -> StoryPrompt:
        """Return what a model may see of this story in text mode ``text``."""
        return StoryPrompt(self.id, tuple(f.captions[text].text for f in self.frames), self.cast)
