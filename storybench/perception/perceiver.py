"""The network that ToonSV metrics look through: what is in a 128 x 128 frame, read without knowing the caption.

A small convolutional network finds each character by its own heat map, pools the features under it, and reads the
count (0, 1, 2 or more), the scarf and the action from there; props likewise; the place, weather and wall from the
whole frame. It shares no weights with any model that is measured. ``reading`` looks through it at pictures.

Legend of shapes: B frames, K characters, P props, D width, H x W cells of the 8-pixel grid.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

COUNT_CLASSES = 3  # absent, one, two or more


@dataclass(frozen=True)
class Vocabulary:
    """The labels a perceiver can read, in the order of its outputs."""

    characters: tuple[str, ...]
    settings: tuple[str, ...]
    actions: tuple[str, ...]
    weathers: tuple[str, ...]
    walls: tuple[str, ...]
    scarf_colours: tuple[str, ...]
    props: tuple[str, ...]
    prop_colours: tuple[str, ...]
    outdoors: tuple[str, ...]  # the settings in which weather is seen; walls are seen in the others

    @classmethod
    def from_dict(cls, values: dict[str, list[str]]) -> Vocabulary:
        """Return the vocabulary written in a manifest."""
        return cls(**{name: tuple(items) for name, items in values.items()})

    def to_dict(self) -> dict[str, list[str]]:
        """Return a JSON-ready form."""
        return {name: list(items) for name, items in asdict(self).items()}


class Logits(NamedTuple):
    """Raw outputs for a batch."""

    counts: Tensor  # (B, K, 3)
    setting: Tensor  # (B, settings)
    action: Tensor  # (B, K, actions)
    weather: Tensor  # (B, weathers)
    wall: Tensor  # (B, walls)
    scarf: Tensor  # (B, K, colours)
    prop: Tensor  # (B, P)
    prop_colour: Tensor  # (B, P, colours)
    heat: Tensor  # (B, K, H, W) where each character is
    prop_heat: Tensor  # (B, P, H, W)
    features: Tensor  # (B, D) global average, the space of the Fréchet distance


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _head(inputs: int, outputs: int, hidden: int = 64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


class Perceiver(nn.Module):
    """Reads characters, counts, setting and details of a frame."""

    def __init__(self, vocabulary: Vocabulary, widths: tuple[int, int, int, int] = (24, 48, 96, 160)) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.vocabulary = vocabulary
        kinds, props = len(vocabulary.characters), len(vocabulary.props)
        self.stem = nn.Sequential(_conv(3, w2, 2), _conv(w2, w4, 2), _Block(w4), _conv(w4, w8, 2), _Block(w8))
        self.deep = nn.Sequential(_conv(w8, w16, 2), _Block(w16))
        self.lateral = nn.Conv2d(w16, w8, 1)
        self.merge = _conv(w8, w8)
        self.heat = nn.Conv2d(w8, kinds, 1)
        self.prop_heat = nn.Conv2d(w8, props, 1)
        self.count = _head(w8 + 2, COUNT_CLASSES)
        self.count_bias = nn.Parameter(torch.zeros(kinds, COUNT_CLASSES))
        self.scarf = _head(w8, len(vocabulary.scarf_colours))
        self.action = _head(w8, len(vocabulary.actions))
        self.prop = _head(w8 + 2, 1)
        self.prop_colour = _head(w8, len(vocabulary.prop_colours))
        self.setting = nn.Linear(2 * w16, len(vocabulary.settings))
        self.weather = nn.Linear(2 * w16, len(vocabulary.weathers))
        self.wall = nn.Linear(2 * w16, len(vocabulary.walls))

    def forward(self, pixels: Tensor) -> Logits:
        """Return the logits of ``pixels`` (B, 3, 128, 128), RGB in [0, 1]."""
        fine = self.stem(pixels * 4.0 - 2.0)  # (B, w8, 16, 16)
        deep = self.deep(fine)  # (B, w16, 8, 8)
        grid = self.merge(F.relu(fine + F.interpolate(self.lateral(deep), scale_factor=2.0)))  # (B, w8, 16, 16)
        heat = self.heat(grid)
        people, evidence = _pool_under(heat, grid)  # (B, K, w8), (B, K, 2)
        prop_heat = self.prop_heat(grid)
        objects, object_evidence = _pool_under(prop_heat, grid)
        average = deep.mean((2, 3))  # (B, w16)
        whole = torch.cat([average, deep.amax((2, 3))], dim=1)
        return Logits(
            counts=self.count(torch.cat([people, evidence], dim=2)) + self.count_bias,
            setting=self.setting(whole),
            action=self.action(people),
            weather=self.weather(whole),
            wall=self.wall(whole),
            scarf=self.scarf(people),
            prop=self.prop(torch.cat([objects, object_evidence], dim=2)).squeeze(2),
            prop_colour=self.prop_colour(objects),
            heat=heat,
            prop_heat=prop_heat,
            features=average,
        )


def to_pixels(image: Image.Image) -> Tensor:
    """Return an RGB picture as (3, H, W) float32 in [0, 1]."""
    array = np.asarray(image.convert("RGB"), dtype=np.uint8)
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div_(255.0)


def _pool_under(heat: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (B, N, D) under each of N heat maps, and their total and peak evidence (B, N, 2)."""
    flat = heat.flatten(2)  # (B, N, H * W)
    pooled = torch.einsum("bnl,bdl->bnd", flat.softmax(2), grid.flatten(2))
    evidence = torch.stack([flat.sigmoid().sum(2), flat.amax(2)], dim=2)
    return pooled, evidence
