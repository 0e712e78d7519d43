"""What a detector finds, and the observer that any detector and any classifier make together.

No weights are shipped for real data sets. A detector says where figures are; a classifier that the user has says how a
figure cut out on grey looks (its penultimate features) and who it is (its logits, one yes or no a character). One
picture, and one figure, a pass, so that nothing depends on the pictures beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from storybench.perception.classifiers.network import DEVIATION, MEAN, Classifier
from storybench.perception.figures.crops import cut_figures, without_figures
from storybench.perception.figures.observer import figures_value
from storybench.perception.observation import Array, Arrays, Figures
from storybench.perception.perceiver import to_pixels
from storybench.perception.precision import full_precision

CROP_PX = 224


class Found(NamedTuple):
    """The figures found in one picture; each mask has a pixel, and each box is tight or the detector's own."""

    boxes: Array  # (N, 4) float32, x0 y0 x1 y1 in pixels, half open
    masks: Array  # (N, H, W) bool


class Finder(Protocol):
    """Finds figures, whoever they are."""

    @property
    def id(self) -> str:
        """Name and the beginning of the hash of its weights."""
        ...

    def find(self, image: Image.Image) -> Found:
        """Return the figures of one RGB picture, left to right."""
        ...


class Sight(NamedTuple):
    """What a classifier says of pictures."""

    features: Tensor  # (N, D)
    logits: Tensor  # (N, K), above 0 where a character is seen


Look = Callable[[Tensor], Sight]  # from (N, 3, S, S), RGB in [0, 1]: resizing and normalising are its own


def sight_of(classifier: Classifier) -> Look:
    """Return how a classifier of a real data set sees pictures of its own size in [0, 1]."""
    device = next(classifier.model.parameters()).device
    mean, deviation = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, DEVIATION))  # (3, 1, 1)

    def look(pixels: Tensor) -> Sight:
        out = classifier.model((pixels - mean) / deviation)
        return Sight(out.features, out.logits)

    return look


class DetectedFigures:
    """An observer of the field ``figures`` made of a detector and a classifier."""

    field = "figures"
    uses_captions = False

    def __init__(
        self,
        finder: Finder,
        classifier: Look,
        names: tuple[str, ...],
        classifier_id: str,
        *,
        place: Look | None = None,
        side: int = CROP_PX,
        device: str = "cpu",
    ) -> None:
        """Put the parts together.

        Args:
            finder: Says where figures are.
            classifier: Says how a figure looks and who it is.
            names: The characters of its logits.
            classifier_id: Name and hash of the classifier, and of ``place`` if that is another; a part of the id.
            place: Says how the frame without figures looks; by default the classifier's own features.
            side: Of the pictures the classifier is given, in pixels; another than 224 is a part of the protocol id.
            device: Where the classifier is.
        """
        self.finder, self.classifier, self.names, self.side = finder, classifier, names, side
        self.place = place or classifier
        self.device = device
        self.id = f"{finder.id}/{classifier_id}" + ("" if side == CROP_PX else f"@{side}px")

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return boxes, probabilities, embeddings and background of each picture; captions are not looked at."""
        return [self.look(image) for image in images]

    def value(self, arrays: Arrays) -> Figures:
        """Return the figures that the arrays of one picture hold."""
        return figures_value(self.names, arrays)

    @full_precision()
    @torch.inference_mode()
    def look(self, image: Image.Image) -> dict[str, Array]:
        """Return what is kept of one RGB picture."""
        found = self.finder.find(image)
        pixels = to_pixels(image)[None].to(self.device)  # (1, 3, H, W)
        masks = torch.from_numpy(found.masks).to(self.device)  # (N, H, W)
        sights = [self.classifier(cut_figures(pixels, mask[None], self.side)) for mask in masks]
        place = self.place(without_figures(pixels, masks.any(0)[None], self.side))
        width = place.features.shape[1] if not sights else sights[0].features.shape[1]
        return {
            "boxes": found.boxes.astype(np.float32).reshape(-1, 4),
            "probabilities": _rows([s.logits.sigmoid() for s in sights], len(self.names)),
            "embeddings": _rows([F.normalize(s.features, dim=1) for s in sights], width),
            "background": _rows([F.normalize(place.features, dim=1)], 0)[0],
        }


def _rows(rows: list[Tensor], width: int) -> Array:
    """Return rows (1, width) one under the other, (N, width) float32."""
    return torch.cat(rows).float().cpu().numpy() if rows else np.zeros((0, width), dtype=np.float32)
