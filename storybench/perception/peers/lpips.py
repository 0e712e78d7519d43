"""LPIPS as features of one picture: their squared distance is the metric, so a picture is looked at once.

AlexNet's weights come from torchvision's published file, the small linear weights with the package ``lpips``. A picture
keeps its own size, and its features are large: about 149,000 numbers, 0.6 MB, at 128 pixels.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from storybench.errors import AssetError, ConfigError

EPSILON = 1e-10  # lpips 0.1.4, normalize_tensor
TRUNK = "features."  # of torchvision's AlexNet, the part that LPIPS looks through


class LpipsFeatures(nn.Module):
    """Pixels in -1 .. 1 to layers normalised over channels and scaled by the root of their weight a place."""

    def __init__(self, package: Any) -> None:
        """Take an ``lpips.LPIPS`` with all its weights.

        Raises:
            AssetError: If a linear weight is negative, for then no distance is behind it.
        """
        super().__init__()
        self.scaling: nn.Module = package.scaling_layer
        self.trunk: nn.Module = package.net
        self.roots = nn.ParameterList()
        for linear in package.lins:
            weight = linear.model[-1].weight.detach()  # (1, channels, 1, 1)
            if bool((weight < 0).any()):
                raise AssetError(
                    "LPIPS has a negative linear weight: damaged weights; install the package lpips again."
                )
            self.roots.append(nn.Parameter(weight.sqrt(), requires_grad=False))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, D) for pixels (B, 3, H, W)."""
        parts = []
        for layer, root in zip(self.trunk(self.scaling(pixels)), self.roots, strict=True):
            unit = layer / (layer.square().sum(1, keepdim=True).sqrt() + EPSILON)  # (B, channels, h, w)
            parts.append((unit * root / (unit.shape[2] * unit.shape[3]) ** 0.5).flatten(1))
        return torch.cat(parts, dim=1)


def load_lpips(path: Path) -> LpipsFeatures:
    """Return LPIPS over AlexNet.

    Args:
        path: State dict of torchvision's AlexNet, read as tensors only.

    Raises:
        AssetError: If the file is no such state dict.
        ConfigError: If the package is not installed.
    """
    try:
        from lpips import LPIPS
    except ImportError as error:
        raise ConfigError("The metric lpips needs its package: pip install lpips.") from error
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # it draws weights that are replaced below
        warnings.simplefilter("ignore", UserWarning)  # and calls torchvision by a name that is going away
        package = LPIPS(net="alex", pnet_rand=True, verbose=False)
    wanted = package.net.state_dict()  # slice1.0.weight is layer 0 of the trunk
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = {key: state[TRUNK + key.split(".", 1)[1]] for key in wanted}
        package.net.load_state_dict(found)
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise AssetError(
            f"'{path}' is not the state dict of torchvision's AlexNet ({str(error).splitlines()[0]}); fetch it again."
        ) from error
    return LpipsFeatures(package)
