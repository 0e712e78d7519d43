"""Finds characters of a real data set as boxes: a Faster R-CNN with one class, "character".

The network is torchvision's with a MobileNetV3 backbone, without anybody's weights. What it is trained on is the
training split's boxes (:mod:`storybench.perception.detectors.training`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from storybench.errors import AssetError
from storybench.perception import assets
from storybench.perception.detectors.finding import Found
from storybench.perception.perceiver import to_pixels
from storybench.perception.precision import full_precision

CLASSES = 2  # background, character
SCORE = 0.5  # smallest of a box that counts
HASH_DIGITS = 8


def new_network() -> nn.Module:
    """Return the detection network with new weights, drawn from torch's generator."""
    return fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=CLASSES)


class BoxDetector:
    """A finder whose masks are its boxes."""

    def __init__(self, network: nn.Module, id: str, device: str = "cpu", score: float = SCORE) -> None:  # noqa: A002
        """Wrap a trained network.

        Args:
            network: One that takes a list of (3, H, W) pictures in [0, 1] and returns boxes, labels and scores.
            id: Name and hash.
            device: Where it runs.
            score: Smallest score of a box that counts; another than 0.5 is a part of the protocol id.
        """
        self.network, self.device, self.score = network.eval().to(device), device, score
        self.id = id if score == SCORE else f"{id}>{score:g}"

    @full_precision()
    @torch.inference_mode()
    def find(self, image: Image.Image) -> Found:
        """Return the characters of one RGB picture as boxes with whole pixels, left to right."""
        said = self.network([to_pixels(image).to(self.device)])[0]
        sure = (said["scores"] >= self.score) & (said["labels"] == 1)
        boxes = said["boxes"][sure].float().cpu().numpy()  # (N, 4)
        return boxes_found(boxes, image.size)


def boxes_found(boxes: np.ndarray, size: tuple[int, int]) -> Found:
    """Return boxes (N, 4) in a picture of ``size`` (width, height) with masks that fill them, none empty."""
    width, height = size
    limits = np.array([width, height, width, height], dtype=np.float32)
    whole = np.clip(np.stack([*np.floor(boxes.T[:2]), *np.ceil(boxes.T[2:])], axis=1), 0, limits).astype(np.int64)
    whole = whole[(whole[:, 2] > whole[:, 0]) & (whole[:, 3] > whole[:, 1])]
    whole = whole[np.lexsort((whole[:, 1], whole[:, 0]))]
    masks = np.zeros((len(whole), height, width), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, whole, strict=True):
        mask[y0:y1, x0:x1] = True
    return Found(whole.astype(np.float32), masks)


def load_detector(folder: Path, device: str = "cpu") -> BoxDetector:
    """Return the detector in ``folder`` after checking its hash.

    Raises:
        AssetError: If a file is missing, damaged, or not of this network.
    """
    manifest = assets.read_manifest(folder, "detector dataset.root=DIR")
    state, _ = assets.read_state(folder)
    network = new_network()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"'{folder / assets.WEIGHTS}' is not this detector's: {reason}") from error
    return BoxDetector(network, f"{manifest['id']}+{manifest['files'][assets.WEIGHTS][:HASH_DIGITS]}", device)
