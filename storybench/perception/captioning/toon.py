"""The ToonSV captioner ready to use: what it says of a frame, and how well other captions fit.

How well a caption c fits a picture x is its pointwise mutual information, log p(c | x) - log p(c): the second term is
the likelihood under the same network with the picture withheld, so that a short caption of common words does not win.

Weights stand in their own folder; the eyes are the shipped perceiver's, named in the manifest by their hash: with other
eyes the decoder would read nonsense, so they are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from storybench.data.toonsv import world
from storybench.errors import AssetError
from storybench.perception import assets
from storybench.perception.captioning.captioner import MAX_WORDS, CaptionDecoder, KeyValue, look
from storybench.perception.captioning.words import Words
from storybench.perception.observation import in_batches
from storybench.perception.perceiver import Perceiver, to_pixels
from storybench.perception.precision import full_precision

Array = np.ndarray

NAME = "toonsv_captioner"
HASH_DIGITS = 8  # of the weights, in the protocol id
BATCH = 16  # pictures a pass; a constant, so that no caption depends on how many were asked for


class ToonCaptioner:
    """A :class:`storybench.perception.captioning.protocol.Captioner` for ToonSV."""

    def __init__(self, protocol: str, eyes: Perceiver, decoder: CaptionDecoder, words: Words) -> None:
        """Join eyes and decoder, both in eval mode on one device."""
        self.id = protocol
        self.eyes = eyes
        self.decoder = decoder
        self.words = words
        self._prior = lru_cache(maxsize=4096)(self._blind_log_likelihood)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.decoder.bias.device

    @full_precision()
    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Return the greedy caption of each 128 x 128 picture."""
        captions = []
        for memory, real in self._memories(images):
            captions += [self.words.decode(row) for row in self.decoder.greedy(memory)[:real].tolist()]
        return captions

    @full_precision()
    def fit(self, images: Sequence[Image.Image], captions: Sequence[Sequence[str]]) -> list[Array]:
        """Return the pointwise mutual information in nats of each picture and each of its captions, (T_i,) float64.

        A picture's captions are scored together and with no other picture's; its eyes' pass is shared by all of them.
        """
        memories = [memory[k : k + 1] for memory, real in self._memories(images) for k in range(real)]
        return [self._fit_one(m, tuple(texts)) for m, texts in zip(memories, captions, strict=True)]

    def _fit_one(self, memory: Tensor, captions: tuple[str, ...]) -> Array:
        if not captions:
            return np.zeros(0)
        pictures = [_repeat(keys, len(captions)) for keys in self.decoder.picture_keys(memory)]
        words = self.words.batch(captions, MAX_WORDS).to(self.device)
        seen = self.decoder.log_likelihood(words, pictures).cpu().numpy()
        return seen - np.array([self._prior(text) for text in captions])

    def _blind_log_likelihood(self, caption: str) -> float:
        words = self.words.batch([caption], MAX_WORDS).to(self.device)
        with torch.inference_mode():
            nothing = self.decoder.picture_keys(self.decoder.blind(1))
        return float(self.decoder.log_likelihood(words, nothing)[0])

    @torch.inference_mode()
    def _memories(self, images: Sequence[Image.Image]) -> list[tuple[Tensor, int]]:
        """Return the memory (BATCH, M, W) of each batch of pictures and how many of it are real."""
        found = []
        for batch, real in in_batches(images, BATCH):
            pixels = torch.stack([to_pixels(image) for image in batch]).to(self.device)
            found.append((self.decoder.remember(look(self.eyes, pixels)), real))
        return found


def _repeat(keys: KeyValue, count: int) -> KeyValue:
    return keys[0].expand(count, -1, -1, -1), keys[1].expand(count, -1, -1, -1)


def eyes_hash() -> str:
    """Return the SHA-256 of the shipped perceiver's weights."""
    return str(assets.read_manifest(assets.WEIGHTS_ROOT / "toonsv_perceiver")["files"][assets.WEIGHTS])


def load_captioner(folder: Path | None = None, device: str = "cpu") -> ToonCaptioner:
    """Return the captioner in ``folder`` (by default the shipped one) after checking every hash.

    Raises:
        AssetError: If a file is missing, damaged, of another schema, or was trained on other eyes.
    """
    folder = folder or assets.WEIGHTS_ROOT / NAME
    manifest = assets.read_manifest(folder, "captioner", ("eyes", "words", "architecture"))
    if manifest["eyes"]["sha256"] != eyes_hash():
        raise AssetError(
            f"The captioner at '{folder}' was trained on a perceiver that is not the shipped one; "
            "train it again with: storybench train model=captioner"
        )
    state, _ = assets.read_state(folder)
    words = Words(manifest["words"], world.NAMES)
    decoder = CaptionDecoder(vocabulary=len(words), **manifest["architecture"])
    try:
        decoder.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(f"'{folder}' does not fit its manifest: {str(error).splitlines()[0]}") from error
    decoder = decoder.eval().requires_grad_(requires_grad=False).to(device)
    protocol = f"{manifest['id']}+{manifest['files'][assets.WEIGHTS][:HASH_DIGITS]}"
    return ToonCaptioner(protocol, assets.load_perceiver(device=device).model, decoder, words)
