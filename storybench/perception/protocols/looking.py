"""One pass over pictures for many protocols: each is decoded once and seen once a chain, equal pictures once in all."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from storybench.perception.cache import ObservationCache
from storybench.perception.observation import Array
from storybench.perception.protocols.observer import FeatureObserver
from storybench.perception.protocols.protocol import Protocol, Reference

CHUNK = 64  # pictures decoded at once
K = TypeVar("K", bound=Hashable)


@dataclass
class Looked(Generic[K]):
    """What was seen: the pixels of every picture by hash, and features by chain and hash."""

    pixels: dict[K, str] = field(default_factory=dict)  # picture -> SHA-256 of its pixels
    sizes: dict[K, tuple[int, int]] = field(default_factory=dict)
    features: dict[str, dict[str, Array]] = field(default_factory=lambda: defaultdict(dict))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def rows(self, chain: str, pictures: Iterable[K]) -> Array:
        """Return the features of ``pictures`` in their order, (n, D) float64."""
        seen = self.features[chain]
        return np.stack([seen[self.pixels[p]] for p in pictures]).astype(np.float64)


def chain_of(protocol: Protocol) -> str:
    """Return what decides the features of a protocol; two that differ in name or reference only share it."""
    return replace(protocol, name="", version="", reference=Reference(), stand_in=False).digest


def look(
    pictures: Mapping[K, Callable[[], Image.Image]],
    observers: Mapping[str, FeatureObserver],
    wanted: Mapping[str, Collection[K]] | None = None,
    cache: ObservationCache | None = None,
) -> Looked[K]:
    """Return the features of pictures under several chains.

    Args:
        pictures: Name -> how to decode it.
        observers: Chain -> what looks.
        wanted: Chain -> names of the pictures that it needs; by default all need all.
        cache: Where features of earlier passes lie.
    """
    seen: Looked[K] = Looked()
    queue = iter(pictures.items())
    while chunk := dict(islice(queue, CHUNK)):
        images = {name: load().convert("RGB") for name, load in chunk.items()}
        seen.pixels |= {name: pixel_hash(image) for name, image in images.items()}
        seen.sizes |= {name: image.size for name, image in images.items()}
        for chain, observer in observers.items():
            names = [name for name in images if wanted is None or name in wanted[chain]]
            _observe(seen, chain, observer, {seen.pixels[name]: images[name] for name in names}, cache)
    return seen


def pixel_hash(image: Image.Image) -> str:
    """Return the SHA-256 of an RGB picture's size and pixels."""
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def _observe(
    seen: Looked[K],
    chain: str,
    observer: FeatureObserver,
    images: Mapping[str, Image.Image],
    cache: ObservationCache | None,
) -> None:
    """Add the features of ``images`` (hash -> picture) that are not there yet."""
    started = time.perf_counter()
    store = seen.features[chain]
    new = {key: image for key, image in images.items() if key not in store}
    if cache is not None and new:
        store |= {key: observer.value(arrays) for key, arrays in cache.read(observer.id, list(new)).items()}
        new = {key: image for key, image in new.items() if key not in store}
    if new:
        found = dict(zip(new, observer.observe(list(new.values())), strict=True))
        store |= {key: observer.value(arrays) for key, arrays in found.items()}
        if cache is not None:
            cache.write(observer.id, found)
    seen.seconds[chain] += time.perf_counter() - started
