"""One place where weights enter: a folder with ``manifest.json`` and the files whose SHA-256 it states.

Nothing is used before its hash has been checked, and only safetensors and JSON are read, so that a damaged or foreign
file ends in one sentence and never in wrong scores.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from storybench.errors import AssetError
from storybench.perception import catalogue
from storybench.perception.perceiver import Perceiver, Vocabulary

WEIGHTS_ROOT, MANIFEST = catalogue.WEIGHTS_ROOT, catalogue.MANIFEST
WEIGHTS, REFERENCE = "weights.safetensors", "reference.safetensors"
SCHEMA = 1
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class PerceiverAsset:
    """A perceiver ready to read, with what was measured and learned when it was trained."""

    model: Perceiver  # eval mode, float32, batch normalisation folded into the convolutions
    manifest: Mapping[str, Any]
    reference: np.ndarray  # (n, D) float64 features of true frames that the Fréchet distance compares with
    reference_group: np.ndarray  # (n,) int64, the story of each reference frame

    @property
    def id(self) -> str:
        """The protocol name of the network, e.g. ``toonsv-perceiver-v1``."""
        return str(self.manifest["id"])

    @property
    def accuracies(self) -> Mapping[str, float]:
        """Its own accuracies on true held-out frames."""
        return self.manifest["accuracies"]

    @property
    def pronoun_guess(self) -> Mapping[str, Mapping[str, float]]:
        """Pronoun class -> character -> share of train mentions that stand for it."""
        return self.manifest["pronoun_guess"]


def load_perceiver(name: str = "toonsv_perceiver", folder: Path | None = None, device: str = "cpu") -> PerceiverAsset:
    """Return the perceiver in ``folder`` (by default the shipped one called ``name``) after checking every hash.

    Raises:
        AssetError: If a file is missing, damaged, or of a schema this version cannot read.
    """
    folder = folder or WEIGHTS_ROOT / name
    manifest = read_manifest(folder, needs=("vocabulary", "widths"))
    state, _ = read_state(folder)
    reference = load(checked_bytes(folder, manifest, REFERENCE))
    model = Perceiver(Vocabulary.from_dict(manifest["vocabulary"]), tuple(manifest["widths"]))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(f"'{folder / WEIGHTS}' does not fit its manifest: {str(error).splitlines()[0]}") from error
    return PerceiverAsset(
        model=folded(model.eval()).to(device),
        manifest=manifest,
        reference=reference["features"].double().numpy(),
        reference_group=reference["group"].long().numpy(),
    )


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the checked weights of an asset folder in float32 and what its manifest says of their training."""
    manifest = read_manifest(folder, needs=("training",))
    tensors = load(checked_bytes(folder, manifest, WEIGHTS))
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, dict(manifest["training"])


def read_manifest(folder: Path, model: str = "perceiver", needs: Sequence[str] = ()) -> dict[str, Any]:
    """Return the manifest of an asset folder.

    Args:
        folder: Holds it.
        model: What ``storybench train model=`` is followed by where it is missing.
        needs: Entries that it must have beside its id and its files.

    Raises:
        AssetError: If it is missing, not JSON, of a newer schema, or lacks an entry.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise AssetError(
            f"No weights at '{folder}': expected {MANIFEST}; train them with: storybench train model={model}"
        )
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise AssetError(f"'{path}' is not JSON ({error}); restore it from the repository.") from error
    if not isinstance(manifest, dict):
        raise AssetError(f"'{path}' is no manifest of weights: expected a JSON object.")
    if manifest.get("schema") != SCHEMA:
        raise AssetError(
            f"'{path}' has schema {manifest.get('schema')!r}, this version reads {SCHEMA}; update storybench."
        )
    if missing := [key for key in ("id", "files", *needs) if key not in manifest]:
        raise AssetError(
            f"'{path}' lacks {missing[0]!r}: it is of other weights, or damaged; train or fetch them again."
        )
    if not isinstance(manifest["files"], dict):
        raise AssetError(f"'{path}' does not list its files with their SHA-256: train or fetch them again.")
    return manifest


def checked_bytes(folder: Path, manifest: Mapping[str, Any], file: str) -> bytes:
    """Return the bytes of ``file`` if their SHA-256 is the one of the manifest.

    Raises:
        AssetError: If the file is missing, or its hash differs or is not stated.
    """
    path, expected = folder / file, manifest["files"].get(file)
    if expected is None:
        raise AssetError(f"'{folder / MANIFEST}' states no SHA-256 of {file}: train or fetch the weights again.")
    if not path.is_file():
        raise AssetError(f"'{path}' is missing; restore it from the repository (git checkout -- '{path}').")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise AssetError(
            f"'{path}' has SHA-256 {found[:12]}..., expected {expected[:12]}...: damaged or replaced weights."
        )
    return data


def write_asset(folder: Path, files: Mapping[str, Mapping[str, Tensor]], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write tensors and then the manifest with their hashes, each file whole or not at all; return the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for file, tensors in files.items():
        data = save({key: value.contiguous() for key, value in tensors.items()})
        _replace(folder / file, data)
        hashes[file] = hashlib.sha256(data).hexdigest()
    whole = {"schema": SCHEMA, **manifest, "files": hashes}
    _replace(folder / MANIFEST, (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode())
    return whole


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one, never half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def half(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of ``model`` as it is shipped: float16, counters left out of the rounding."""
    return {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}


def folded(model: M) -> M:
    """Fold every batch normalisation into the convolution before it (same function, fewer passes)."""
    for module in list(model.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for i in range(len(module) - 1):
            first, second = module[i], module[i + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[i] = fuse_conv_bn_eval(first, second)
                module[i + 1] = nn.Identity()
    return model.requires_grad_(requires_grad=False).to(memory_format=torch.channels_last)
