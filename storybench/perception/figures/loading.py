"""From the shipped folder to the network of figures, its hash checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storybench.errors import AssetError
from storybench.perception import assets
from storybench.perception.figures import crops, grouping, network
from storybench.perception.figures.network import FigureConfig, FigureNetwork

NAME = "toonsv_figures"
HASH_DIGITS = 8  # in the protocol id
CONSTANTS = "95af6b97"  # hash of the constants that v1 stands for


@dataclass(frozen=True)
class FigureAsset:
    """The network of figures, ready to look, with its manifest."""

    network: FigureNetwork  # eval mode, float32, batch normalisation folded into the convolutions
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name and the beginning of its weights' hash, e.g. ``toonsv-figures-v1+0f3a91c2``.

        With other constants than those of v1 their hash follows, so that no cache mixes the two.
        """
        name = f"{self.manifest['id']}+{self.manifest['files'][assets.WEIGHTS][:HASH_DIGITS]}"
        return name if constants_hash() == CONSTANTS else f"{name}~{constants_hash()}"

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
    manifest = assets.read_manifest(folder, "figures", ("config",))
    state, _ = assets.read_state(folder)
    model = FigureNetwork(FigureConfig.from_dict(manifest["config"]))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"'{folder / assets.WEIGHTS}' does not fit its manifest: {reason}") from error
    return FigureAsset(assets.folded(model.eval()).to(device), manifest)


def constants_hash() -> str:
    """Return a hash of every number between pixels and what is kept of them: grouping, cutting, the softmax."""
    numbers = {
        f"{module.__name__}.{name}": value
        for module in (grouping, crops, network)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float)
    }
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]
