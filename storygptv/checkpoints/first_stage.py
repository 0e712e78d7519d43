"""Stage 1 as published: ``pytorch_model.bin``, the flat state dict of the whole Char-LDM (storygptv.md section 8).

| prefix            | our part        | spelling                                                       |
|-------------------|-----------------|----------------------------------------------------------------|
| text_encoder.     | text_encoder    | without ``text_model.``, which some transformers releases have |
| image_encoder.    | image_encoder   | ``pre_layrnorm`` (sic)                                         |
| vae.              | vae (optional)  | ``query`` .. ``proj_attn`` or ``to_q`` .. ``to_out.0``         |
| unet.             | unet            | as diffusers                                                   |
| postfuse_module.  | fusion          | ours                                                           |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from storygptv.checkpoints.accounts import Accounts, Part, shapes, take, without_module

_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_VAE_OLD = re.compile(rf"(\.attentions\.\d+\.)({'|'.join(_VAE_ATTENTION)})(?=\.)")


def _text_spelling(key: str) -> str:
    return key.removeprefix("text_model.")


def _image_spelling(key: str) -> str:
    return key.replace("vision_model.pre_layernorm.", "vision_model.pre_layrnorm.")


def _vae_spelling(key: str) -> str:
    return _VAE_OLD.sub(lambda found: found[1] + _VAE_ATTENTION[found[2]], key)


PARTS = (
    Part("text_encoder", "text_encoder.", _text_spelling),
    Part("image_encoder", "image_encoder.", _image_spelling),
    Part("vae", "vae.", _vae_spelling),
    Part("unet", "unet."),
    Part("fusion", "postfuse_module."),
)
VAE_OF_BASE = "frozen, and rounded to bf16 here; the autoencoder of the base is taken"


class FirstStage(NamedTuple):
    """Part -> our key -> tensor as stored, and what became of every published key."""

    parts: dict[str, dict[str, Tensor]]
    accounts: Accounts


def convert_first_stage(
    state: Mapping[str, Tensor], modules: Mapping[str, nn.Module], what: str = "The first-stage checkpoint"
) -> FirstStage:
    """Return the tensors of a published ``StoryModel`` state dict under the keys of our parts.

    Args:
        state: Published key -> tensor.
        modules: Our parts ``text_encoder``, ``image_encoder``, ``unet``, ``fusion`` and, if the published autoencoder
            is wanted, ``vae``; only keys and shapes are read, so they may lie on the meta device.
        what: The checkpoint's name, for the error.

    Returns:
        What ``load_state_dict(strict=True)`` of the parts takes; ``vae`` only if asked for and given.

    Raises:
        AssetError: If a key is missing, unexpected or of another shape; all of them are listed.
    """
    state = without_module(state)
    accounts = Accounts()
    wanted = {name: shapes(module) for name, module in modules.items()}
    if "vae" not in wanted:
        accounts.dead |= {key: VAE_OF_BASE for key in state if key.startswith("vae.")}
    elif not any(key.startswith("vae.") for key in state):
        del wanted["vae"]  # the published trainer kept it in the file; others need not
    parts = take(PARTS, state, wanted, accounts)
    accounts.check(what, "give the published pytorch_model.bin and a base of the sizes that it was trained from")
    return FirstStage(parts, accounts)
