"""A protocol made ready to look: its network loaded, its weights' hash checked, one row of features a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from storybench.errors import AssetError
from storybench.perception.assets import WEIGHTS, WEIGHTS_ROOT
from storybench.perception.observation import Array, Arrays, in_batches
from storybench.perception.precision import full_precision
from storybench.perception.protocols import inception, toonsv, transformers_features
from storybench.perception.protocols.preparing import prepare
from storybench.perception.protocols.protocol import Protocol
from storybench.perception.protocols.published import CLIP, DINOV2, PERCEIVER, PROTOCOLS, SCRIPT, STATE

BATCH = 16  # pictures a pass; a constant: another shape rounds differently
NETWORKS: Mapping[str, Callable[[Path], nn.Module]] = {
    SCRIPT: inception.from_script,
    STATE: inception.from_state_dict,
    DINOV2: transformers_features.dinov2,
    CLIP: transformers_features.clip,
    PERCEIVER: toonsv.perceiver,
}


class FeatureObserver:
    """Fills one entry of :attr:`storybench.perception.observation.Observation.features`."""

    field = "features"
    uses_captions = False

    def __init__(
        self, protocol: Protocol, network: nn.Module, sha256: str, device: str = "cpu", batch_size: int = BATCH
    ) -> None:
        """Take a network in float32; ``sha256`` is that of its weights."""
        self.protocol, self.sha256, self.device, self.batch_size = protocol, sha256, device, batch_size
        self.network = network.float().eval().requires_grad_(requires_grad=False).to(device)

    @property
    def id(self) -> str:
        """The protocol id; of one that is not published here with its digest, and with the weights' hash if not pinned.

        Two definitions of one's own under one name are two protocols.
        """
        p = self.protocol
        name = p.id if PROTOCOLS.get(p.id) == p else f"{p.id}~{p.digest}"
        return name if p.weights_sha256 else f"{name}+{self.sha256[:12]}"

    def observe(
        self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]] = ()
    ) -> list[dict[str, Array]]:
        """Return the features of each RGB picture, (D,) float32; captions are not looked at."""
        out: list[dict[str, Array]] = []
        with full_precision(), torch.inference_mode():
            for batch, real in in_batches(images, self.batch_size):
                pixels = torch.cat([prepare([image], self.protocol) for image in batch])  # sizes may differ before
                features = self.network(pixels.to(self.device)).float().cpu().numpy()  # (B, D)
                out += [{"features": row.copy()} for row in features[:real]]
        return out

    def value(self, arrays: Arrays) -> Array:
        """Return the features."""
        return np.asarray(arrays["features"], dtype=np.float32)


def open_observer(
    protocol: Protocol, weights: Path | None = None, device: str = "cpu", batch_size: int = BATCH
) -> FeatureObserver:
    """Return the observer of a protocol.

    Args:
        protocol: Which one.
        weights: File (Inception) or folder (the others) of its network; None looks where assets live.
        device: Where it runs.
        batch_size: Pictures a pass.

    Raises:
        AssetError: If the weights are missing or not those that the protocol names.
        ConfigError: If a package that the network needs is not installed.
    """
    if protocol.extractor not in NETWORKS:
        raise AssetError(f"No network here is called {protocol.extractor!r} (protocol {protocol.id}).")
    path = weights if weights is not None else _located(protocol)
    found = sha256_of(_hashed_file(protocol, path))
    if protocol.weights_sha256 and found != protocol.weights_sha256:
        raise AssetError(
            f"'{path}' has SHA-256 {found[:12]}..., protocol {protocol.id} is defined with "
            f"{protocol.weights_sha256[:12]}...: damaged or other weights; fetch them again."
        )
    return FeatureObserver(protocol, NETWORKS[protocol.extractor](path), found, device, batch_size)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        AssetError: If it is not there.
    """
    if not path.is_file():
        raise AssetError(f"'{path}' is missing: expected the weights of a protocol.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hashed_file(protocol: Protocol, path: Path) -> Path:
    """Return the file whose hash stands for the weights at ``path``."""
    if protocol.extractor == PERCEIVER:
        return path / WEIGHTS
    return transformers_features.weights_file(path) if protocol.extractor in (DINOV2, CLIP) else path


def _located(protocol: Protocol) -> Path:
    if protocol.extractor == PERCEIVER:
        return WEIGHTS_ROOT / PERCEIVER
    from storybench.perception.catalogue import locate

    return locate(protocol.extractor)
