"""Frozen features computed once: fp16 arrays in memory-mapped files, with an index that says what they are of.

A cache is a folder ``<root>/<identity hash>`` of chunk files ``<name>-<chunk>.npy`` and, once all are there,
``index.json``. The hash covers what decides the numbers (weights, settings, keys), so a changed model never reads what
another one made. Chunks are written under another name and then renamed: a build that was killed continues with the
first missing chunk, and several processes build different chunks of one cache without a lock. Reading maps the files,
so that processes of one machine share the pages and a cache may be larger than memory.

A CLIP ViT-L/14 feature is 2 kB, a condition of 77 x 768 is 118 kB; the published code keeps its conditions, 2.9 GB, in
one pickle that it loads whole, twice (storygptv.md section 7).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from storybench.errors import DataError
from storygptv.shares import process_state

FORMAT = 1  # changes when the layout does; part of the identity
INDEX = "index.json"
Compute = Callable[[Sequence[str]], Mapping[str, Tensor]]


def module_hash(module: nn.Module) -> str:
    """Return the SHA-256 over names, dtypes and bytes of a module's state: the same weights, the same features."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def identity_hash(identity: Mapping[str, Any], keys: Sequence[str], chunk: int) -> str:
    """Return 16 hexadecimal digits for what decides a cache's content."""
    told = {"format": FORMAT, "identity": identity, "keys": list(keys), "chunk": chunk}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def build_features(
    root: Path | str, keys: Sequence[str], compute: Compute, identity: Mapping[str, Any], chunk: int = 1024
) -> FeatureCache:
    """Return the cache of ``keys`` under ``root``, after computing what it lacks.

    Under ``accelerate launch`` every process calls this; each computes its share of the chunks.

    Args:
        root: Folder of caches, one sub-folder an identity; on several machines one that all see.
        keys: Names of the samples, without repetition; row i is of ``keys[i]``.
        compute: Maps n keys to tensors (n, ...) by name, of the same names and shapes each time.
        identity: JSON values that decide the features beside the keys: :func:`module_hash` of the frozen network, the
            picture size, the data's version.
        chunk: Rows a file.

    Raises:
        DataError: If keys repeat, or features are not finite in fp16.
    """
    if len(set(keys)) != len(keys):
        raise DataError(f"{len(keys) - len(set(keys))} of {len(keys)} keys of a feature cache repeat: name each once.")
    state = process_state()
    folder = Path(root) / identity_hash(identity, keys, chunk)
    if not (folder / INDEX).exists():
        folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, len(keys), chunk)
        for number, start in list(enumerate(starts))[state.process_index :: state.num_processes]:
            if not (folder / _done(number)).exists():
                _write_chunk(folder, number, list(keys[start : start + chunk]), compute)
        state.wait_for_everyone()
        if state.is_main_process:
            chunks = [json.loads((folder / _done(number)).read_text()) for number in range(len(starts))]
            index = {"format": FORMAT, "identity": dict(identity), "keys": list(keys), "chunk": chunk, "files": chunks}
            _atomic_write(folder / INDEX, json.dumps(index).encode())
    state.wait_for_everyone()
    return FeatureCache(folder)


class FeatureCache:
    """A finished cache, read row by row from memory-mapped files.

    Raises:
        DataError: If the folder holds no finished cache of this format, or a file is missing or cut short.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        try:
            index = json.loads((self.folder / INDEX).read_text())
        except FileNotFoundError as error:
            raise DataError(
                f"No finished feature cache in {self.folder}: run its build again, it continues."
            ) from error
        if index.get("format") != FORMAT:
            raise DataError(f"{self.folder} has format {index.get('format')}, expected {FORMAT}: build it anew.")
        self.identity: dict[str, Any] = index["identity"]
        self.keys: list[str] = index["keys"]
        self.rows = {key: row for row, key in enumerate(self.keys)}
        self._chunk: int = index["chunk"]
        self._files: list[dict[str, dict[str, str]]] = index["files"]
        self.names = sorted(self._files[0]) if self._files else []
        self._arrays = {name: [self._map(files[name]["file"]) for files in self._files] for name in self.names}

    def __len__(self) -> int:
        return len(self.keys)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one row of array ``name``."""
        return tuple(self._arrays[name][0].shape[1:])

    def __getitem__(self, keys: Sequence[str]) -> dict[str, Tensor]:
        """Return the rows of n ``keys``: by name a float16 tensor (n, ...).

        Raises:
            DataError: If a key is not in the cache.
        """
        return {name: self.read(name, keys) for name in self.names}

    def read(self, name: str, keys: Sequence[str]) -> Tensor:
        """Return array ``name`` at n ``keys`` as a float16 tensor (n, ...).

        Raises:
            DataError: If a key is not in the cache.
        """
        missing = [key for key in keys if key not in self.rows]
        if missing:
            raise DataError(f"{self.folder} lacks {len(missing)} of {len(keys)} keys, such as {missing[0]!r}: rebuild.")
        rows = np.array([self.rows[key] for key in keys], np.int64)
        out = np.empty((len(rows), *self.shape(name)), np.float16)
        for number in np.unique(rows // self._chunk):
            here = rows // self._chunk == number
            out[here] = self._arrays[name][number][rows[here] % self._chunk]
        return torch.from_numpy(out)

    def verify(self) -> None:
        """Compare every file with its SHA-256, which reads all of it.

        Raises:
            DataError: If a file has changed since it was written.
        """
        for files in self._files:
            for entry in files.values():
                if _sha256(self.folder / entry["file"]) != entry["sha256"]:
                    raise DataError(f"{self.folder / entry['file']} is not what was written: remove the folder.")

    def _map(self, file: str) -> np.ndarray:
        try:
            return np.load(self.folder / file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder / file} is missing or cut short: remove the folder.") from error


def _done(number: int) -> str:
    """Return the name of the file that says that a chunk is complete, and with which hashes."""
    return f"chunk-{number:05d}.json"


def _write_chunk(folder: Path, number: int, keys: list[str], compute: Compute) -> None:
    """Compute the rows of ``keys`` and write them; the file of hashes comes last."""
    with torch.no_grad():
        features = compute(keys)
    entries = {}
    for name, tensor in features.items():
        if len(tensor) != len(keys):
            raise DataError(f"Feature {name!r} has {len(tensor)} rows for {len(keys)} keys: expected one a key.")
        half = tensor.detach().to("cpu", torch.float16)  # (n, ...)
        odd = (~torch.isfinite(half.reshape(len(keys), -1))).any(1).nonzero().flatten()
        if len(odd):
            raise DataError(
                f"Feature {name!r} of {keys[int(odd[0])]!r} is not finite in fp16: check its picture or text."
            )
        file = f"{name}-{number:05d}.npy"
        temporary = folder / f"{file}.tmp"
        with temporary.open("wb") as stream:
            np.save(stream, half.contiguous().numpy(), allow_pickle=False)
        entries[name] = {"file": file, "sha256": _sha256(temporary)}
        os.replace(temporary, folder / file)
    _atomic_write(folder / _done(number), json.dumps(entries).encode())


def _atomic_write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
