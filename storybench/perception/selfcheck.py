"""The last step of training: what the perceiver gets right on true frames, what distances refer to, and the manifest.

The accuracies here are the ceiling of every metric that looks through the network. They are measured on the weights as
shipped (rounded to float16, loaded again), on test stories, and on scenes with duplicates that no story contains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from storybench.coreference.chance import cross_frame_mentions, learn_pronoun_guess
from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.drawing.render import render
from storybench.perception import assets
from storybench.perception.observation import Reading
from storybench.perception.perceiver import Perceiver
from storybench.perception.reading import PerceiverObserver
from storybench.perception.scenes import random_scene
from storybench.story import Frame

REFERENCE_START, REFERENCE_STORIES = 900_000, 500  # of train: seen by no training, in no other split
REFERENCE_ID = "train-900000-900499"
GUESS_STORIES = 2_000  # train stories that the best constant guess per pronoun is learned from
AT_ONCE = 64  # true frames held in memory
RANDOM_SCENES, RANDOM_SEED = 600, 7_071  # held-out scenes with duplicates and empty ones

Read = Callable[[Sequence[Image.Image]], list[Reading]]


def finish(model: Perceiver, folder: Path, facts: Mapping[str, Any], check_stories: int) -> dict[str, Any]:
    """Write the trained ``model`` with its manifest to ``folder`` and return the manifest.

    Args:
        model: Trained, in any mode.
        folder: Where weights, reference features and manifest go.
        facts: What training knows: id, vocabulary, widths, settings, time.
        check_stories: Test stories whose true frames are read.
    """
    draft = {**facts, "pronoun_guess": {}, "accuracies": {}, "reference": {"id": REFERENCE_ID}}
    empty = {"features": torch.zeros(0, 1), "group": torch.zeros(0, dtype=torch.int16)}
    files = {assets.WEIGHTS: assets.half(model), assets.REFERENCE: empty}
    assets.write_asset(folder, files, draft)
    read = PerceiverObserver(assets.load_perceiver(folder=folder)).read
    features, group = reference_features(read)
    files[assets.REFERENCE] = {
        "features": torch.from_numpy(features).half(),
        "group": torch.from_numpy(group.astype(np.int16)),
    }
    train = ToonSV("train")
    mentions = (m for k in range(GUESS_STORIES) for f in train[k].frames for m in f.captions["referential"].mentions)
    test = ToonSV("test")
    frames = [f for k in range(check_stories) for f in test[k].frames]
    manifest = {
        **facts,
        "reference": {
            "id": REFERENCE_ID,
            "frames": len(features),
            "stories": REFERENCE_STORIES,
            "what": "true frames of ToonSV train stories 900000 to 900499, features in float16",
        },
        "pronoun_guess": learn_pronoun_guess(cross_frame_mentions(mentions)),
        "accuracies": {**frame_accuracies(read, frames), **scene_accuracies(read)},
    }
    return assets.write_asset(folder, files, manifest)


def reference_features(read: Read) -> tuple[np.ndarray, np.ndarray]:
    """Return features of the reference frames (2500, D) float32 and the story number of each (2500,)."""
    train = ToonSV("train")
    stories = [train[REFERENCE_START + k] for k in range(REFERENCE_STORIES)]
    frames = [frame for story in stories for frame in story.frames]
    features = np.stack([reading.features for _, reading in _readings(read, frames)])
    return features, np.repeat(np.arange(len(stories)), [len(s.frames) for s in stories])


def _readings(read: Read, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Reading]]:
    """Yield each frame with what is read in its true picture, a few at a time."""
    waiting = iter(frames)
    while some := list(islice(waiting, AT_ONCE)):
        yield from zip(some, read([frame.image for frame in some]), strict=True)


def frame_accuracies(read: Read, frames: Iterable[Frame]) -> dict[str, float]:
    """Return accuracies on true story frames; a detail counts where it is visible in truth."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()

    def tally(name: str, hit: bool) -> None:
        right[name] += hit
        total[name] += 1

    for frame, reading in _readings(read, frames):
        expected = Counter(frame.characters)
        tally("char_acc", reading.characters == set(expected))
        tally("count_acc", all(reading.counts[n] == min(expected[n], 2) for n in reading.counts))
        tally("setting_acc", reading.setting == frame.setting)
        for key, value in frame.details.items():
            tally(f"detail_{key.split(':')[0]}_acc", reading.details.get(key) == value)
        seen = {k for k in reading.details if k.startswith("prop:")}
        tally("prop_set_acc", seen == {k for k in frame.details if k.startswith("prop:")})
    rates = {name: round(right[name] / total[name], 4) for name in sorted(total)}
    return {**rates, "frames": total["char_acc"]}


def scene_accuracies(read: Read) -> dict[str, float]:
    """Return accuracies on random scenes with two of the same character, and on empty ones."""
    rng = np.random.default_rng(RANDOM_SEED)
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for _ in range(RANDOM_SCENES):
        scene = random_scene(rng)
        expected = Counter(a.character for a in scene.actors)
        reading = read([render(scene).image])[0]
        names = ["random_scenes"]
        if not scene.actors:
            names.append("empty_scenes")
        if max(expected.values(), default=0) > 1:
            names.append("duplicate_scenes")
        for name in names:
            right[name] += all(reading.counts[n] == min(expected[n], 2) for n in reading.counts)
            total[name] += 1
        for actor in scene.actors:
            if expected[actor.character] == 1:
                right["action"] += reading.actions.get(actor.character) == actor.action
                total["action"] += 1
    rates = {
        f"{name}_count_acc" if "scenes" in name else f"{name}_acc": round(right[name] / total[name], 4)
        for name in sorted(total)
    }
    return {**rates, **{f"{name}_n": total[name] for name in sorted(total)}}
