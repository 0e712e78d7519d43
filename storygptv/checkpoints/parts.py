"""Our parts, empty, at the sizes of a base; and one part written to its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from storybench.errors import AssetError
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.checkpoints.reading import first_line, read_json_object

VIT_L_14 = Path(__file__).parents[1] / "configs" / "sd15" / "image_encoder"  # Stable Diffusion holds none


def empty_parts(base: Path, image_encoder: Path | None = None, vae: bool = False) -> dict[str, nn.Module]:
    """Return the parts of stage 1 on the meta device, at the sizes of a Stable Diffusion folder.

    Args:
        base: A diffusers folder with the configurations of ``text_encoder``, ``unet`` and ``vae``.
        image_encoder: Folder with the configuration of the CLIP vision model; by default ViT-L/14.
        vae: Whether the autoencoder is wanted too.

    Raises:
        AssetError: If a configuration is missing, damaged or not of such a part.
    """
    text = read_json_object(base / "text_encoder" / "config.json")
    unet = read_json_object(base / "unet" / "config.json")
    vision = read_json_object((image_encoder or VIT_L_14) / "config.json")
    if "vision_config" in vision:  # the folder of a whole CLIP model
        vision = {"projection_dim": vision.get("projection_dim"), **vision["vision_config"]}
    parts = {
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**text)),
        "image_encoder": lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**vision)),
        "unet": lambda: UNet2DConditionModel.from_config(unet),
        "fusion": lambda: CharacterFusion(int(text["hidden_size"])),
    }
    if vae:
        config = read_json_object(base / "vae" / "config.json")
        parts["vae"] = lambda: AutoencoderKL.from_config(config)
    built = {}
    for name, make in parts.items():
        try:
            with torch.device("meta"):
                built[name] = make()
        except (TypeError, ValueError, KeyError, AttributeError, StrictDataclassError) as error:
            raise AssetError(
                f"The configuration of {name} cannot be built ({first_line(error)}): give a base as published."
            ) from error
    return built


def write_part(part: Any, tensors: Mapping[str, Tensor], folder: Path, dtype: torch.dtype) -> int:
    """Give an empty part its tensors, write it as its library does, and return its number of parameters.

    Args:
        part: A part on the meta device; it holds the tensors afterwards.
        tensors: What its ``load_state_dict(strict=True)`` takes.
        folder: Where to write.
        dtype: Of the floating-point tensors.

    Raises:
        AssetError: If a tensor is not finite, or not any more in ``dtype``.
    """
    ready = apart(tensors, dtype)
    for key, tensor in ready.items():
        if not torch.isfinite(tensor).all():
            was = "" if torch.isfinite(tensors[key]).all() else " as given"
            raise AssetError(
                f"{folder.name}/{key} has values that are not finite in {str(dtype).removeprefix('torch.')}{was}: "
                "choose dtype=float32, or take the checkpoint again from its source."
            )
    part.load_state_dict(ready, strict=True, assign=True)
    part.save_pretrained(folder)
    return sum(tensor.numel() for tensor in ready.values())


def apart(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Return ``tensors`` in memory that no two share, as safetensors wants it; what is so already is not copied.

    Args:
        tensors: By name; views of one another (tied weights, a flat buffer) are copied.
        dtype: Of the floating-point tensors; None leaves them as they are.
    """
    result: dict[str, Tensor] = {}
    places: set[int] = set()
    for key, tensor in tensors.items():
        cast = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
        cast = cast.contiguous()
        whole = cast.untyped_storage().nbytes() == cast.numel() * cast.element_size()
        if not whole or cast.data_ptr() in places:
            cast = cast.clone()
        places.add(cast.data_ptr())
        result[key] = cast
    return result
