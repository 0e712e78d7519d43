"""Looks at ToonSV frames and says which figures stand in them: the instrument of every consistency metric.

Every pass, over frames or over figures, has one batch shape: kernels may round differently for another, and what is
seen in a picture must not depend on the pictures beside it, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.perception.figures.crops import boxes_of, cut_figures, without_figures
from storybench.perception.figures.grouping import group
from storybench.perception.figures.loading import NAME, FigureAsset, load_network
from storybench.perception.figures.network import FRAME_PX, Maps
from storybench.perception.observation import Array, Arrays, Figures, in_batches
from storybench.perception.perceiver import to_pixels
from storybench.perception.precision import full_precision

BATCH = 16  # frames, or figures, a pass; a constant


class FiguresObserver:
    """An observer of the field ``figures`` of ToonSV frames."""

    field = "figures"
    uses_captions = False

    def __init__(self, asset: FigureAsset) -> None:
        self.asset = asset
        self.id = asset.id
        self.names = asset.network.config.characters

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return boxes, probabilities, embeddings and background of each picture; captions are not looked at."""
        return [arrays for batch, real in in_batches(images, BATCH) for arrays, _ in self._look(batch)[:real]]

    def value(self, arrays: Arrays) -> Figures:
        """Return the figures that the arrays of one picture hold."""
        return figures_value(self.names, arrays)

    def look(self, image: Image.Image) -> tuple[dict[str, Array], Array]:
        """Return what is kept of one RGB picture, and the masks of its figures (N, 128, 128) bool."""
        return self._look([image] * BATCH)[0]

    @full_precision()
    @torch.inference_mode()
    def _look(self, images: Sequence[Image.Image]) -> list[tuple[dict[str, Array], Array]]:
        """Return arrays and masks of a whole batch of pictures."""
        network = self.asset.network
        device = next(network.parameters()).device
        pixels = torch.stack([_pixels(image) for image in images]).to(device)  # (BATCH, 3, 128, 128)
        maps = network.maps(pixels.contiguous(memory_format=torch.channels_last))
        found = [group(Maps(*(part[i : i + 1] for part in maps))) for i in range(len(images))]
        covered = torch.from_numpy(np.stack([masks.any(0) for masks in found])).to(device)  # (BATCH, 128, 128)
        places = network.places(without_figures(pixels, covered)).embedding
        looks = self._figures(pixels, found)
        out = []
        for i, (masks, rows) in enumerate(zip(found, looks, strict=True)):
            boxes = boxes_of(torch.from_numpy(masks)) if len(masks) else torch.zeros(0, 4)
            out.append(
                (
                    {
                        "boxes": _array(boxes),
                        "probabilities": _rows([who for who, _ in rows], len(self.names)),
                        "embeddings": _rows([embedding for _, embedding in rows], network.config.width),
                        "background": _array(places[i]),
                    },
                    masks,
                )
            )
        return out

    def _figures(self, pixels: Tensor, found: Sequence[Array]) -> list[list[tuple[Tensor, Tensor]]]:
        """Return (probabilities, embedding) of every figure of every picture."""
        network = self.asset.network
        every = [(i, mask) for i, masks in enumerate(found) for mask in masks]
        looks: list[list[tuple[Tensor, Tensor]]] = [[] for _ in found]
        for batch, real in in_batches(every, BATCH):
            masks = torch.from_numpy(np.stack([mask for _, mask in batch])).to(pixels.device)  # (BATCH, 128, 128)
            seen = network.figures(cut_figures(pixels[[i for i, _ in batch]], masks))
            who = network.who(seen.logits)
            for k in range(real):
                looks[batch[k][0]].append((who[k : k + 1], seen.embedding[k : k + 1]))
        return looks


def load_figures(name: str = NAME, folder: Path | None = None, device: str = "cpu") -> FiguresObserver:
    """Return the observer with the weights in ``folder``, by default the shipped ones called ``name``.

    Raises:
        AssetError: If a file is missing, damaged, or of a schema this version cannot read.
    """
    return FiguresObserver(load_network(name, folder, device))


def figures_value(names: tuple[str, ...], arrays: Arrays) -> Figures:
    """Return the figures that arrays called as the fields of :class:`Figures` hold."""
    fields = ("boxes", "probabilities", "embeddings", "background")
    boxes, probabilities, embeddings, background = (np.asarray(arrays[name], dtype=np.float32) for name in fields)
    return Figures(names, boxes, probabilities, embeddings, background)


def _pixels(image: Image.Image) -> Tensor:
    """Return a picture as (3, 128, 128), shrunk or enlarged where it has another size."""
    if image.size != (FRAME_PX, FRAME_PX):
        image = image.convert("RGB").resize((FRAME_PX, FRAME_PX), Image.Resampling.BOX)
    return to_pixels(image)


def _rows(rows: list[Tensor], width: int) -> Array:
    """Return rows (1, width) one under the other, (N, width) float32."""
    return _array(torch.cat(rows)) if rows else np.zeros((0, width), dtype=np.float32)


def _array(values: Tensor) -> Array:
    return values.float().cpu().numpy()
