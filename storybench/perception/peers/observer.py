"""One network of a peer's metric with its preprocessing, as an observer that fills one entry of the features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from storybench.perception.observation import Array, Arrays, in_batches
from storybench.perception.perceiver import to_pixels
from storybench.perception.precision import full_precision

SHOWN_DIGITS = 12  # of the weights' SHA-256 in a protocol id
Prepare = Callable[[Image.Image], Tensor]  # RGB picture -> (3, H, W) float32


class PeerObserver:
    """Fills the entry of :attr:`storybench.perception.observation.Observation.features` that :attr:`id` names."""

    field = "features"
    uses_captions = False

    def __init__(
        self, name: str, network: nn.Module, prepare: Prepare, sha256: str, device: str = "cpu", batch_size: int = 8
    ) -> None:
        """Take a network from pixels (B, 3, H, W) to features (B, D).

        Args:
            name: That of the catalogue, one of :data:`storybench.perception.peers.PEERS`.
            network: In float32.
            prepare: From a picture to its pixels, all of one shape unless ``batch_size`` is 1.
            sha256: Of its weights.
            device: Where it runs.
            batch_size: Pictures a pass; a constant of the name, for another shape rounds differently.
        """
        self.name, self.prepare, self.sha256, self.device = name, prepare, sha256, device
        self.batch_size = batch_size
        self.network = network.float().eval().requires_grad_(requires_grad=False).to(device)

    @property
    def id(self) -> str:
        """Name, version of the preprocessing, and the start of the weights' hash."""
        return f"{self.name}/v1+{self.sha256[:SHOWN_DIGITS]}"

    def observe(
        self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]] = ()
    ) -> list[dict[str, Array]]:
        """Return the features of each RGB picture, (D,) float32; captions are not looked at."""
        out: list[dict[str, Array]] = []
        with full_precision(), torch.inference_mode():
            for batch, real in in_batches(images, self.batch_size):
                pixels = torch.stack([self.prepare(image) for image in batch])  # (B, 3, H, W)
                features = self.network(pixels.to(self.device)).float().cpu().numpy()  # (B, D)
                out += [{"features": row.copy()} for row in features[:real]]
        return out

    def value(self, arrays: Arrays) -> Array:
        """Return the features."""
        return np.asarray(arrays["features"], dtype=np.float32)


def square(px: int, interpolation: InterpolationMode, mean: Sequence[float], std: Sequence[float]) -> Prepare:
    """Return: shorter side to ``px`` in 8 bits with antialiasing, middle square, normalised.

    VBench does not crop; a square frame is the same either way.
    """

    def prepare(image: Image.Image) -> Tensor:
        small = transforms.resize(image.convert("RGB"), px, interpolation)
        pixels = to_pixels(transforms.center_crop(small, px))  # (3, px, px)
        return transforms.normalize(pixels, list(mean), list(std))

    return prepare


def symmetric(image: Image.Image) -> Tensor:
    """Return a picture in its own size, -1 .. 1, (3, H, W)."""
    return to_pixels(image) * 2.0 - 1.0
