"""What the aligner trains on: stories told twice, their true pictures as features, and the embeddings to aim at.

The target of frame t is the Char-LDM embedding of its explicit caption (``original``, as in the paper), or of the same
event in the plainest words (``plain``: a small LM carries what is shown more surely than how it was worded). A sentence
follows for each detail that an earlier picture of the story has shown: what a reader who saw the story so far can know.
Pictures are drawn and encoded once; features and targets lie in memory-mapped half-precision arrays.

N stories, T frames, V width of picture features, Q length and D width of the conditioning embedding.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.events import Event
from storybench.data.toonsv.grammar import Told, tell_story, visible_details
from storybench.data.toonsv.planner import StoryPlan, plan_story
from storybench.data.toonsv.sampling import sample_training_stories
from storybench.data.toonsv.world import SETTINGS, STAND
from storygptv.aligner.story_text import detail_subject

TargetText = Literal["original", "plain"]

_STREAM = 61  # this stage's stream of training stories


class PictureModel(Protocol):
    """The part of Char-LDM that the aligner needs."""

    def condition(self, captions: list[str]) -> Tensor:
        """Return fused text embeddings (B, Q, D)."""
        ...

    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Return pooled features (B, V) of pictures (B, 3, H, W) in [-1, 1]."""
        ...


@dataclass(frozen=True)
class PoolStory:
    """The texts of one story, one a frame."""

    explicit: tuple[str, ...]
    referential: tuple[str, ...]
    targets: tuple[str, ...]
    characters: tuple[tuple[str, ...], ...]
    referred: tuple[tuple[str, ...], ...]  # characters that the referential caption does not name
    recalled: tuple[dict[str, str], ...]  # details that earlier pictures showed and this one shows again


@dataclass(frozen=True)
class Pool:
    """Stories, picture features (N, T, V) and targets (N, T, Q, D)."""

    stories: tuple[PoolStory, ...]
    features: np.ndarray
    targets: np.ndarray


VERBS = {
    "stand": "stands",
    "walk": "walks",
    "run": "runs",
    "jump": "jumps",
    "sit": "sits",
    "sleep": "sleeps",
    "wave": "waves",
    "dance": "dances",
    "cheer": "cheers",
}
PLACES = {name: f"{'on' if name in ('beach', 'farm') else 'in'} the {name}" for name in SETTINGS}


def plain_caption(event: Event) -> str:
    """Return the event in the plainest words: who does what, from left to right, and where."""
    clauses = []
    for name in event.characters:
        action, prop = event.actions[name], event.props.get(name)
        thing = f"{'an' if prop == 'umbrella' else 'a'} {prop}"
        verb = "holds" if prop and action == STAND else VERBS[action]
        clauses.append(f"{name} {verb}" + (f" {thing}" if verb == "holds" else f" holding {thing}" if prop else ""))
    told = clauses[0] + "".join(f" {word} {c}" for word, c in zip(("while", "and"), clauses[1:], strict=False))
    return f"{told} {PLACES[event.setting]}."


def pool_story(plan: StoryPlan, told: Sequence[Told], target_text: TargetText = "original") -> PoolStory:
    """Return the texts of a planned story."""
    shown: set[str] = set()
    targets, referred, recalled = [], [], []
    for t, texts in enumerate(told):
        details = visible_details(plan, t)
        known = {key: value for key, value in details.items() if key in shown}
        shown |= set(details)
        said = texts.explicit.text if target_text == "original" else plain_caption(plan.events[t])
        targets.append(" ".join([said, *(f"{detail_subject(k)} {v}." for k, v in known.items())]))
        recalled.append(known)
        mentions = texts.referential.mentions
        named = {n for m in mentions if m.kind == "explicit" for n in m.characters}
        referred.append(tuple(n for n in plan.events[t].characters if n not in named))
    return PoolStory(
        tuple(x.explicit.text for x in told),
        tuple(x.referential.text for x in told),
        tuple(targets),
        tuple(event.characters for event in plan.events),
        tuple(referred),
        tuple(recalled),
    )


def planned_stories(split: str, count: int, frames: int, seed: int) -> list[tuple[StoryPlan, tuple[Told, ...]]]:
    """Return fresh training stories (``train``) or the first stories of another split."""
    if split == "train":
        return list(sample_training_stories(_STREAM + seed, count, frames))
    plans = [plan_story(split, k, frames, 0) for k in range(count)]
    return [(plan, tell_story(plan)) for plan in plans]


@torch.no_grad()
def build_pool(
    model: PictureModel,
    folder: Path,
    split: str,
    count: int,
    frames: int,
    seed: int = 0,
    chunk: int = 50,
    target_text: TargetText = "original",
) -> Pool:
    """Return the pool in ``folder``, drawing and encoding what is not there yet (resumes after a kill)."""
    planned = planned_stories(split, count, frames, seed)
    stories = tuple(pool_story(plan, told, target_text) for plan, told in planned)
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / "done.json"
    wanted = {"split": split, "frames": frames, "seed": seed, "target_text": target_text}
    state = json.loads(marker.read_text()) if marker.exists() else {**wanted, "count": 0}
    if {key: state[key] for key in wanted} != wanted:
        raise ValueError(f"{folder} holds another pool ({state}), wanted {wanted}: give another folder")
    done, started = 0, time.monotonic()
    if state["count"] >= count or state.get("size") == count:  # complete, or to be continued
        done = min(state["count"], count)
    for first in range(done, count, chunk):
        part = planned[first : first + chunk]
        pixels = [_pixels(scene) for plan, _ in part for scene in plan.scenes]
        features = torch.cat([model.encode_frames(torch.stack(pixels[k : k + 50])) for k in range(0, len(pixels), 50)])
        texts = [text for story in stories[first : first + chunk] for text in story.targets]
        targets = torch.cat([model.condition(texts[k : k + 50]) for k in range(0, len(texts), 50)])
        for name, rows in (("features", features), ("targets", targets)):
            file, shape = folder / f"{name}.npy", (count, frames, *rows.shape[1:])
            mode = "w+" if first == 0 else "r+"
            array = np.lib.format.open_memmap(file, mode, np.float16, shape if mode == "w+" else None)
            array[first : first + len(part)] = rows.unflatten(0, (len(part), frames)).cpu().numpy()
            array.flush()
        marker.write_text(json.dumps({**wanted, "count": first + len(part), "size": count}))
        if first // chunk % 10 == 0:
            rate = (first - done + len(part)) / (time.monotonic() - started)
            print(f"pool {split}: {first + len(part)}/{count} stories, {rate:.1f}/s", flush=True)
    features, targets = (np.load(folder / f"{name}.npy", mmap_mode="r")[:count] for name in ("features", "targets"))
    return Pool(stories, features, targets)


def _pixels(scene: object) -> Tensor:
    array = np.array(render(scene).image, dtype=np.uint8)  # type: ignore[arg-type]
    return torch.from_numpy(array).permute(2, 0, 1).float().div_(127.5).sub_(1)  # (3, H, W)
