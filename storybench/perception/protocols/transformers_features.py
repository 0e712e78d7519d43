"""DINOv2 and CLIP image features from folders that ``save_pretrained`` wrote; nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from storybench.errors import AssetError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # as published; the second is read as tensors only


class _Dinov2(nn.Module):
    """The class token after the last layer norm, (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixel_values=pixels).last_hidden_state[:, 0]


class _Clip(nn.Module):
    """The projected image embedding with unit norm, (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        embeds = self.model(pixel_values=pixels).image_embeds
        return embeds / embeds.norm(dim=-1, keepdim=True)


def dinov2(folder: Path) -> nn.Module:
    """Return DINOv2 (``facebook/dinov2-large`` for ViT-L/14) from a local folder.

    Raises:
        AssetError: If the folder holds no such model.
    """
    from transformers import Dinov2Model

    return _Dinov2(_pretrained(Dinov2Model, folder, "DINOv2"))


def clip(folder: Path) -> nn.Module:
    """Return CLIP's image side (``openai/clip-vit-large-patch14-336``) from a local folder.

    Raises:
        AssetError: If the folder holds no such model.
    """
    from transformers import CLIPVisionModelWithProjection

    return _Clip(_pretrained(CLIPVisionModelWithProjection, folder, "CLIP"))


def weights_file(folder: Path) -> Path:
    """Return the file of ``folder`` whose hash names the weights.

    Raises:
        AssetError: If there is none.
    """
    found = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not found:
        raise AssetError(f"No {' or '.join(WEIGHTS)} in '{folder}': expected a folder of transformers.")
    return found[0]


def _pretrained(kind: Any, folder: Path, what: str) -> nn.Module:
    try:
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=weights_file(folder).suffix == ".safetensors",
            weights_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise AssetError(f"'{folder}' is no {what} model that can be read: {str(error).splitlines()[0]}") from error
    if report["missing_keys"]:
        names = ", ".join(sorted(report["missing_keys"])[:3])
        raise AssetError(f"'{folder}' is no {what} model: it lacks {names}; fetch the folder again.")
    return model
