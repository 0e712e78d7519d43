"""What the networks see in one picture, and the one shape every network that looks has.

An :class:`Observer` is a network with its preprocessing, named by a protocol id: other weights or another resize,
another id. It looks at pictures without knowing what they should show; captions are given only to observers that judge
how well a caption fits. What it returns for a picture does not depend on the pictures beside it: every pass has one
constant batch shape (:func:`in_batches`), because kernels round differently for another.

Legend of shapes: N figures, K characters of the evaluator, E width of an embedding, T captions of a story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

Array = np.ndarray
Arrays = Mapping[str, Array]  # what a cache keeps of one picture
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What a classifier reads in one frame.

    ``details`` uses the keys of :attr:`storybench.story.Frame.details`. A detail of something that is not seen (the
    scarf of an absent character, the weather indoors) is not in it.
    """

    counts: dict[str, int]  # every character of the vocabulary; 2 means two or more
    setting: str  # the likeliest; empty where nothing reads settings
    actions: dict[str, str] = field(default_factory=dict)  # of the characters seen
    details: dict[str, str] = field(default_factory=dict)
    features: Array = field(default_factory=lambda: np.zeros(0, dtype=np.float32))  # (D,) float32
    setting_labels: frozenset[str] | None = None  # settings above one half each, of a classifier with many labels

    @property
    def characters(self) -> frozenset[str]:
        """The set of characters seen."""
        return frozenset(name for name, count in self.counts.items() if count > 0)


@dataclass(frozen=True)
class Figures:
    """The figures that a segmenter finds in one frame, whoever they are, and what is left without them."""

    names: tuple[str, ...]  # the characters that ``probabilities`` speaks of
    boxes: Array  # (N, 4) float32, x0 y0 x1 y1 in pixels
    probabilities: Array  # (N, K) float32, who each figure is
    embeddings: Array  # (N, E) float32 of unit length: how each figure looks, background removed
    background: Array  # (E',) float32 of unit length: how the frame looks with its figures removed


@dataclass(frozen=True)
class Observation:
    """Everything that was seen in one picture; None or absent where no network for it is at hand."""

    reading: Reading | None = None
    figures: Figures | None = None
    caption: str | None = None  # what a captioner says of the picture
    caption_fit: Array | None = None  # (T,) float64, how well each explicit caption of the story fits, higher is better
    features: Mapping[str, Array] = field(default_factory=dict)  # protocol id -> (D,) float32


@dataclass(frozen=True)
class Picture:
    """A picture to look at: a key that names its pixels, how to decode it, and the explicit captions of its story."""

    key: str
    load: Callable[[], Image.Image]
    captions: tuple[str, ...] = ()


class Observer(Protocol):
    """A network with its preprocessing."""

    @property
    def id(self) -> str:
        """Protocol id: what it sees depends on nothing else and the picture (and captions, if it uses them)."""
        ...

    @property
    def field(self) -> str:
        """Which field of :class:`Observation` it fills; ``features`` fills the entry called :attr:`id`."""
        ...

    @property
    def uses_captions(self) -> bool:
        """Whether the captions of the story decide what it says."""
        ...

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return for each RGB picture what is kept of it; ``captions[i]`` belong to the story of ``images[i]``."""
        ...

    def value(self, arrays: Arrays) -> Any:
        """Return the value of the observation's field from what :meth:`observe` gave."""
        ...


def in_batches(items: Sequence[T], size: int) -> Iterator[tuple[list[T], int]]:
    """Yield ``items`` in lists of exactly ``size``, the last filled up with its last item, and how many are real."""
    for start in range(0, len(items), size):
        batch = list(items[start : start + size])
        yield batch + [batch[-1]] * (size - len(batch)), len(batch)
