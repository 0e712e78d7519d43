"""The network that finds figures: whose pixels are whose, how a figure looks, how a place looks.

Three small parts that share nothing. A U-shaped one says for each cell of a 2-pixel grid whether it belongs to a
figure, whether the middle of a figure is there, and how far away the middle of its own figure is; it knows no names, so
that a wrong or unknown drawing is a figure too. One looks at a figure cut out on grey, one at the frame with its
figures grey. Both end in a unit vector that is compared by cosine with one direction a class. Classes of figures are
each character in several hues, the first of them its own: a recoloured character is somebody else, and a little
recoloured one lies between.

Legend of shapes: B frames, N figures, K characters, E width of an embedding.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FRAME_PX = 128
CELL_PX = 2  # of the maps
OFFSET_PX = 16.0  # an offset of 1
SHARPNESS = 12.0  # of the softmax over cosines: large enough to decide, small enough to stop pulling before cosine 1


@dataclass(frozen=True)
class FigureConfig:
    """What the network tells apart, and how wide it is."""

    characters: tuple[str, ...]
    settings: tuple[str, ...]
    hues: int = 6  # classes a character: its own colours and this many less one turns of them
    segmenter: tuple[int, int, int, int] = (16, 32, 64, 80)  # widths at strides 2, 4, 8, 16
    figure: tuple[int, int, int] = (24, 48, 80)  # widths at strides 2, 4, 8 of a crop
    place: tuple[int, int, int] = (16, 32, 64)
    width: int = 64  # E

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FigureConfig:
        """Return the configuration written in a manifest."""
        given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


class Maps(NamedTuple):
    """Raw outputs on the 2-pixel grid."""

    mask: Tensor  # (B, 64, 64) logits: part of a figure
    centre: Tensor  # (B, 64, 64) logits: the middle of one
    offset: Tensor  # (B, 2, 64, 64) x and y to the middle of its figure, in OFFSET_PX


class Look(NamedTuple):
    """How pictures look."""

    embedding: Tensor  # (N, E) of unit length
    logits: Tensor  # (N, classes)


class FigureNetwork(nn.Module):
    """Finds figures and says how they and the place look."""

    def __init__(self, config: FigureConfig) -> None:
        super().__init__()
        self.config = config
        self.segmenter = _Segmenter(config.segmenter)
        self.figure = _Embedder(config.figure, config.width, len(config.characters) * config.hues)
        self.place = _Embedder(config.place, config.width, len(config.settings))

    def maps(self, pixels: Tensor) -> Maps:
        """Return what belongs to figures in ``pixels`` (B, 3, 128, 128), RGB in [0, 1]."""
        return self.segmenter(pixels)

    def figures(self, crops: Tensor) -> Look:
        """Return the looks of figures cut out on grey, (N, 3, 56, 56); classes are character-major, hue-minor."""
        return self.figure(crops)

    def places(self, pixels: Tensor) -> Look:
        """Return the looks of frames whose figures are grey, (B, 3, 64, 64); classes are settings."""
        return self.place(pixels)

    def who(self, logits: Tensor) -> Tensor:
        """Return the probability of each character in its own colours, (N, K); the rest to 1 is somebody else."""
        shape = (len(logits), len(self.config.characters), self.config.hues)
        return logits.softmax(1).reshape(shape)[:, :, 0]  # (N, K)


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


class _Segmenter(nn.Module):
    """Down to stride 16 and up again to stride 2 (Ronneberger et al. 2015), with heads for mask, centre and offset."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        w2, w4, w8, w16 = widths
        self.down2 = _conv(3, w2, 2)
        self.down4 = nn.Sequential(_conv(w2, w4, 2), _Block(w4))
        self.down8 = nn.Sequential(_conv(w4, w8, 2), _Block(w8))
        self.down16 = nn.Sequential(_conv(w8, w16, 2), _Block(w16))
        self.side8, self.up8 = nn.Conv2d(w16, w8, 1), _conv(w8, w8)
        self.side4, self.up4 = nn.Conv2d(w8, w4, 1), _conv(w4, w4)
        self.side2, self.up2 = nn.Conv2d(w4, w2, 1), _conv(w2, w2)
        self.heads = nn.Conv2d(w2, 4, 1)  # mask, centre, offset x, offset y

    def forward(self, pixels: Tensor) -> Maps:
        at2 = self.down2(pixels * 4.0 - 2.0)  # (B, w2, 64, 64)
        at4 = self.down4(at2)  # (B, w4, 32, 32)
        at8 = self.down8(at4)  # (B, w8, 16, 16)
        deep = self.down16(at8)  # (B, w16, 8, 8)
        at8 = self.up8(F.relu(at8 + F.interpolate(self.side8(deep), scale_factor=2.0)))
        at4 = self.up4(F.relu(at4 + F.interpolate(self.side4(at8), scale_factor=2.0)))
        at2 = self.up2(F.relu(at2 + F.interpolate(self.side2(at4), scale_factor=2.0)))
        heads = self.heads(at2).float()  # (B, 4, 64, 64)
        return Maps(mask=heads[:, 0], centre=heads[:, 1], offset=heads[:, 2:])


class _Embedder(nn.Module):
    """A picture -> a unit vector and its cosines with one direction a class."""

    def __init__(self, widths: tuple[int, int, int], embedding: int, classes: int) -> None:
        super().__init__()
        first, second, third = widths
        self.trunk = nn.Sequential(
            _conv(3, first, 2), _conv(first, second, 2), _Block(second), _conv(second, third, 2), _Block(third)
        )
        self.project = nn.Linear(2 * third, embedding)
        self.directions = nn.Parameter(torch.randn(classes, embedding))

    def forward(self, pixels: Tensor) -> Look:
        grid = self.trunk(pixels * 4.0 - 2.0)  # (N, third, h, w)
        pooled = torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], dim=1).float()  # (N, 2 * third)
        embedding = F.normalize(self.project(pooled).float(), dim=1)  # (N, E)
        return Look(embedding, SHARPNESS * embedding @ F.normalize(self.directions, dim=1).T)
