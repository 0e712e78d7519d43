"""Pretrained models of transformers from a folder on this machine: nothing is fetched, nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from storybench.errors import AssetError, did_you_mean

READ_BYTES = 1 << 24


def read_config(folder: Path, kinds: Collection[str]) -> dict[str, Any]:
    """Return the configuration of the model in ``folder``.

    Args:
        folder: As ``save_pretrained`` of model and processor writes it.
        kinds: The values of ``model_type`` that are understood.

    Raises:
        AssetError: If there is no model, its kind is another, or its weights are not safetensors.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise AssetError(f"No model at '{folder}': expected config.json as written by save_pretrained.")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise AssetError(f"'{path}' is not JSON ({error}); copy the folder again.") from error
    kind = str(config.get("model_type"))
    if kind not in kinds:
        raise AssetError(f"'{folder}' holds a model of type {kind!r}. {did_you_mean(kind, kinds)}")
    if not any(folder.glob("*.safetensors")):
        raise AssetError(f"'{folder}' has no *.safetensors: save the model again with safe_serialization.")
    return dict(config)


def folder_hash(folder: Path) -> str:
    """Return a SHA-256 in hex over the names and bytes of the weights, configurations and vocabularies of a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".json", ".txt", ".model"}):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    return digest.hexdigest()
