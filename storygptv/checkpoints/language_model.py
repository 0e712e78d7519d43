"""A language model's folder, brought into a pipeline's: weights as safetensors, never a pickle, never all in memory."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from safetensors.torch import save_file
from transformers import AutoTokenizer

from storybench.errors import AssetError
from storygptv.checkpoints.parts import apart
from storygptv.checkpoints.reading import first_line, read_json_object, read_state_dict

_INDEX = ".index.json"


def llm_config(folder: Path) -> dict[str, object]:
    """Return the configuration of a causal language model.

    Raises:
        AssetError: If the folder holds no such model.
    """
    config = read_json_object(folder / "config.json")
    if not embedding_width(config):
        raise AssetError(f"{folder / 'config.json'} names no hidden_size: give the folder of an OPT or Llama model.")
    if not _weights(folder):
        raise AssetError(f"{folder} holds no weights (*.safetensors or *.bin): give the language model's whole folder.")
    return config


def embedding_width(config: dict[str, object]) -> int:
    """Return the width e of the token embeddings, 0 if unknown; OPT may project them (``word_embed_proj_dim``)."""
    width = config.get("word_embed_proj_dim") or config.get("hidden_size")
    return width if isinstance(width, int) else 0


def bring_llm(source: Path, model: Path, tokenizer: Path) -> None:
    """Write ``source`` as the pipeline's folders ``model`` and ``tokenizer``.

    Safetensors are linked where the file system can, and else copied; PyTorch shards are converted one at a time.

    Raises:
        AssetError: If a shard is damaged or the tokenizer cannot be read.
    """
    model.mkdir(parents=True)
    for name in ("config.json", "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, model / name)
    for file in _weights(source):
        if file.name.endswith(_INDEX):
            index = read_json_object(file)
            index["weight_map"] = {k: _as_safetensors(v) for k, v in index.get("weight_map", {}).items()}
            (model / _as_safetensors(file.name)).write_text(json.dumps(index, indent=1))
        elif file.suffix == ".safetensors":
            _link(file, model / file.name)
        else:
            save_file(apart(read_state_dict(file)), model / _as_safetensors(file.name), {"format": "pt"})
    try:
        AutoTokenizer.from_pretrained(source).save_pretrained(tokenizer)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise AssetError(
            f"{source} holds no tokenizer that can be read ({first_line(error)}): give the model's whole folder."
        ) from error


def _weights(folder: Path) -> list[Path]:
    """Return the weight files and their index, safetensors rather than PyTorch's."""
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        found = sorted(p for p in folder.glob(f"{stem}*{suffix}*") if p.name.endswith((suffix, suffix + _INDEX)))
        if any(p.name.endswith(suffix) for p in found):
            return found
    return []


def _as_safetensors(name: str) -> str:
    return name.replace("pytorch_model", "model").replace(".bin", ".safetensors")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)  # a hub cache holds symbolic links
    except OSError:
        shutil.copyfile(source, target)
