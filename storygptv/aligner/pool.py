"""What the aligner trains on, encoded once: picture features and target embeddings in memory-mapped fp16 arrays.

A pool is a folder with ``features.npy`` (F, V) and ``targets.npy`` (F, Q, D), one row a picture that differs from the
others, ``index.npy`` (N, T) from the frames of stories to rows (overlapping stories share pictures), ``stories.jsonl``
and ``done.json``, which says how far it is made. Encoding that was killed goes on where it was.

N stories, T frames, F pictures, V width of picture features, Q length and D width of the conditioning embedding.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from storybench.errors import DataError
from storygptv.aligner.stories import PoolStory, read_stories, write_stories

MARKER, STORIES = "done.json", "stories.jsonl"
BATCH = 50  # pictures or texts encoded together
SAME = 2e-2  # relative: fp16 storage, and other kernels on another machine


class PictureModel(Protocol):
    """The part of Char-LDM that the aligner needs."""

    def condition(self, captions: list[str]) -> Tensor:
        """Return fused text embeddings (B, Q, D)."""
        ...

    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Return pooled features (B, V) of pictures (B, 3, H, W) in [-1, 1]."""
        ...


@dataclass(frozen=True)
class PoolSource:
    """Stories to encode, their pictures and target texts; see :mod:`storygptv.aligner.sources`."""

    identity: dict[str, Any]  # what it was made from, for the marker
    names: tuple[str, ...]  # the cast
    stories: tuple[PoolStory, ...]
    index: np.ndarray  # (N, T) row of each frame
    texts: tuple[str, ...]  # target text of each row
    pixels: Callable[[int], Tensor]  # row -> picture (3, H, W) in [-1, 1]

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity with a hash of all texts and of which frames share a picture."""
        told = json.dumps([asdict(story) for story in self.stories] + list(self.texts))
        digest = hashlib.sha256(told.encode() + self.index.tobytes()).hexdigest()
        return {**self.identity, "pictures": len(self.texts), "sha256": digest}


@dataclass(frozen=True)
class Pool:
    """Stories over encoded pictures: the arrays of the module, mapped and not read."""

    names: tuple[str, ...]
    stories: tuple[PoolStory, ...]
    index: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    identity: Mapping[str, Any] = field(default_factory=dict)  # what it was made from

    def story_features(self, stories: Sequence[int] | np.ndarray | slice) -> Tensor:
        """Return the features (B, T, V) of some stories in fp32."""
        return torch.from_numpy(np.asarray(self.features[self.index[stories]], np.float32))

    def story_targets(self, stories: Sequence[int] | np.ndarray | slice) -> Tensor:
        """Return the targets (B, T, Q, D) of some stories in fp32."""
        return torch.from_numpy(np.asarray(self.targets[self.index[stories]], np.float32))

    def first(self, count: int) -> Pool:
        """Return the pool of the first ``count`` stories."""
        return replace(self, stories=self.stories[:count], index=self.index[:count])


@torch.no_grad()
def build_pool(
    source: PoolSource, folder: Path, model: PictureModel, chunk: int = 250, say: Callable[[str], None] | None = print
) -> Pool:
    """Return the pool in ``folder``, encoding what is not there yet (resumes after a kill).

    Args:
        source: The stories.
        folder: Where to.
        model: Char-LDM.
        chunk: Pictures between two saves.
        say: Takes a line of progress now and then; None keeps quiet.

    Raises:
        DataError: If the folder holds a pool of other stories or of another Char-LDM.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted, count = source.fingerprint(), len(source.texts)
    state = json.loads((folder / MARKER).read_text()) if (folder / MARKER).exists() else {**wanted, "done": 0}
    if {**state, "done": 0} != {**wanted, "done": 0}:
        differs = next(key for key in {**wanted, **state} if wanted.get(key) != state.get(key))
        raise DataError(
            f"'{folder}' holds embeddings of other stories ({differs}: {state.get(differs)}, wanted "
            f"{wanted.get(differs)}): give another folder, or remove it."
        )
    if not state["done"]:
        write_stories(folder / STORIES, source.names, source.stories)
        np.save(folder / "index.npy", source.index)
    else:
        _check_model(source, folder, model)
    started = time.monotonic()
    for first in range(state["done"], count, chunk):
        rows = range(first, min(first + chunk, count))
        parts = {"features": _features(source, rows, model), "targets": _targets(source, rows, model)}
        for name, values in parts.items():
            file, shape = folder / f"{name}.npy", (count, *values.shape[1:])
            fresh = first == 0
            array = np.lib.format.open_memmap(file, "w+" if fresh else "r+", np.float16, shape if fresh else None)
            array[rows.start : rows.stop] = values.float().cpu().numpy()
            array.flush()
        _write(folder / MARKER, json.dumps({**wanted, "done": rows.stop}))
        if say and (first // chunk % 8 == 0 or rows.stop == count):
            rate = (rows.stop - state["done"]) / (time.monotonic() - started)
            say(f"{folder.name}: {rows.stop}/{count} pictures, {rate:.1f}/s")
    return open_pool(folder)


def open_pool(folder: str | Path) -> Pool:
    """Return a finished pool.

    Raises:
        DataError: If there is none, or it is not finished.
    """
    folder = Path(folder)
    command = "run storybench train model=storygptv stage=embeddings"
    if not (folder / MARKER).exists():
        raise DataError(f"No embeddings at '{folder}': {command} first, or give embeddings=DIR.")
    state = json.loads((folder / MARKER).read_text())
    if state["done"] < state["pictures"]:
        raise DataError(f"'{folder}' has {state['done']} of {state['pictures']} pictures: {command} again to go on.")
    names, stories = read_stories(folder / STORIES)
    arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("features", "targets"))
    return Pool(names, stories, np.load(folder / "index.npy"), *arrays, state)


def _features(source: PoolSource, rows: Sequence[int], model: PictureModel) -> Tensor:
    """Return the features (n, V) of the pictures of ``rows``; pictures of one size are encoded together."""
    found = []
    for k in range(0, len(rows), BATCH):
        pixels = [source.pixels(row) for row in rows[k : k + BATCH]]
        if len({p.shape for p in pixels}) == 1:
            found.append(model.encode_frames(torch.stack(pixels)))
        else:
            found += [model.encode_frames(p[None]) for p in pixels]
    return torch.cat(found)


def _targets(source: PoolSource, rows: Sequence[int], model: PictureModel) -> Tensor:
    """Return the targets (n, Q, D) of ``rows``."""
    texts = [source.texts[row] for row in rows]
    return torch.cat([model.condition(texts[k : k + BATCH]) for k in range(0, len(texts), BATCH)])


def _check_model(source: PoolSource, folder: Path, model: PictureModel) -> None:
    """Compare row 0 with what ``model`` makes of it now.

    Raises:
        DataError: If they differ: half of a pool from another model would train without a word.
    """
    for name, now in (("features", _features(source, [0], model)), ("targets", _targets(source, [0], model))):
        kept = torch.from_numpy(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")[:1], np.float32))
        now = now.float().cpu()
        if kept.shape != now.shape or (kept - now).norm() > SAME * now.norm():
            raise DataError(f"'{folder}' holds {name} of another Char-LDM: give another folder, or remove it.")


def _write(path: Path, text: str) -> None:
    """Write so that a kill leaves the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)
