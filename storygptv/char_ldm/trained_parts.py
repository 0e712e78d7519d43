"""Which parameters of Char-LDM learn (storygptv.md section 2, Trained)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from storybench.errors import ConfigError, unknown
from storygptv.char_ldm.model import CharLDM

PARTS = ("unet", "fusion", "text_encoder", "image_encoder")


def train_only(model: CharLDM, parts: Sequence[str], image_encoder_layers: int | None = None) -> dict[str, int]:
    """Freeze everything but ``parts``; return how many parameters of each learn.

    The paper trains the U-Net, the fuse module and the last two layers of the image encoder, whose final layer norm and
    projection stay frozen, as do text encoder and VAE. Without ``image_encoder`` it is the row "freeze vis" of Table 3.

    Args:
        model: Changed in place; what learns is in training mode, the rest in evaluation mode.
        parts: Of :data:`PARTS`.
        image_encoder_layers: Of the image encoder, the last so many transformer layers alone; None: all of it.

    Raises:
        ConfigError: If a part is unknown or missing, or the image encoder has fewer layers.
    """
    model.requires_grad_(False).eval()
    trained: dict[str, nn.Module] = {}
    for part in parts:
        if part not in PARTS:
            raise unknown("part to train", part, PARTS)
        module = getattr(model, part)
        if module is None:
            raise ConfigError(f"parts has {part!r}, and this Char-LDM has none: leave it out of parts.")
        if part == "image_encoder" and image_encoder_layers is not None:
            layers = list(module.vision_model.encoder.layers)
            if not 0 < image_encoder_layers <= len(layers):
                raise ConfigError(
                    f"image_encoder_layers is {image_encoder_layers}: this image encoder has {len(layers)}; leave "
                    "image_encoder out of parts to freeze it."
                )
            module = nn.ModuleList(layers[-image_encoder_layers:])
        trained[part] = module
    for module in trained.values():
        module.requires_grad_(True).train()
    return {name: sum(p.numel() for p in module.parameters()) for name, module in trained.items()}


def checkpoint_gradients(model: CharLDM) -> None:
    """Compute activations of what learns again in the backward pass: less memory, about a third more time."""
    model.unet.enable_gradient_checkpointing()
    for part in (model.image_encoder, model.text_encoder):
        if part is not None and any(p.requires_grad for p in part.parameters()):
            older = part.gradient_checkpointing_enable  # the name goes away with transformers 6
            getattr(part, "activation_checkpointing_enable", older)({"use_reentrant": False})
