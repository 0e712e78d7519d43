"""What a predicted embedding says, without drawing it: which of several texts is it nearest to?

For each held-out frame whose caption refers to a character, the target text is rewritten with every name of the cast in
that character's place; the prediction is right if the true text's embedding is the nearest. Likewise for the colour of
a scarf that an earlier picture showed.

N frames, Q length and D width of the conditioning embedding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from storybench.data.toonsv.world import NAMES, SCARF_COLOURS
from storygptv.aligner.pool import PoolStory


def name_candidates(text: str, name: str) -> list[str]:
    """Return ``text`` with each name of the cast in place of ``name``; the true text first."""
    others = [other for other in NAMES if other != name]
    return [text, *(re.sub(rf"\b{re.escape(name)}\b", other, text) for other in others)]


def scarf_candidates(text: str, name: str, colour: str) -> list[str]:
    """Return ``text`` with each scarf colour for ``name``; the true text first."""
    stem = f"The scarf of {name} is "
    return [text.replace(f"{stem}{colour}", stem + c) for c in (colour, *(c for c in SCARF_COLOURS if c != colour))]


def nearest_is_first(predicted: Tensor, candidates: Tensor) -> bool:
    """Say whether ``predicted`` (Q, D) is nearer to the first of ``candidates`` (K, Q, D) than to the others."""
    return int((candidates - predicted).norm(dim=-1).mean(-1).argmin()) == 0


@torch.no_grad()
def probe(
    predicted: Sequence[Tensor], stories: Sequence[PoolStory], condition: Callable[[list[str]], Tensor]
) -> dict[str, float]:
    """Return ``name_acc`` (chance 1/9) over referred characters and ``scarf_acc`` (chance 1/5) over recalled scarves.

    Args:
        predicted: One tensor (T, Q, D) a story.
        stories: The stories.
        condition: Text encoder of the picture model.
    """
    names: list[bool] = []
    scarves: list[bool] = []
    for embeddings, story in zip(predicted, stories, strict=True):
        for t, text in enumerate(story.targets):
            referred = [name_candidates(text, name) for name in story.referred[t][:1]]
            worn = [(k.partition(":")[2], v) for k, v in story.recalled[t].items() if k.startswith("scarf:")]
            recalled = [scarf_candidates(text, name, colour) for name, colour in worn[:1]]
            names += [nearest_is_first(embeddings[t], condition(texts)) for texts in referred]
            scarves += [nearest_is_first(embeddings[t], condition(texts)) for texts in recalled]
    return {"name_acc": sum(names) / max(1, len(names)), "scarf_acc": sum(scarves) / max(1, len(scarves))}
