"""Drawn frames as training examples for figures: recoloured, moved with their masks, degraded, and what is to be said.

A recoloured figure turns all its hues by one angle, as a model does that forgets a palette. Where the figure and its
recolouring stand between two hues, so does the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Scene
from storybench.perception.augmentation import degrade
from storybench.perception.figures.crops import cut_figures, without_figures
from storybench.perception.figures.network import CELL_PX, OFFSET_PX, FigureConfig
from storybench.perception.perceiver import to_pixels

RECOLOURED_SHARE = 0.35  # of figures
SCALE, SHIFT = 0.12, 0.16  # of 1; of half a frame
HIDDEN_PX = 150  # a figure with fewer visible pixels is nobody in particular
BUMP_CELLS = 2.0  # standard deviation of the mark of a middle
CUTMIX_SHARE = 0.15  # of crops: a figure with the legs of another is half each (Yun et al. 2019)


@dataclass(frozen=True)
class Drawn:
    """A drawn scene."""

    pixels: Tensor  # (3, 128, 128) uint8
    instances: Tensor  # (128, 128) uint8, k for the k-th figure
    who: tuple[int, ...]  # the character of each
    setting: int


class Batch(NamedTuple):
    """What the network is given and what it should say."""

    pixels: Tensor  # (B, 3, 128, 128)
    mask: Tensor  # (B, 64, 64) share of a cell that belongs to figures
    centre: Tensor  # (B, 64, 64)
    offset: Tensor  # (B, 2, 64, 64) in OFFSET_PX, where mask is above one half
    crops: Tensor  # (N, 3, 56, 56)
    who: Tensor  # (N, K * hues) shares of classes
    places: Tensor  # (B, 3, 64, 64)
    setting: Tensor  # (B,)


def draw(scene: Scene, config: FigureConfig) -> Drawn:
    """Draw one scene."""
    drawn = render(scene)
    assert drawn.instances is not None  # ToonSV draws its masks
    return Drawn(
        pixels=(to_pixels(drawn.image) * 255).round().byte(),
        instances=torch.from_numpy(drawn.instances),
        who=tuple(config.characters.index(actor.character) for actor in scene.actors),
        setting=config.settings.index(scene.setting),
    )


def make_batch(drawn: list[Drawn], config: FigureConfig, rng: np.random.Generator) -> Batch:
    """Return a training batch of the drawn scenes, each changed in its own way.

    Raises:
        ValueError: If no figure is to be seen in any of them.
    """
    angles = [_angles(len(d.who), rng) for d in drawn]
    pixels = torch.stack([_recoloured(d, a) for d, a in zip(drawn, angles, strict=True)])  # (B, 3, 128, 128)
    pixels, instances = move(pixels, torch.stack([d.instances for d in drawn]), rng)
    pixels = degrade(pixels, rng)
    frames, masks, shares = [], [], []
    for b, d in enumerate(drawn):
        for k, (who, angle) in enumerate(zip(d.who, angles[b], strict=True), start=1):
            mask = instances[b] == k
            if int(mask.sum()) >= HIDDEN_PX:
                frames.append(b)
                masks.append(mask)
                shares.append(hue_shares(who, angle, config))
    if not masks:
        raise ValueError("a batch needs at least one visible figure: give more scenes")
    found = torch.stack(masks)  # (N, 128, 128)
    crops, who_shares = _cutmix(cut_figures(pixels[frames], _rough(found, rng)), torch.stack(shares), rng)
    return Batch(
        pixels,
        *segmentation_targets(instances),
        crops,
        who_shares,
        without_figures(pixels, _rough(instances > 0, rng)),
        torch.tensor([d.setting for d in drawn]),
    )


def hue_shares(who: int, angle: float, config: FigureConfig) -> Tensor:
    """Return the shares of classes (K * hues,) of a character whose hues are turned by ``angle`` in turns of 1."""
    place = angle % 1.0 * config.hues
    low, share = int(place) % config.hues, place - int(place)
    target = torch.zeros(len(config.characters), config.hues)
    target[who, low] += 1 - share
    target[who, (low + 1) % config.hues] += share
    return target.flatten()


def turn_hues(pixels: Tensor, angle: float) -> Tensor:
    """Return colours (3, ...) turned about the grey axis by ``angle`` in turns of 1; grey stays, so does brightness."""
    cos, sin = np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    rotation = cos * np.eye(3) + (1 - cos) / 3 * np.ones((3, 3)) + sin * axis  # Rodrigues' formula
    return torch.einsum("ij,j...->i...", torch.from_numpy(rotation).to(pixels.dtype), pixels).clamp(0, 1)


def move(pixels: Tensor, instances: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Shift, scale and mirror frames (B, 3, H, W) and their instance maps (B, H, W) alike, repeating the border."""
    batch = len(pixels)
    theta = np.zeros((batch, 2, 3), dtype=np.float32)
    scale = 1 + rng.uniform(-SCALE, SCALE, batch)
    theta[:, 0, 0], theta[:, 1, 1] = scale * rng.choice((-1, 1), batch), scale
    theta[:, :, 2] = rng.uniform(-SHIFT, SHIFT, (batch, 2))
    theta[rng.random(batch) < 0.3] = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)  # resampling always softens
    grid = F.affine_grid(torch.from_numpy(theta), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    labels = F.grid_sample(instances[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved, labels[:, 0].round().to(instances.dtype)


def segmentation_targets(instances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mask, centre and offset maps of instance maps (B, 128, 128), see :class:`Batch`."""
    mask = F.avg_pool2d((instances > 0).float()[:, None], CELL_PX)[:, 0]  # (B, 64, 64)
    cells = instances[:, ::CELL_PX, ::CELL_PX]  # (B, 64, 64)
    side = cells.shape[1]
    rows, columns = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    centre = torch.zeros(mask.shape)
    offset = torch.zeros(len(mask), 2, side, side)
    for b, numbers in enumerate(cells):
        for k in numbers.unique().tolist():
            own = numbers == k
            if k == 0:
                continue
            x, y = columns[own].mean(), rows[own].mean()
            bump = torch.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / BUMP_CELLS**2)
            centre[b] = torch.maximum(centre[b], bump)
            away = torch.stack([x - columns, y - rows]) * (CELL_PX / OFFSET_PX)  # (2, 64, 64)
            offset[b] = torch.where(own, away, offset[b])
    return mask, centre, offset


def _angles(count: int, rng: np.random.Generator) -> list[float]:
    """Return for each figure the angle its hues are turned by, in turns of 1; 0 for most."""
    return [float(rng.random()) if rng.random() < RECOLOURED_SHARE else 0.0 for _ in range(count)]


def _recoloured(drawn: Drawn, angles: list[float]) -> Tensor:
    """Return the frame (3, 128, 128) in [0, 1] with the hues of its figures turned."""
    pixels = drawn.pixels.float() / 255
    for k, angle in enumerate(angles, start=1):
        if angle:
            pixels = torch.where(drawn.instances == k, turn_hues(pixels, angle), pixels)
    return pixels


def _rough(masks: Tensor, rng: np.random.Generator) -> Tensor:
    """Return masks (N, H, W) bool grown or shrunk a little: found ones are never exact."""
    level = torch.from_numpy(rng.uniform(0.25, 0.75, (len(masks), 1, 1))).float()
    near = F.avg_pool2d(masks[:, None].float(), 5, 1, 2)[:, 0] > level  # (N, H, W)
    return torch.where(near.any(2).any(1)[:, None, None], near, masks)


def _cutmix(crops: Tensor, shares: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Give some crops (N, 3, S, S) the lower half of others; their shares (N, C) are mixed alike."""
    other = torch.from_numpy(rng.permutation(len(crops)))
    mixed = torch.from_numpy(rng.random(len(crops)) < CUTMIX_SHARE)
    half = crops.shape[2] // 2
    crops = crops.clone()
    crops[mixed, :, half:] = crops[other][mixed][:, :, half:]
    return crops, torch.where(mixed[:, None], (shares + shares[other]) / 2, shares)
