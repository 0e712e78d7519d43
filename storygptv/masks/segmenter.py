"""Boxes -> masks: every picture is embedded once, several pictures together, and all its boxes are decoded at once.

What ``SamPredictor`` does for one picture and one box (segment-anything 1.0), with the same resizing, prompts and
upsampling, so that the masks are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from storybench.errors import ConfigError, unknown
from storygptv.masks.instances import Rectangle, area

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

MASK_RULES = ("single", "best_iou")
PRECISIONS = ("fp32", "bf16")


class Segmented(NamedTuple):
    """Masks of one picture: (K, H, W) bool, one a box in the order given, and SAM's own IoU estimate of each, (K,)."""

    masks: np.ndarray
    scores: tuple[float, ...]


class BoxSegmenter:
    """A SAM with a rule for choosing masks.

    Attributes:
        batch_size: Pictures embedded together; halved for good when the accelerator's memory does not suffice.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        mask_rule: str = "single",
        precision: str = "fp32",
        device: torch.device | str = "cpu",
        batch_size: int = 1,
    ) -> None:
        """Move the model to its device.

        Args:
            sam: A model of the official classes.
            mask_rule: ``single`` for the one mask that SAM gives an unambiguous prompt (``multimask_output=False``,
                which its authors advise for boxes), ``best_iou`` for that of its three with the best predicted IoU.
            precision: ``fp32``, or ``bf16`` to run the image encoder under bfloat16 autocast.
            device: Where to run.
            batch_size: Pictures embedded together.

        Raises:
            ConfigError: If a value is unknown or the device is not there.
        """
        from segment_anything.utils.transforms import ResizeLongestSide

        if mask_rule not in MASK_RULES:
            raise unknown("mask_rule", mask_rule, MASK_RULES)
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}: expected 1 or more pictures.")
        try:
            self.device = torch.device(device)
            self.sam = sam.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
            why = " ".join(str(error).split("\n")[0].split()).rstrip(".")
            raise ConfigError(
                f"Device {str(device)!r} cannot be used here ({why}): give device=cpu or auto."
            ) from error
        self.mask_rule, self.precision, self.batch_size = mask_rule, precision, batch_size
        self._resize = ResizeLongestSide(sam.image_encoder.img_size)

    @torch.inference_mode()
    def segment(self, pictures: Sequence[np.ndarray], boxes: Sequence[Sequence[Rectangle]]) -> list[Segmented]:
        """Return the masks of each picture.

        Args:
            pictures: RGB, each (H, W, 3) uint8; sizes may differ.
            boxes: For each picture its rectangles (x0, y0, x1, y1) in its pixels. An empty one has an empty mask.

        Raises:
            ConfigError: If not even one picture fits into the accelerator's memory.
        """
        prompted = [i for i, rectangles in enumerate(boxes) if any(area(box) for box in rectangles)]
        found = [
            Segmented(np.zeros((len(rectangles), *picture.shape[:2]), bool), (0.0,) * len(rectangles))
            for picture, rectangles in zip(pictures, boxes, strict=True)
        ]
        while prompted:
            group, rest = prompted[: self.batch_size], prompted[self.batch_size :]
            try:
                done = self._group([pictures[i] for i in group], [boxes[i] for i in group])
            except torch.OutOfMemoryError as error:
                self._make_smaller(len(group), error)
                continue
            for i, segmented in zip(group, done, strict=True):
                found[i] = segmented
            prompted = rest
        return found

    def _make_smaller(self, tried: int, error: torch.OutOfMemoryError) -> None:
        if tried == 1:
            raise ConfigError(
                "Memory does not suffice for one picture: give precision=bf16, a smaller model_type such as vit_b, or "
                "device=cpu."
            ) from error
        self.batch_size = tried // 2
        print(f"Memory does not suffice for {tried} pictures; taking {self.batch_size}.", file=sys.stderr)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _group(self, pictures: Sequence[np.ndarray], boxes: Sequence[Sequence[Rectangle]]) -> list[Segmented]:
        resized = [self._tensor(picture) for picture in pictures]  # each (3, h, w), max(h, w) = 1024
        batch = torch.stack([self.sam.preprocess(image) for image in resized])  # (B, 3, 1024, 1024), padded
        # Only the encoder, nearly all of the work: prompts and decoder in bfloat16 would round the corners of a box.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            embedded = self.sam.image_encoder(batch)
        embedded = embedded.float()  # (B, 256, 64, 64)
        return [
            self._decode(embedding, tuple(image.shape[-2:]), picture.shape[:2], rectangles)
            for embedding, image, picture, rectangles in zip(embedded, resized, pictures, boxes, strict=True)
        ]

    def _tensor(self, picture: np.ndarray) -> torch.Tensor:
        """Return a picture at the encoder's scale, (3, h, w), values 0 to 255."""
        resized = self._resize.apply_image(picture)  # (h, w, 3) uint8
        return torch.as_tensor(resized, device=self.device).permute(2, 0, 1).contiguous()

    def _decode(
        self, embedding: torch.Tensor, scaled: tuple[int, ...], size: tuple[int, ...], boxes: Sequence[Rectangle]
    ) -> Segmented:
        """Return the masks of one picture from its embedding (256, 64, 64); ``scaled`` and ``size`` are (h, w)."""
        sound = [k for k, box in enumerate(boxes) if area(box)]
        corners = self._resize.apply_boxes(np.array([boxes[k] for k in sound], float), size)  # (K, 4)
        sparse, dense = self.sam.prompt_encoder(
            points=None, boxes=torch.as_tensor(corners, dtype=torch.float, device=self.device), masks=None
        )  # (K, 2, 256), (K, 256, 64, 64)
        logits, iou = self.sam.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=self.sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.mask_rule == "best_iou",
        )  # (K, M, 256, 256), (K, M) with M = 1 or 3
        best = iou.argmax(1, keepdim=True)  # (K, 1)
        logits = logits.take_along_dim(best[..., None, None], 1)  # (K, 1, 256, 256)
        full = self.sam.postprocess_masks(logits, scaled, size)[:, 0]  # (K, H, W)
        masks, scores = np.zeros((len(boxes), *size), bool), [0.0] * len(boxes)
        masks[sound] = (full > self.sam.mask_threshold).cpu().numpy()
        for k, score in zip(sound, iou.take_along_dim(best, 1)[:, 0].tolist(), strict=True):
            scores[k] = score
        return Segmented(masks, tuple(scores))
