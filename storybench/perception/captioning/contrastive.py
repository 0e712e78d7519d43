"""CLIP and SigLIP as judges of how well a caption fits a picture, from a local folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from storybench.perception.captioning.local import folder_hash, read_config
from storybench.perception.precision import full_precision

Array = np.ndarray
KINDS = ("clip", "siglip", "siglip2")


class ContrastiveJudge:
    """A :class:`storybench.perception.captioning.protocol.FitJudge`: the scaled cosine of picture and caption."""

    def __init__(self, protocol: str, model: Any, processor: Any) -> None:
        """Take a model in eval mode and its processor."""
        self.id = protocol
        self.model = model
        self.processor = processor

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu") -> ContrastiveJudge:
        """Load a model that ``save_pretrained`` wrote, with its processor.

        Raises:
            AssetError: If the folder holds no such model.
        """
        from transformers import AutoModel, AutoProcessor

        kind = read_config(folder, KINDS)["model_type"]
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        return cls(f"{kind}-{folder_hash(folder)[:12]}", model.eval().to(device), processor)

    @full_precision()
    @torch.inference_mode()
    def fit(self, images: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> list[Array]:
        """Return the model's logits of each picture with its captions, (T_i,) float64; one picture a pass."""
        found = []
        for image, texts in zip(images, captions, strict=True):
            given = self.processor(
                text=list(texts),
                images=[image.convert("RGB")],
                return_tensors="pt",
                padding="max_length",  # what SigLIP was trained on; for CLIP the same result as less padding
                max_length=self.model.config.text_config.max_position_embeddings,
                truncation=True,
            ).to(self.model.device)
            found.append(self.model(**given).logits_per_image[0].double().cpu().numpy())
        return found
