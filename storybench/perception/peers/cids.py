"""ViStoryBench's view of a frame: GroundingDINO finds "character", CLIP ViT-L/14 looks at each crop.

It fills ``figures`` as our own networks do, so every metric over figures can be asked what it says through these. What
stands for probabilities is, for each crop, the greatest cosine over a character's reference pictures: the Hungarian
match on it is the one of CIDS. Faces of photographs, for which the original has three more networks, are not done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from storybench.errors import AssetError
from storybench.perception.figures.observer import figures_value
from storybench.perception.observation import Array, Arrays, Figures
from storybench.perception.peers.observer import SHOWN_DIGITS, PeerObserver
from storybench.perception.peers.opening import open_peer
from storybench.perception.precision import full_precision
from storybench.perception.protocols.observer import sha256_of
from storybench.perception.protocols.transformers_features import weights_file

PROMPT = "character."  # metrics.md 4.2; the original adds the full stop
BOX_THRESHOLD = 0.25
GREY = (128, 128, 128)  # figures of a frame are painted over to look at its background
NAME = "cids"
PREPARED = ("size", "resample", "rescale_factor", "image_mean", "image_std")  # what a processor's settings decide


class CidsFigures:
    """An observer of the field ``figures``."""

    field = "figures"
    uses_captions = False

    def __init__(
        self,
        detector: nn.Module,
        processor: Any,
        looks: PeerObserver,
        cast: Mapping[str, Sequence[Image.Image]],
        sha: str,
    ) -> None:
        """Look at the references.

        Args:
            detector: ``GroundingDinoForObjectDetection`` in float32.
            processor: Its ``GroundingDinoProcessor``.
            looks: CLIP.
            cast: Reference pictures of each character.
            sha: SHA-256 of the detector's weights.
        """
        self.device = looks.device
        self.detector = detector.float().eval().requires_grad_(requires_grad=False).to(self.device)
        self.processor, self.looks, self.sha = processor, looks, sha
        self.names = tuple(sorted(cast))
        settings = processor.image_processor.to_dict()
        prepared = json.dumps([settings.get(name) for name in PREPARED], sort_keys=True, default=str)
        self._given = hashlib.sha256(prepared.encode())  # how pictures are prepared, and whose references are whose
        self.references = [self._reference(name, cast[name]) for name in self.names]  # (R, E) each

    @property
    def id(self) -> str:
        """Name and version, then the detector's weights, CLIP's, and how it is prepared and what its references are."""
        hashes = (self.sha, self.looks.sha256, self._given.hexdigest())
        return f"{NAME}/v1+" + "+".join(digest[:SHOWN_DIGITS] for digest in hashes)

    def observe(
        self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]] = ()
    ) -> list[dict[str, Array]]:
        """Return boxes, similarities, embeddings and background of each picture; captions are not looked at."""
        return [self._look(image.convert("RGB")) for image in images]

    def value(self, arrays: Arrays) -> Figures:
        """Return the figures that the arrays of one picture hold."""
        return figures_value(self.names, arrays)

    def detect(self, image: Image.Image) -> Array:
        """Return the boxes (N, 4) x0 y0 x1 y1 in whole pixels that hold a pixel, the surest first."""
        given = self.processor(images=image, text=PROMPT, return_tensors="pt").to(self.device)
        with full_precision(), torch.inference_mode():
            found = self.detector(**given)  # one picture a pass
        sure = found.logits[0].sigmoid().amax(-1)  # (queries,)
        middle, size = found.pred_boxes[0].split(2, dim=-1)  # (queries, 2) each, shares of the picture
        corners = torch.cat([middle - size / 2, middle + size / 2], dim=-1)  # (queries, 4)
        scale = torch.tensor([image.width, image.height] * 2, device=corners.device)
        whole = (corners.clamp(0, 1) * scale).int()
        kept = (sure > BOX_THRESHOLD) & (whole[:, 2:] > whole[:, :2]).all(1)
        order = torch.argsort(sure[kept], descending=True, stable=True)
        return whole[kept][order].cpu().numpy()

    def _look(self, image: Image.Image) -> dict[str, Array]:
        boxes = self.detect(image)
        rest = image.copy()
        for box in boxes:
            rest.paste(GREY, tuple(box.tolist()))
        *crops, background = self._embed([*(image.crop(tuple(box.tolist())) for box in boxes), rest])
        looks = np.stack(crops) if crops else np.zeros((0, len(background)), dtype=np.float32)
        alike = [(looks @ reference.T).max(1) for reference in self.references]  # max cosine over references
        return {
            "boxes": boxes.astype(np.float32),
            "probabilities": np.stack(alike, axis=1).astype(np.float32),
            "embeddings": looks,
            "background": background,
        }

    def _reference(self, name: str, pictures: Sequence[Image.Image]) -> Array:
        """Return the looks of a character's references: the surest box of each, or all of it where there is none."""
        crops = []
        self._given.update(f"{name}\0{len(pictures)}".encode())
        for picture in pictures:
            image = picture.convert("RGB")
            self._given.update(f"{image.size}".encode() + image.tobytes())
            boxes = self.detect(image)
            crops.append(image.crop(tuple(boxes[0].tolist())) if len(boxes) else image)
        return np.stack(self._embed(crops))

    def _embed(self, images: Sequence[Image.Image]) -> list[Array]:
        return [self.looks.value(x) for x in self.looks.observe(images)]  # unit length


def open_cids(
    detector: Path, clip_name: str, clip: Path, cast: Mapping[str, Sequence[Image.Image]], device: str = "cpu"
) -> CidsFigures:
    """Return ViStoryBench's view from local folders.

    Args:
        detector: Folder of transformers with GroundingDINO (``IDEA-Research/grounding-dino-tiny`` is the published
            Swin-T weights in that format) and its processor.
        clip_name: ``clip-vit-l14``.
        clip: Its folder.
        cast: Reference pictures of each character, one or more.
        device: Where both run.

    Raises:
        AssetError: If a folder does not hold its model.
    """
    from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

    digest = sha256_of(weights_file(detector))
    try:
        network, report = GroundingDinoForObjectDetection.from_pretrained(
            detector,
            local_files_only=True,
            use_safetensors=weights_file(detector).suffix == ".safetensors",
            weights_only=True,
            output_loading_info=True,
        )
        processor = GroundingDinoProcessor.from_pretrained(detector, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise AssetError(f"'{detector}' is no GroundingDINO that can be read: {str(error).splitlines()[0]}") from error
    if report["missing_keys"]:
        names = ", ".join(sorted(report["missing_keys"])[:3])
        raise AssetError(f"'{detector}' is no GroundingDINO: it lacks {names}; fetch the folder again.")
    return CidsFigures(network, processor, open_peer(clip_name, clip, device), cast, digest)
