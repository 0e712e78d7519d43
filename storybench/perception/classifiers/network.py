"""The field's classifier: Inception-v3 with one logit a label, and the files it is kept in.

Preprocessing is part of the protocol (metrics.md 2): the shorter side to 299 px by Pillow's bilinear filter, the centre
cut out, ImageNet's mean and deviation. A label is predicted if its sigmoid rounds to 1; exactly one half rounds to 0.
Weights are kept under torchvision's own names, so that ``torchvision.models.inception_v3`` loads them as well.

Legend of shapes: B pictures, N labels, D = 2048 width of the pooled features.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import Inception3, inception_v3
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from storybench.errors import AssetError
from storybench.perception import assets

SIZE_PX = 299  # metrics.md 2
WIDTH = 2048
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
VERSION = "v1"
What = Literal["characters", "settings"]


class ClassifierLogits(NamedTuple):
    """Raw outputs for a batch."""

    logits: Tensor  # (B, N)
    features: Tensor  # (B, D) pooled, before dropout
    auxiliary: Tensor | None  # (B, N) of the side branch, while training


class ClassifierNetwork(nn.Module):
    """Inception-v3 with a head of N logits.

    ``transform_input`` of torchvision is on, as in its ImageNet weights: pictures come normalised by ImageNet's mean
    and deviation, and the network itself brings them to [-1, 1], as the network was first trained.
    """

    body: Inception3

    def __init__(self, labels: int, *, auxiliary: bool = True, initialise: bool = True) -> None:
        """Make the network.

        Args:
            labels: Number of logits.
            auxiliary: Whether it has the side branch that training uses; it needs pictures of 299 px.
            initialise: Draw initial weights; False where a state is loaded next.
        """
        super().__init__()
        self.body = inception_v3(
            weights=None, num_classes=labels, aux_logits=auxiliary, init_weights=initialise, transform_input=True
        )
        self._pooled: Tensor | None = None
        self.body.avgpool.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
        self._pooled = output

    def forward(self, pixels: Tensor) -> ClassifierLogits:
        """Return the outputs for ``pixels`` (B, 3, H, W) as :func:`preprocess` makes them."""
        out = self.body(pixels)
        assert self._pooled is not None
        features, self._pooled = self._pooled.flatten(1), None  # (B, D)
        if isinstance(out, Tensor):
            return ClassifierLogits(out, features, None)
        return ClassifierLogits(out.logits, features, out.aux_logits)


def preprocess(image: Image.Image, size_px: int = SIZE_PX) -> Tensor:
    """Return a picture as the network takes it, (3, size_px, size_px) float32."""
    steps = Compose([Resize(size_px), CenterCrop(size_px), ToTensor(), Normalize(MEAN, DEVIATION)])
    pixels: Tensor = steps(image.convert("RGB"))
    return pixels


def predicted(logits: Tensor) -> Tensor:
    """Return which labels are predicted, boolean, shaped as ``logits``: the rounded sigmoid is 1 (metrics.md 2)."""
    return torch.sigmoid(logits.float()).round() > 0  # torch rounds a half to even: exactly 0.5 is 0


@dataclass(frozen=True)
class Classifier:
    """A classifier ready to look, with what its manifest says."""

    model: ClassifierNetwork  # eval mode, float32
    labels: tuple[str, ...]
    what: What
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Protocol name with the first digits of the weights' hash."""
        return f"{self.manifest['id']}+{self.manifest['files'][assets.WEIGHTS][:12]}"

    @property
    def size_px(self) -> int:
        """Side of the pictures it looks at."""
        return int(self.manifest["size_px"])


def read_classifier(folder: Path, device: str = "cpu") -> Classifier:
    """Return the classifier in an asset folder after checking its hash.

    Raises:
        AssetError: If a file is missing, damaged, or does not fit its manifest.
    """
    manifest = assets.read_manifest(folder, "classifier dataset.root=DIR", ("labels", "what", "size_px"))
    state, _ = assets.read_state(folder)
    labels = tuple(manifest["labels"])
    auxiliary = any(name.startswith("AuxLogits.") for name in state)
    model = ClassifierNetwork(len(labels), auxiliary=auxiliary, initialise=False)
    try:
        model.body.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(f"'{folder / assets.WEIGHTS}' does not fit its manifest: {_reason(error)}") from error
    return Classifier(_ready(model, device), labels, manifest["what"], manifest)


def read_published(file: Path, labels: Sequence[str], what: What, sha256: str, device: str = "cpu") -> Classifier:
    """Return a classifier that StoryGPT-V released: a state of torchvision's Inception-v3, read as tensors only.

    It was trained on train, val and test (metrics.md 2): good for comparison with published numbers, nothing else.

    Args:
        file: ``classifier_char.pt`` or ``classifier_bg.pt``.
        labels: What its logits mean, in order (datasets.md 1 and 2).
        what: Kind of its labels.
        sha256: Of the file; a part of the protocol id.
        device: Where it runs.

    Raises:
        AssetError: If the file is damaged, or of another network or number of labels.
    """
    state = read_tensors(file)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    auxiliary = any(name.startswith("AuxLogits.") for name in state)
    model = ClassifierNetwork(len(labels), auxiliary=auxiliary, initialise=False)
    try:
        model.body.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(f"'{file}' is no Inception-v3 of {len(labels)} labels: {_reason(error)}") from error
    manifest = {"id": f"storygptv-{file.stem}", "files": {assets.WEIGHTS: sha256}, "size_px": SIZE_PX}
    return Classifier(_ready(model, device), tuple(labels), what, manifest)


def start_from(model: ClassifierNetwork, file: Path) -> None:
    """Take all weights but the heads from a state of torchvision's Inception-v3, such as ImageNet's.

    Raises:
        AssetError: If the file is missing, damaged, or not of this network.
    """
    own = model.body.state_dict()
    given = read_tensors(file)
    heads = ("fc.", "AuxLogits.fc.")
    wanted = [name for name in own if not name.startswith(heads)]
    if wrong := [n for n in wanted if n not in given or given[n].shape != own[n].shape]:
        raise AssetError(
            f"'{file}' is no state of torchvision's Inception-v3: {len(wrong)} of {len(wanted)} tensors are missing or "
            f"of another shape, first {wrong[0]}."
        )
    model.body.load_state_dict({**own, **{name: given[name] for name in wanted}})


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return a state saved by torch; nothing but tensors is read.

    Raises:
        AssetError: If the file is missing or damaged, or holds anything else.
    """
    if not file.is_file():
        raise AssetError(f"No weights at '{file}': give the path of a file of torchvision's Inception-v3.")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise AssetError(f"'{file}' is damaged or holds more than tensors ({type(error).__name__}).") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AssetError(f"'{file}' is not a state of a network: expected names and tensors.")
    return state


def _ready(model: ClassifierNetwork, device: str) -> ClassifierNetwork:
    model.eval().requires_grad_(requires_grad=False).to(device)
    return model.to(memory_format=torch.channels_last)


def _reason(error: RuntimeError) -> str:
    """Return the first thing that does not fit, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]
