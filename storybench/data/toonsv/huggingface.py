"""ToonSV read through the ``datasets`` library: Arrow, Parquet, streaming and everything that builds on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storybench.data.toonsv.dataset import ToonSV

if TYPE_CHECKING:
    import datasets

TEXTS = ("explicit", "referential")


def features(images: bool = False) -> datasets.Features:
    """Return the columns: one row a story, one list entry a frame."""
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("int32")
    mention = {
        "frame": number,
        "start": number,
        "end": number,
        "surface": text,
        "characters": List(text),
        "kind": text,
        "form": text,
        "distance": number,
        "ambiguous": Value("bool"),
    }
    columns: dict[str, Any] = {
        "id": text,
        "captions": {mode: List(text) for mode in TEXTS},
        "mentions": {mode: List(List(mention)) for mode in TEXTS},
        "characters": List(List(text)),
        "settings": List(text),
        "details": List(List({"name": text, "value": text})),
    }
    if images:
        columns["images"] = List(Image())
    return Features(columns)


def rows(
    split: str, frames: int, size: int | None, seed: int, images: bool, source: str = ""
) -> Iterator[dict[str, Any]]:
    """Yield one row a story; ``source`` only makes the library's cache follow the code."""
    for story in ToonSV(split, frames, size, seed):
        row: dict[str, Any] = {
            "id": story.id,
            "captions": {mode: [f.captions[mode].text for f in story.frames] for mode in TEXTS},
            "mentions": {
                mode: [[asdict(m) for m in f.captions[mode].mentions] for f in story.frames] for mode in TEXTS
            },
            "characters": [list(f.characters) for f in story.frames],
            "settings": [f.setting for f in story.frames],
            "details": [[{"name": k, "value": v} for k, v in f.details.items()] for f in story.frames],
        }
        if images:
            row["images"] = [f.image for f in story.frames]
        yield row


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """Digest of the code that makes the data, so that a changed grammar is not read from an old cache."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def to_huggingface(
    split: str,
    frames: int = 5,
    size: int | None = None,
    seed: int = 0,
    images: bool = False,
    streaming: bool = False,
    cache_dir: str | None = None,
) -> datasets.Dataset | datasets.IterableDataset:
    """Return a split as a ``datasets.Dataset``.

    Args:
        split: One of train, val, test, mini and novel.
        frames: Frames a story.
        size: Number of stories; by default the split's own.
        seed: Another seed gives a fresh set.
        images: Add the drawn frames as a list of the library's ``Image``.
        streaming: Make stories while they are read (``IterableDataset``), with nothing on disk.
        cache_dir: Where the library keeps the Arrow file; by default its own cache.
    """
    from datasets import Dataset, IterableDataset

    ToonSV(split, frames, size, seed)  # a wrong argument ends here, in one sentence
    kwargs = {"split": split, "frames": frames, "size": size, "seed": seed, "images": images}
    if streaming:
        return IterableDataset.from_generator(rows, features(images), gen_kwargs=kwargs)
    kwargs["source"] = _source_digest()
    return Dataset.from_generator(rows, features(images), cache_dir=cache_dir, gen_kwargs=kwargs)
