"""The last step of training: what the network of figures gets right on true test frames, and the manifest.

Measured on the weights as shipped (rounded to float16, loaded again). Stories, not random scenes: people stand in them
as they do in what is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment

from storybench.data.toonsv.dataset import ToonSV
from storybench.perception import assets
from storybench.perception.figures.examples import turn_hues
from storybench.perception.figures.network import FigureNetwork
from storybench.perception.figures.observer import FiguresObserver, load_figures
from storybench.perception.perceiver import to_pixels
from storybench.story import FramePixels, Story

Array = np.ndarray

VISIBLE_PX = 150  # a true figure with fewer visible pixels is not asked for
MATCHED_IOU = 0.5
RECOLOURED_TURN = 1 / 3  # red becomes green


class Seen(NamedTuple):
    """A true figure and what was found for it."""

    character: str
    iou: float
    row: int  # of the found figure, -1 for none


def finish(network: FigureNetwork, folder: Path, facts: Mapping[str, Any], check_stories: int) -> dict[str, Any]:
    """Write the trained ``network`` with its manifest to ``folder`` and return the manifest.

    Args:
        network: Trained, in any mode.
        folder: Where weights and manifest go.
        facts: What training knows: id, configuration, settings, time.
        check_stories: Test stories whose true frames are looked at.
    """
    files = {assets.WEIGHTS: assets.half(network)}
    assets.write_asset(folder, files, {**facts, "accuracies": {}})
    test = ToonSV("test")
    accuracies = measure(load_figures(folder=folder), (test[k] for k in range(check_stories)))
    return assets.write_asset(folder, files, {**facts, "accuracies": accuracies})


def measure(observer: FiguresObserver, stories: Iterable[Story]) -> dict[str, float]:
    """Return accuracies on the true frames of stories.

    ``mask_iou`` is the mean over true figures, 0 for one not found. ``identity_auc`` and ``setting_auc`` are the chance
    that two embeddings of the same character (place) in a story are nearer than two of different ones (metrics.md 4.1).
    The mean cosines of both kinds of pairs stand beside it; ``recoloured_cosine`` is that of a figure with itself, hues
    turned by a third. What no frame here can tell is left out.
    """
    ious: list[float] = []
    right: dict[str, list[bool]] = {"figure_found": [], "count_right": [], "who_right": [], "setting_right": []}
    same: dict[str, list[float]] = {"identity": [], "setting": []}
    other: dict[str, list[float]] = {"identity": [], "setting": []}
    recoloured: list[float] = []
    for story in stories:
        people: list[tuple[str, int, Array]] = []
        places: list[tuple[str, int, Array]] = []
        for frame in story.frames:
            drawn = frame.pixels()
            arrays, masks = observer.look(drawn.image)
            figures = observer.value(arrays)
            seen = match(drawn, masks, frame.characters)
            ious += [s.iou for s in seen]
            right["figure_found"] += [s.iou >= MATCHED_IOU for s in seen]
            right["count_right"].append(len(masks) == len(seen))
            for s in seen:
                if s.iou >= MATCHED_IOU:
                    best = observer.names[int(figures.probabilities[s.row].argmax())]
                    right["who_right"].append(best == s.character)
                    people.append((s.character, frame.index, figures.embeddings[s.row]))
            right["setting_right"].append(setting_of(observer, figures.background) == frame.setting)
            places.append((frame.setting, frame.index, figures.background))
        recoloured += recoloured_cosines(observer, story.frames[0].pixels())
        _add_pairs(people, same["identity"], other["identity"])
        _add_pairs(places, same["setting"], other["setting"])
    found = {
        "mask_iou": _mean(ious),
        **{name: _mean(values) for name, values in right.items()},
        **{f"{name}_auc": rank_auc(np.array(same[name]), np.array(other[name])) for name in same},
        **{f"{name}_same_cosine": _mean(same[name]) for name in same},
        **{f"{name}_other_cosine": _mean(other[name]) for name in same},
        "recoloured_cosine": _mean(recoloured),
    }
    defined = {name: round(value, 4) for name, value in found.items() if not np.isnan(value)}
    return {**defined, "frames": len(right["count_right"]), "figures": len(ious)}


def match(drawn: FramePixels, masks: Array, characters: tuple[str, ...]) -> list[Seen]:
    """Return for each visible true figure the found mask that overlaps it best, one to one (Hungarian, on IoU)."""
    assert drawn.instances is not None
    visible = [k for k in range(len(characters)) if (drawn.instances == k + 1).sum() >= VISIBLE_PX]
    truth = np.array([drawn.instances == k + 1 for k in visible]).reshape(-1, drawn.instances.size).astype(np.float64)
    found = masks.reshape(-1, drawn.instances.size).astype(np.float64)  # (N, H * W)
    shared = truth @ found.T
    union = truth.sum(1)[:, None] + found.sum(1)[None] - shared
    iou = shared / np.maximum(union, 1)
    rows = dict(zip(*linear_sum_assignment(-iou), strict=True))
    return [
        Seen(characters[k], float(iou[i, rows[i]]), int(rows[i])) if i in rows else Seen(characters[k], 0.0, -1)
        for i, k in enumerate(visible)
    ]


def setting_of(observer: FiguresObserver, background: Array) -> str:
    """Return the setting whose direction is nearest to a background's embedding (E,)."""
    directions = observer.asset.network.place.directions
    unit = torch.nn.functional.normalize(directions, dim=1).cpu().numpy()
    return observer.asset.network.config.settings[int((unit @ background).argmax())]


def recoloured_cosines(observer: FiguresObserver, drawn: FramePixels, turn: float = RECOLOURED_TURN) -> list[float]:
    """Return the cosine of each found figure with the one found there after the hues of all figures are turned."""
    assert drawn.instances is not None
    pixels = to_pixels(drawn.image)
    turned = torch.where(torch.from_numpy(drawn.instances) > 0, turn_hues(pixels, turn), pixels)
    image = Image.fromarray((turned * 255).round().byte().permute(1, 2, 0).numpy())
    names = tuple(str(k) for k in range(len(drawn.boxes)))
    pairs = [
        {s.character: arrays["embeddings"][s.row] for s in match(drawn, masks, names) if s.iou >= MATCHED_IOU}
        for arrays, masks in (observer.look(drawn.image), observer.look(image))
    ]
    return [float(pairs[0][name] @ pairs[1][name]) for name in pairs[0] if name in pairs[1]]


def rank_auc(positive: Array, negative: Array) -> float:
    """Return the chance that a positive is above a negative, ties one half; NaN without one of the two."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below, upto = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float((below + upto).mean() / (2 * len(negative)))


def _add_pairs(items: list[tuple[str, int, Array]], same: list[float], other: list[float]) -> None:
    """Add the cosines of pairs from different frames to those of equal or different labels."""
    for (a, i, x), (b, j, y) in combinations(items, 2):
        if i != j:
            (same if a == b else other).append(float(x @ y))


def _mean(values: list[float] | list[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")
