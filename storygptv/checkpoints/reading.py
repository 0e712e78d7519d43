"""Reading published weight files: tensors come back, mapped from disk; anything else is one sentence, and is not run.

A ``.bin`` or ``.tar`` of PyTorch is a pickle, and a pickle is a program. ``torch.load(weights_only=True)`` builds
tensors and containers from a closed list and refuses every other name.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from storybench.errors import AssetError

_NAME = re.compile(r"GLOBAL ([\w.]+)")  # what torch says it refused
_AGAIN = "take the file again from its source"


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a PyTorch or safetensors file; their memory is the file, until they are changed.

    Args:
        path: A flat state dict, or one under the only key ``state_dict`` as stage 2 writes it.

    Raises:
        AssetError: If the file is missing, damaged, or holds anything but named tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise AssetError(f"No weights at {path}: give the file that was published.")
    content = _load(path)
    if isinstance(content, dict) and set(content) == {"state_dict"}:
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise AssetError(f"{path} holds {_kind(content)} where named tensors were expected: {_AGAIN}.")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise AssetError(f"{path} holds {_kind(value)} under {key!r} where a tensor was expected: {_AGAIN}.")
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise AssetError(f"{path} holds no plain values under {key!r} ({value.layout}, {value.device}): {_AGAIN}.")
    return {key: value.detach() for key, value in content.items()}


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise AssetError(f"{path} is damaged ({first_line(error)}): {_AGAIN}.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the pickle's version: what is wrong is said below
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap can only be used" not in str(error):
                    raise
                return torch.load(path, map_location="cpu", weights_only=True)  # written before PyTorch 1.6
    except pickle.UnpicklingError as error:
        name = _NAME.search(str(error))
        asks = f"asks for {name[1]}, which is no tensor" if name else "is no file of tensors"
        raise AssetError(f"{path} {asks}; it was not opened, because that could run a program: {_AGAIN}.") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise AssetError(f"{path} is damaged ({first_line(error)}): {_AGAIN}.") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Return a JSON file that holds an object.

    Raises:
        AssetError: If it is missing, damaged or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AssetError(f"No readable file at {path}: give the folder as it was published.") from error
    except (ValueError, RecursionError) as error:
        raise AssetError(f"{path} is not JSON ({first_line(error)}): {_AGAIN}.") from error
    if not isinstance(content, dict):
        raise AssetError(f"{path} holds {_kind(content)} where an object was expected: {_AGAIN}.")
    return content


def _kind(value: object) -> str:
    return "nothing" if isinstance(value, dict) and not value else f"a value of type {type(value).__name__}"


def first_line(error: Exception) -> str:
    """Return the first line of what ``error`` says, as a part of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".:") if lines else type(error).__name__
