"""Stage 2 as published: a folder with ``model_args.json`` and ``pretrained_ckpt.pth.tar`` (storygptv.md section 8).

Of the 137 tensors 132 are used: the [IMG] rows, the visual projection and the mapper (GILL's ``gen_text_hidden_fcs``).
Five belong to GILL's retrieval, which StoryGPT-V does not train. ``args.json`` holds options of the trainer; nothing
in it decides the model, and it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from storybench.errors import AssetError
from storygptv.aligner.mapper import LDMMapper
from storygptv.checkpoints.accounts import Accounts, Part, shapes, take, without_module
from storygptv.checkpoints.reading import read_json_object

MODEL_ARGS, WEIGHTS = "model_args.json", "pretrained_ckpt.pth.tar"
MAPPER_PREFIX = "gen_text_hidden_fcs.0."
MAPPER_HEADS, MAPPER_LAYERS = 4, 4  # published; no tensor shows the heads

_WIDTHS = {  # argument of LDMMapper -> tensor and axis that show it, and its published value
    "llm_dim": ("fc.weight", 1, 4096),
    "out_dim": ("model.weight", 0, 768),
    "num_queries": ("query_embs", 1, 77),
    "hidden": ("fc.weight", 0, 512),
    "feedforward": ("tfm.encoder.layers.0.linear1.weight", 0, 2048),
}

PARTS = (
    Part("img", "model.input_embeddings.", lambda key: "weight" if key == "rows" else key),
    Part("visual_embeddings", "model.visual_embeddings."),
    Part("mapper", f"model.{MAPPER_PREFIX}"),
)
DEAD = {
    "model.ret_text_hidden_fcs.0.model.weight": "GILL's text side of retrieval",
    "model.ret_text_hidden_fcs.0.model.bias": "GILL's text side of retrieval",
    "model.visual_fc.weight": "GILL's picture side of retrieval",
    "model.visual_fc.bias": "GILL's picture side of retrieval",
    "model.logit_scale": "GILL's temperature of retrieval",
}


class SecondStage(NamedTuple):
    """The tensors of :class:`~storygptv.aligner.heads.AlignerHeads` by name, and what became of every key."""

    heads: dict[str, Tensor]
    accounts: Accounts


class ModelArgs(NamedTuple):
    """What of ``model_args.json`` decides the model."""

    llm_model: str
    visual_tokens: int
    img_tokens: int
    out_dim: int
    num_queries: int
    max_length: int


def convert_mapper(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the published mapper under the names of :class:`~storygptv.aligner.mapper.LDMMapper`.

    Args:
        state: The mapper's own keys (``fc``, ``tfm.*``, ``model``, ``query_embs``), or keys that hold them behind
            ``gen_text_hidden_fcs.0.``, such as a whole stage 2, whose other keys are then passed over.

    Returns:
        What ``LDMMapper(llm_dim, out_dim, num_queries).load_state_dict(strict=True)`` takes; tensors are not copied.

    Raises:
        AssetError: If a key is missing, unexpected or of a shape that disagrees with the others.
    """
    given = without_module(state)
    given = _mapper_of(given) or given
    accounts = Accounts()
    parts = take([Part("mapper", "")], given, {"mapper": shapes(_mapper_like(given))}, accounts)
    accounts.check("The mapper", "give the published mapper, fc, tfm, model and query_embs")
    return parts["mapper"]


def convert_second_stage(
    state: Mapping[str, Tensor], heads: nn.Module, what: str = "The second-stage checkpoint"
) -> SecondStage:
    """Return the tensors of a published stage 2 under the names of ``AlignerHeads``.

    Args:
        state: Published key -> tensor.
        heads: Our trained parts ``img``, ``visual_embeddings`` and ``mapper`` at the sizes of ``model_args.json``;
            only keys and shapes are read, so they may lie on the meta device.
        what: The checkpoint's name, for the error.

    Raises:
        AssetError: If a key is missing, unexpected or of another shape; all of them are listed.
    """
    state = without_module(state)
    accounts = Accounts(dead={key: why for key, why in DEAD.items() if key in state})
    wanted: dict[str, dict[str, torch.Size]] = {part.name: {} for part in PARTS}
    for key, shape in shapes(heads).items():
        name, _, inner = key.partition(".")
        wanted[name][inner] = shape
    parts = take(PARTS, state, wanted, accounts)
    accounts.check(what, f"give the published folder unchanged, with {MODEL_ARGS} of the same training run")
    return SecondStage({f"{name}.{key}": t for name, part in parts.items() for key, t in part.items()}, accounts)


def read_model_args(folder: Path) -> ModelArgs:
    """Return the sizes of a published stage 2.

    Raises:
        AssetError: If the file is missing or damaged, lacks a size, or tells of a model of another build.
    """
    path = folder / MODEL_ARGS
    args = read_json_object(path)
    built = {"text_fc_mode": "gill_mapper", "text_emb_layers": [-1]}
    for key, value in built.items():
        if args.get(key, value) != value:
            raise AssetError(f"{path} has {key}={args[key]!r}; only {value!r}, as published, can be converted.")
    sizes = [
        _size(args, key, path) for key in ("n_visual_tokens", "num_tokens", "gen_emb_dim", "num_clip_tokens", "max_len")
    ]
    ids = args.get("gen_token_idx")
    if isinstance(ids, list) and len(ids) != sizes[1]:
        raise AssetError(
            f"{path} has num_tokens={sizes[1]} and {len(ids)} ids in gen_token_idx: mend the one at fault."
        )
    llm = args.get("llm_model", args.get("opt_version", ""))  # GILL's own name of the key
    return ModelArgs(str(llm), *sizes)


def _size(args: Mapping[str, Any], key: str, path: Path) -> int:
    value = args.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise AssetError(f"{path} has {key}={value!r} where a positive whole number was expected.")
    return value


def mapper_widths(given: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the widths that the tensors of a mapper show; published ones where a tensor is lost or out of shape.

    The number of layers is the published one whatever is given: a file without its last layer is not a smaller model.
    """
    widths = {
        name: given[key].shape[axis] if key in given and given[key].dim() > axis else default
        for name, (key, axis, default) in _WIDTHS.items()
    }
    if not widths["hidden"] or widths["hidden"] % MAPPER_HEADS:
        widths["hidden"] = _WIDTHS["hidden"][2]
    return widths


def published_widths(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return :func:`mapper_widths` of a whole published stage 2."""
    return mapper_widths(_mapper_of(without_module(state)))


def _mapper_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.partition(MAPPER_PREFIX)[2]: tensor for key, tensor in state.items() if MAPPER_PREFIX in key}


def _mapper_like(given: Mapping[str, Tensor]) -> nn.Module:
    """Return a mapper on the meta device with the published layers and the widths of ``given``."""
    with torch.device("meta"):
        return LDMMapper(**mapper_widths(given), heads=MAPPER_HEADS, layers=MAPPER_LAYERS)
