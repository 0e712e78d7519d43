"""From the shipped folder to the network of figures, its hash checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from storybench.errors import AssetError
from storybench.perception import assets
from storybench.perception.figures.network import FigureConfig, FigureNetwork

NAME = "toonsv_figures"
HASH_DIGITS = 8  # of the weights, in the protocol id


@dataclass(frozen=True)
class FigureAsset:
    """The network of figures, ready to look, with its manifest."""

    network: FigureNetwork  # eval mode, float32, batch normalisation folded into the convolutions
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name and the beginning of its weights' hash, e.g. ``toonsv-figures-v1+0f3a91c2``."""
        return f"{self.manifest['id']}+{self.manifest['files'][assets.WEIGHTS][:HASH_DIGITS]}"

    @property
    def accuracies(self) -> Mapping[str, float]:
        """What it gets right on true test frames."""
        return self.manifest["accuracies"]


def load_network(name: str = NAME, folder: Path | None = None, device: str = "cpu") -> FigureAsset:
    """Return the network in ``folder`` (by default the shipped one called ``name``) after checking its hash.

    Raises:
        AssetError: If a file is missing, damaged, or of a schema this version cannot read.
    """
    folder = folder or assets.WEIGHTS_ROOT / name
    if not (folder / assets.MANIFEST).is_file():
        raise AssetError(
            f"No weights at '{folder}': expected {assets.MANIFEST}; train them with: storybench train model=figures"
        )
    manifest = assets.read_manifest(folder)
    state, _ = assets.read_state(folder)
    network = FigureNetwork(FigureConfig.from_dict(manifest["config"]))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"'{folder / assets.WEIGHTS}' does not fit its manifest: {reason}") from error
    return FigureAsset(_folded(network.eval()).to(device), manifest)


def _folded(network: FigureNetwork) -> FigureNetwork:
    """Fold every batch normalisation into the convolution before it: the same function in fewer passes."""
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for i in range(len(module) - 1):
            first, second = module[i], module[i + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[i] = fuse_conv_bn_eval(first, second)
                module[i + 1] = nn.Identity()
    return network.requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)
