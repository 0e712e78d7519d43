"""Loading Segment Anything: the official package, and an official or fine-tuned checkpoint by path; no download."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from storybench.errors import AssetError, ConfigError, unknown

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

SOURCE = "https://dl.fbaipublicfiles.com/segment_anything"
_BLOCK_BYTES = 1 << 22


class Official(NamedTuple):
    """One published checkpoint; ``width`` is that of its image encoder, which tells the types apart."""

    file: str
    sha256: str
    width: int


OFFICIAL = {
    "vit_h": Official("sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 1280),
    "vit_l": Official("sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1024),
    "vit_b": Official("sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 768),
}


class LoadedSam(NamedTuple):
    """A SAM in evaluation mode on the CPU, and what its checkpoint was."""

    sam: Sam
    model_type: str
    sha256: str
    official: bool


def load_sam(checkpoint: Path | str, model_type: str = "vit_h", sha256: str | None = None) -> LoadedSam:
    """Load a SAM of a type that the official package knows.

    Args:
        checkpoint: The ``.pth`` file, read with ``weights_only=True``: tensors, never code.
        model_type: ``vit_h``, ``vit_l``, ``vit_b``, or another entry of ``segment_anything.sam_model_registry``.
        sha256: What the file's SHA-256 must be; None to take any. It is reported either way.

    Raises:
        ConfigError: If segment-anything is not installed or the type is unknown.
        AssetError: If the file is missing, damaged, of another SHA-256 or of another type.
    """
    registry = _registry()
    if model_type not in registry:
        raise unknown("SAM model_type", model_type, registry)
    path = Path(checkpoint)
    if not path.is_file():
        raise AssetError(f"No SAM checkpoint at '{path}': {_where(model_type)}.")
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256.strip().lower():
        raise AssetError(
            f"'{path}' has SHA-256 {digest}, not {sha256} as given: fetch the file again; {_where(model_type)}."
        )
    state = _tensors(path, model_type)
    sam = registry[model_type]()
    try:
        sam.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(_other_type(path, model_type, state)) from error
    return LoadedSam(
        sam.eval().requires_grad_(False), model_type, digest, digest in {o.sha256 for o in OFFICIAL.values()}
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks: ViT-H is 2.6 GB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _registry() -> dict[str, Any]:
    try:
        from segment_anything import sam_model_registry
    except ImportError as error:
        raise ConfigError(
            f"Masks need the package segment-anything, which cannot be imported ({error}): "
            "install it with pip install 'storybench[masks]'."
        ) from error
    return {name: build for name, build in sam_model_registry.items() if name != "default"}  # the same as vit_h


def _where(model_type: str) -> str:
    """Say where the checkpoint of a type is published; all of them for a type of somebody's own."""
    wanted = [OFFICIAL[model_type]] if model_type in OFFICIAL else list(OFFICIAL.values())
    files = ", ".join(f"{SOURCE}/{official.file}" for official in wanted)
    return f"give checkpoint=FILE of model_type {model_type}; the official checkpoints are {files}"


def _tensors(path: Path, model_type: str) -> dict[str, torch.Tensor]:
    try:  # mapped, so that the file is not in memory beside the model; PyTorch's old format cannot be
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise AssetError(
            f"'{path}' is damaged or holds something other than tensors ({type(error).__name__}); nothing in it was "
            f"run: fetch it again; {_where(model_type)}."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise AssetError(f"'{path}' is not the state of a SAM, names and tensors: {_where(model_type)}.")
    return state


def _other_type(path: Path, model_type: str, state: dict[str, torch.Tensor]) -> str:
    """Return the sentence for a state that does not fit, with the type that it looks like."""
    embedding = state.get("image_encoder.pos_embed")  # (1, 64, 64, width)
    width = None if embedding is None else embedding.shape[-1]
    looks = [name for name, official in OFFICIAL.items() if official.width == width and name != model_type]
    mend = f"it looks like {looks[0]}, give model_type={looks[0]}" if looks else _where(model_type)
    return f"'{path}' does not fit a SAM of model_type {model_type}: {mend}."
