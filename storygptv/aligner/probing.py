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
from storygptv.aligner.stories import PoolStory


def name_candidates(text: str, name: str, names: Sequence[str] = NAMES) -> list[str]:
    """Return ``text`` with each name of the cast in place of ``name``; the true text first."""
    others = [other for other in names if other != name]
    return [text, *(re.sub(rf"\b{re.escape(name)}\b", other, text, flags=re.IGNORECASE) for other in others)]


def scarf_candidates(text: str, name: str, colour: str) -> list[str]:
    """Return ``text`` with each scarf colour for ``name``; the true text first."""
    stem = f"The scarf of {name} is "
    return [text.replace(f"{stem}{colour}", stem + c) for c in (colour, *(c for c in SCARF_COLOURS if c != colour))]


def nearest_is_first(predicted: Tensor, candidates: Tensor) -> bool:
    """Say whether ``predicted`` (Q, D) is nearer to the first of ``candidates`` (K, Q, D) than to the others."""
    return int((candidates - predicted.to(candidates)).norm(dim=-1).mean(-1).argmin()) == 0


@torch.no_grad()
def probe(
    predicted: Sequence[Tensor],
    stories: Sequence[PoolStory],
    condition: Callable[[list[str]], Tensor],
    names: Sequence[str] = NAMES,
    first: int = 0,
) -> dict[str, float]:
    """Return ``name_acc`` over referred characters and ``scarf_acc`` over recalled scarves, where there are any.

    Chance is one in the number of names (ToonSV: 1/9), and 1/5 for scarves.

    Args:
        predicted: One tensor (T - first, Q, D) a story.
        stories: The stories.
        condition: Text encoder of the picture model.
        names: The cast.
        first: The first frame that was predicted.
    """
    called: list[bool] = []
    scarves: list[bool] = []
    for embeddings, story in zip(predicted, stories, strict=True):
        for t, text in enumerate(story.targets[first:], first):
            told = [name for name in story.referred[t] if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)]
            referred = [name_candidates(text, name, names) for name in told[:1]]
            worn = [(k.partition(":")[2], v) for k, v in story.recalled[t].items() if k.startswith("scarf:")]
            recalled = [scarf_candidates(text, name, colour) for name, colour in worn[:1]]
            called += [nearest_is_first(embeddings[t - first], condition(texts)) for texts in referred]
            scarves += [nearest_is_first(embeddings[t - first], condition(texts)) for texts in recalled]
    right = {"name_acc": called, "scarf_acc": scarves}
    return {key: sum(values) / len(values) for key, values in right.items() if values}
