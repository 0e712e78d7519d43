"""Masks of figures by Segment Anything (Kirillov et al. 2023), from boxes of a detector or from a grid of points.

With boxes, each becomes the one mask that SAM gives an unambiguous prompt. Without, SAM cuts the picture into things,
and those of a figure's size are taken for figures: it also takes rocks and houses, so prefer boxes. The package is
optional (``pip install 'storybench[masks]'``) and the checkpoint is the user's.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from storybench.errors import AssetError, ConfigError, unknown
from storybench.perception.detectors.finding import Finder, Found
from storybench.perception.figures.crops import boxes_of
from storybench.perception.precision import full_precision

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

SMALLEST, LARGEST = 0.01, 0.6  # share of a picture that a thing of a figure's size covers
HASH_DIGITS = 8


class SamFigures:
    """A finder whose masks are SAM's."""

    def __init__(self, sam: Sam, id: str, boxes: Finder | None = None, **automatic: float) -> None:  # noqa: A002
        """Wrap a loaded model.

        Args:
            sam: A model of the official classes, where it shall run.
            id: Name and hash of its checkpoint.
            boxes: Where figures are; None to take every thing of a figure's size.
            automatic: Settings of ``SamAutomaticMaskGenerator``, for use without boxes; a part of the protocol id.
        """
        from segment_anything import SamAutomaticMaskGenerator, SamPredictor

        self.boxes = boxes
        settings = ",".join(f"{name}={automatic[name]:g}" for name in sorted(automatic))
        self.id = f"{id}{f'[{settings}]' if settings else ''}" if boxes is None else f"{id}({boxes.id})"
        self._predictor = SamPredictor(sam.eval())
        self._generator: Any = SamAutomaticMaskGenerator(sam, **automatic) if boxes is None else None

    @full_precision()
    @torch.inference_mode()
    def find(self, image: Image.Image) -> Found:
        """Return the figures of one RGB picture, left to right; no two share a pixel without boxes."""
        picture = np.asarray(image.convert("RGB"))
        if self.boxes is None:
            return _found(_things(self._generator.generate(picture), picture.shape[:2]))
        boxes = self.boxes.find(image).boxes  # (N, 4)
        if not len(boxes):
            return _found(np.zeros((0, *picture.shape[:2]), dtype=bool))
        self._predictor.set_image(picture)
        prompts = self._predictor.transform.apply_boxes_torch(torch.from_numpy(boxes), picture.shape[:2])
        masks, _, _ = self._predictor.predict_torch(
            None, None, prompts.to(self._predictor.device), multimask_output=False
        )  # (N, 1, H, W)
        return _found(masks[:, 0].cpu().numpy().astype(bool))


def load_sam_figures(
    checkpoint: Path, model_type: str = "vit_h", boxes: Finder | None = None, sha256: str = "", device: str = "cpu"
) -> SamFigures:
    """Return SAM from an official or fine-tuned checkpoint, read as tensors and never as code.

    Raises:
        ConfigError: If segment-anything is not installed or the type is unknown.
        AssetError: If the file is missing, damaged, of another SHA-256 than given, or of another type.
    """
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise ConfigError(
            "Segment Anything is not installed: install it with: pip install 'storybench[masks]'."
        ) from error
    if model_type not in sam_model_registry:
        raise unknown("SAM model_type", model_type, sam_model_registry)
    if not checkpoint.is_file():
        raise AssetError(f"No SAM checkpoint at '{checkpoint}': give the path of an official or fine-tuned .pth file.")
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and digest != sha256.lower():
        raise AssetError(
            f"'{checkpoint}' has SHA-256 {digest[:12]}..., expected {sha256[:12]}...: damaged or replaced."
        )
    sam = sam_model_registry[model_type]()
    try:
        sam.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise AssetError(f"'{checkpoint}' is no checkpoint of SAM {model_type}: {reason}") from error
    return SamFigures(sam.to(device), f"sam-{model_type}+{digest[:HASH_DIGITS]}", boxes)


def _things(records: list[dict[str, Any]], size: tuple[int, ...]) -> np.ndarray:
    """Return the masks (N, H, W) of a figure's size; where two overlap, the one SAM is surer of keeps the pixels."""
    taken = np.zeros(size, dtype=bool)
    kept = []
    for record in sorted(records, key=lambda r: (-float(r["predicted_iou"]), r["bbox"])):
        mask = np.asarray(record["segmentation"], dtype=bool) & ~taken
        if SMALLEST <= mask.mean() <= LARGEST:
            kept.append(mask)
            taken |= mask
    return np.stack(kept) if kept else np.zeros((0, *size), dtype=bool)


def _found(masks: np.ndarray) -> Found:
    """Return masks (N, H, W) with their tight boxes, left to right; empty ones are left out."""
    masks = masks[masks.any((1, 2))]
    if not len(masks):
        return Found(np.zeros((0, 4), dtype=np.float32), masks)
    boxes = boxes_of(torch.from_numpy(masks)).numpy()
    order = np.lexsort((boxes[:, 1], boxes[:, 0]))
    return Found(boxes[order], masks[order])
