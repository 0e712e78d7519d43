"""How often a classifier is right on true test frames: counts per character that metrics correct for (metrics.md 2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from storybench.errors import AssetError
from storybench.perception.observation import Array, Reading

COUNTS = ("hits", "present", "false_alarms", "absent")


@dataclass(frozen=True)
class ReaderNoise:
    """How often a classifier is right on true test frames, per character; counts, so that their error is known."""

    names: tuple[str, ...]
    hits: Array  # (K,) frames with the character in which it is seen
    present: Array  # (K,) frames with the character
    false_alarms: Array  # (K,) frames without it in which it is seen
    absent: Array  # (K,) frames without it


def reader_noise(readings: Iterable[Reading], expected: Iterable[Collection[str]], names: Sequence[str]) -> ReaderNoise:
    """Return what a reader gets right and wrong on true frames.

    Args:
        readings: What it read in each frame.
        expected: Who is in each frame, in the same order; repeats and names outside ``names`` count for nothing.
        names: The characters to tell apart.

    Raises:
        ValueError: If there are not as many readings as truths.
    """
    seen_in, in_truth = [], []
    for reading, truth in zip(readings, expected, strict=True):
        seen_in.append([name in reading.characters for name in names])
        in_truth.append([name in truth for name in names])
    seen = np.array(seen_in, dtype=bool).reshape(-1, len(names))  # (frames, K)
    true = np.array(in_truth, dtype=bool).reshape(-1, len(names))
    return ReaderNoise(
        tuple(names),
        hits=(seen & true).sum(0),
        present=true.sum(0),
        false_alarms=(seen & ~true).sum(0),
        absent=(~true).sum(0),
    )


def noise_to_json(noise: ReaderNoise) -> dict[str, Any]:
    """Return the form that a manifest keeps: character -> its four counts."""
    columns = [np.asarray(getattr(noise, name)).tolist() for name in COUNTS]
    rows = zip(*columns, strict=True)
    return {who: dict(zip(COUNTS, map(int, row), strict=True)) for who, row in zip(noise.names, rows, strict=True)}


def noise_from_json(rows: Mapping[str, Mapping[str, int]]) -> ReaderNoise:
    """Return what :func:`noise_to_json` wrote.

    Raises:
        AssetError: If a count is missing, negative, or more than there are frames.
    """
    try:
        hits, present, false_alarms, absent = (
            np.array([int(row[name]) for row in rows.values()], dtype=np.int64) for name in COUNTS
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AssetError(f"The manifest's reader noise lacks one of {', '.join(COUNTS)} ({error}).") from error
    if (hits < 0).any() or (hits > present).any() or (false_alarms < 0).any() or (false_alarms > absent).any():
        raise AssetError("The manifest's reader noise counts more frames seen than there are: train the network again.")
    return ReaderNoise(tuple(rows), hits, present, false_alarms, absent)
