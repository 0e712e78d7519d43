"""From the name of a peer's network and where its weights lie to an observer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.transforms import InterpolationMode

from storybench.errors import AssetError, unknown
from storybench.perception.peers import CLIP_B32, CLIP_L14, DINO_B16, LPIPS_ALEX, PEERS
from storybench.perception.peers.lpips import load_lpips
from storybench.perception.peers.observer import PeerObserver, square, symmetric
from storybench.perception.protocols.observer import sha256_of
from storybench.perception.protocols.preparing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from storybench.perception.protocols.transformers_features import clip, weights_file


class _ClassToken(nn.Module):
    """The class token after the last layer norm, (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixel_values=pixels).last_hidden_state[:, 0]


def open_peer(name: str, path: Path, device: str = "cpu") -> PeerObserver:
    """Return the observer of a peer's network.

    Args:
        name: One of :data:`storybench.perception.peers.PEERS`.
        path: Folder that ``save_pretrained`` wrote, or the file of LPIPS' AlexNet; hashes are the catalogue's business.
        device: Where it runs.

    Raises:
        ConfigError: If there is no network of that name, or a package it needs is not installed.
        AssetError: If the weights are missing or another network's.
    """
    if name not in PEERS:
        raise unknown("peer network", name, PEERS)
    if name == LPIPS_ALEX:
        digest = sha256_of(path)
        return PeerObserver(name, load_lpips(path), symmetric, digest, device, batch_size=1)  # sizes may differ
    digest = sha256_of(weights_file(path))
    if name in (CLIP_B32, CLIP_L14):
        network = clip(path)
        prepare = square(_side(network, path), InterpolationMode.BICUBIC, CLIP_MEAN, CLIP_STD)
    else:
        assert name == DINO_B16
        network = _dino(path)
        prepare = square(_side(network, path), InterpolationMode.BILINEAR, IMAGENET_MEAN, IMAGENET_STD)
    return PeerObserver(name, network, prepare, digest, device)


def _side(network: Any, path: Path) -> int:
    """Return the side in pixels that the network's own configuration states."""
    side = getattr(network.model.config, "image_size", None)
    if not isinstance(side, int):
        raise AssetError(f"'{path / 'config.json'}' states no image_size; fetch the folder again.")
    return side


def _dino(folder: Path) -> nn.Module:
    """Return DINO's vision transformer (``facebook/dino-vitb16``) from a local folder."""
    from transformers import ViTModel

    try:
        model, report = ViTModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            local_files_only=True,
            use_safetensors=weights_file(folder).suffix == ".safetensors",
            weights_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise AssetError(f"'{folder}' is no DINO model that can be read: {str(error).splitlines()[0]}") from error
    if report["missing_keys"]:
        names = ", ".join(sorted(report["missing_keys"])[:3])
        raise AssetError(f"'{folder}' is no DINO model: it lacks {names}; fetch the folder again.")
    return _ClassToken(model)
