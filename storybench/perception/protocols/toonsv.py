"""The ToonSV network in the place of Inception: given what Inception would be given, range and all."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from storybench.perception.assets import load_perceiver


class _StandIn(nn.Module):
    """(B, 3, 128, 128) in Inception's range -1 .. 1, or what was mistaken for it -> (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        unit = (pixels + 1) / 2  # the perceiver expects 0 .. 1
        features: Tensor = self.model(unit.contiguous(memory_format=torch.channels_last)).features
        return features


def perceiver(folder: Path) -> nn.Module:
    """Return the shipped ToonSV perceiver (or another in ``folder``) as a feature network.

    Raises:
        AssetError: If it is missing or damaged.
    """
    return _StandIn(load_perceiver(folder=folder).model)
