"""What a trained classifier gets right on clips that it never learnt from: accuracies, and noise on test frames.

Every clip is looked at once, in the picture that evaluation takes (the middle one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from storybench.data.frame_choice import FrameChoice
from storybench.perception.classifiers.examples import TEST, VAL, LabelledClips, has_subset, labelled_clips
from storybench.perception.classifiers.network import Classifier, predicted, preprocess
from storybench.perception.classifiers.noise import noise_to_json, reader_noise
from storybench.perception.observation import Reading, in_batches
from storybench.perception.precision import full_precision

BATCH = 8  # pictures a pass
MIDDLE = FrameChoice("middle")


def measure(
    classifier: Classifier, dataset: Mapping[str, Any], learnt: Iterable[str], most: int | None = None
) -> dict[str, Any]:
    """Return ``accuracies`` on val and test and, for characters, ``noise`` on test, for the manifest.

    Args:
        classifier: As it is kept.
        dataset: Configuration of the data set.
        learnt: Ids of the clips it learnt from; none of them is looked at. In PororoSV, where val is not held out
            (datasets.md 2), few val clips are left.
        most: Clips of a split at most, spread evenly over it; None for all.
    """
    accuracies: dict[str, float | int] = {}
    noise: dict[str, Any] = {}
    exclude = sorted(learnt)
    for subset in (VAL, TEST):
        if not has_subset(dataset, subset):
            continue
        clips = labelled_clips(dataset, subset, classifier.what, exclude, classifier.labels)
        chosen = _spread(len(clips), most)
        accuracies[f"{subset}_clips"] = len(chosen)
        if not chosen:
            continue
        seen, best = look(classifier, clips, chosen)
        truths = [clips.truth(index) for index in chosen]
        accuracies |= {f"{subset}_{name}": round(value, 4) for name, value in agreement(seen, best, truths).items()}
        if subset == TEST and classifier.what == "characters":
            readings = [Reading({name: int(name in labels) for name in classifier.labels}, "") for labels in seen]
            noise = noise_to_json(reader_noise(readings, truths, classifier.labels))
    return {"accuracies": accuracies, "noise": noise}


def look(
    classifier: Classifier, clips: LabelledClips, indices: Sequence[int]
) -> tuple[list[frozenset[str]], list[str]]:
    """Return the labels predicted in each clip's middle picture, and the likeliest one."""
    device = next(classifier.model.parameters()).device
    seen, best = [], []
    for batch, real in in_batches(indices, BATCH):
        pictures = [preprocess(clips.picture(index, MIDDLE), classifier.size_px) for index in batch]
        pixels = torch.stack(pictures).contiguous(memory_format=torch.channels_last)  # (BATCH, 3, 299, 299)
        with full_precision(), torch.inference_mode():
            logits = classifier.model(pixels.to(device)).logits[:real].float().cpu()
        for row, top in zip(predicted(logits).tolist(), logits.argmax(1).tolist(), strict=True):
            seen.append(frozenset(label for label, yes in zip(classifier.labels, row, strict=True) if yes))
            best.append(classifier.labels[top])
    return seen, best


def agreement(
    seen: Sequence[frozenset[str]], best: Sequence[str], truths: Sequence[frozenset[str]]
) -> dict[str, float]:
    """Return ``exact`` (the whole set is right), ``f1_micro`` and ``top1`` (the likeliest label is true)."""
    hits = sum(len(s & t) for s, t in zip(seen, truths, strict=True))
    total = sum(map(len, seen)) + sum(map(len, truths))
    return {
        "exact": float(np.mean([s == t for s, t in zip(seen, truths, strict=True)])),
        "f1_micro": 2 * hits / total if total else 0.0,
        "top1": float(np.mean([b in t for b, t in zip(best, truths, strict=True)])),
    }


def _spread(count: int, most: int | None) -> list[int]:
    """Return at most ``most`` of the indices below ``count``, evenly spread."""
    if most is None or most >= count:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist()
