"""BLIP-2 as a captioner, from a local folder: the one that published caption scores use (metrics.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.perception.captioning.local import folder_hash, read_config
from storybench.perception.observation import in_batches
from storybench.perception.precision import full_precision

Array = np.ndarray
BEAMS, MAX_NEW_TOKENS = 5, 30  # metrics.md 6
BATCH = 4  # pictures a pass
GREY = (128, 128, 128)


class Blip2Captioner:
    """A :class:`storybench.perception.captioning.protocol.Captioner` over ``Blip2ForConditionalGeneration``."""

    def __init__(self, protocol: str, model: Any, processor: Any) -> None:
        """Take a model in eval mode and its processor."""
        self.id = protocol
        self.model = model
        self.processor = processor

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Blip2Captioner:
        """Load a model that ``save_pretrained`` wrote, with its processor.

        Args:
            folder: Of model and processor, such as a local copy of ``blip2-opt-2.7b`` or of one tuned on a data set.
            device: Where it runs.
            dtype: Of its weights; a part of the protocol id unless float32.

        Raises:
            AssetError: If the folder holds no BLIP-2.
        """
        from transformers import AutoProcessor, Blip2ForConditionalGeneration

        read_config(folder, ("blip-2",))
        model = Blip2ForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        precision = "" if dtype is torch.float32 else f"-{str(dtype).removeprefix('torch.')}"
        protocol = f"blip2-beam{BEAMS}-{folder_hash(folder)[:12]}{precision}"
        return cls(protocol, model.eval().to(device), processor)

    @full_precision()
    @torch.inference_mode()
    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Return the best of five beams for each picture, at most 30 new tokens."""
        captions = []
        for batch, real in in_batches(images, BATCH):
            given = self._given(batch, [""] * len(batch))
            tokens = self.model.generate(**given, num_beams=BEAMS, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
            texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
            captions += [" ".join(text.split()) for text in texts[:real]]
        return captions

    @full_precision()
    @torch.inference_mode()
    def fit(self, images: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> list[Array]:
        """Return log p(caption | picture) - log p(caption | a grey picture) in nats, (T_i,) float64 each."""
        found = []
        for image, texts in zip(images, captions, strict=True):
            grey = Image.new("RGB", image.size, GREY)
            seen = self._log_likelihood(image, texts) - self._log_likelihood(grey, texts)
            found.append(seen.cpu().numpy())
        return found

    def _log_likelihood(self, image: Image.Image, texts: Sequence[str]) -> Tensor:
        """Return the log-probability of each text given the picture, (T,) float64; its first token is given."""
        given = self._given([image] * len(texts), texts)
        logits = self.model(**given).logits.double()  # (T, L, V)
        words, real = given["input_ids"], given["attention_mask"].bool()
        told = real & (words != self.model.config.image_token_index)
        pairs = told[:, 1:] & told[:, :-1]  # a text token after a text token
        chosen = logits[:, :-1].log_softmax(2).gather(2, words[:, 1:, None]).squeeze(2)
        return (chosen * pairs).sum(1)

    def _given(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Any:
        pictures = [image.convert("RGB") for image in images]
        given = self.processor(images=pictures, text=list(texts), return_tensors="pt", padding=True)
        return given.to(self.model.device, self.model.dtype)
