"""The fingerprint: which frames a run stands for.

Two runs with one fingerprint draw the same frames, up to floating-point rounding between devices and batch sizes.
Inside: everything that decides a frame. Outside: where and how fast it is computed. Raise ``FINGERPRINT_VERSION`` when
the same inputs would name other frames than before (another seed rule, another canonical form); every run then starts
anew.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from storybench.errors import ConfigError
from storybench.story import Story

FINGERPRINT_VERSION = 1
PROTOCOL_VERSION = 1  # how stories are handed to a model and frames stored (visualizer.py, frames.py)
DIGITS = 16

# Every field of storybench.cli.config.RunConfig is in exactly one of these; a test fails on a field in neither.
FIELDS_IN = frozenset({"model", "dataset", "subset", "text", "select", "limit", "seed"})
FIELDS_OUT = frozenset(
    {"batch_size", "device", "run_root", "format", "paired", "counterfactual", "metrics", "rescore", "paper"}
)


def canonical_json(value: object) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces, no NaN.

    Raises:
        ConfigError: If it holds something JSON cannot state exactly.
    """
    return json.dumps(
        _plain(value, "identity"), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def fingerprint(*, dataset: str, data_hash: str, subset: str, text: str, model: Mapping[str, object], seed: int) -> str:
    """Return the name of a run, 16 hexadecimal digits.

    Args:
        dataset: Name of the data set.
        data_hash: From :func:`data_hash` over the stories that are drawn (length and selection are in it).
        subset: Subset of the data set.
        text: Text mode.
        model: The model's ``identity()``, weights hashes and sampler settings inside.
        seed: Base seed.
    """
    identity = {
        "fingerprint_version": FINGERPRINT_VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "dataset": dataset,
        "data_hash": data_hash,
        "subset": subset,
        "text": text,
        "model": dict(model),
        "seed": seed,
    }
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:DIGITS]


def data_hash(stories: Sequence[Story], text: str) -> str:
    """Return the SHA-256 of what is asked and what is expected: ids, captions, mentions, labels; not of pixels."""
    total = hashlib.sha256()
    for story in stories:
        total.update(canonical_json(_story_facts(story, text)).encode())
        total.update(b"\n")
    return total.hexdigest()


def _story_facts(story: Story, text: str) -> dict[str, object]:
    """Return one story as plain data, in one text mode."""
    frames = []
    for frame in story.frames:
        caption = frame.captions[text]
        mentions = [
            [m.frame, m.start, m.end, m.surface, list(m.characters), m.kind, m.form, m.distance, m.ambiguous]
            for m in caption.mentions
        ]
        frames.append([caption.text, mentions, list(frame.characters), frame.setting, dict(frame.details)])
    return {"id": story.id, "cast": [[c.name, c.pronoun, list(c.aliases)] for c in story.cast], "frames": frames}


def _plain(value: Any, where: str) -> Any:
    """Return ``value`` as dicts with string keys, lists and scalars, or say what cannot be hashed."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ConfigError(
        f"{where} is {value!r} ({type(value).__name__}): identity() must hold text, numbers, lists and mappings."
    )
