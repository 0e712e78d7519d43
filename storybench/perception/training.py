"""Trains the ToonSV perceiver from nothing on freshly drawn random scenes.

Labels come from the scene itself. A loss counts only what can be seen: weather outdoors, walls indoors, the scarf and
action of a character that stands there once and is not hidden, the colour of a prop that is held. Everything follows
from ``seed`` on one machine with one thread.
"""

from __future__ import annotations

import logging
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from storybench.data.toonsv import world
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Scene
from storybench.perception import assets, selfcheck
from storybench.perception.augmentation import augment
from storybench.perception.perceiver import Logits, Perceiver, Vocabulary, to_pixels
from storybench.perception.scenes import random_scene
from storybench.story import FramePixels

log = logging.getLogger(__name__)

GRID = 16  # cells of the heat maps
HIDDEN_PX = 90  # an instance with fewer visible pixels teaches no attribute, and its count is not asked for
HIDDEN_PROP_PX = 12  # likewise for a prop
IGNORE = -100  # torch's ignore_index
WEIGHTS = {
    "count": 3.0,
    "heat": 40.0,
    "prop_heat": 40.0,
    "setting": 0.5,
    "action": 0.5,
    "weather": 0.5,
    "wall": 0.5,
    "scarf": 1.0,
    "prop": 4.0,
    "prop_colour": 1.0,
}  # relative sizes of the losses, set so that counts lead


@dataclass(frozen=True)
class Example:
    """A drawn frame and what is to be read in it. IGNORE where nothing can be seen."""

    pixels: Tensor  # (3, 128, 128) uint8
    count: Tensor  # (K,)
    scarf: Tensor  # (K,)
    action: Tensor  # (K,)
    prop: Tensor  # (P,) 0, 1 or IGNORE
    prop_colour: Tensor  # (P,)
    place: Tensor  # (3,) setting, weather, wall
    heat: Tensor  # (K, 16, 16)
    prop_heat: Tensor  # (P, 16, 16)


def toonsv_vocabulary() -> Vocabulary:
    """Return what can be read in ToonSV."""
    return Vocabulary(
        characters=world.NAMES,
        settings=world.SETTINGS,
        actions=(world.STAND, *world.ACTIONS),
        weathers=world.WEATHERS,
        walls=world.WALL_COLOURS,
        scarf_colours=world.SCARF_COLOURS,
        props=world.PROPS,
        prop_colours=world.PROP_COLOURS,
        outdoors=world.OUTDOORS,
    )


def example(scene: Scene, drawn: FramePixels, v: Vocabulary) -> Example:
    """Return the training example of one drawn scene."""
    count = torch.zeros(len(v.characters), dtype=torch.long)
    scarf, action = torch.full_like(count, IGNORE), torch.full_like(count, IGNORE)
    prop = torch.zeros(len(v.props), dtype=torch.long)
    prop_colour = torch.full_like(prop, IGNORE)
    heat = torch.zeros(len(v.characters), GRID, GRID)
    prop_heat = torch.zeros(len(v.props), GRID, GRID)
    hidden = set()
    assert drawn.instances is not None  # ToonSV draws its masks
    visible_px = np.bincount(drawn.instances.ravel(), minlength=len(scene.actors) + 1)
    for k, (actor, box) in enumerate(zip(scene.actors, drawn.boxes, strict=True), start=1):
        c = v.characters.index(actor.character)
        count[c] += 1
        if visible_px[k] < HIDDEN_PX:
            hidden.add(c)
        heat[c] = torch.maximum(heat[c], _bump((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        scarf[c] = v.scarf_colours.index(actor.scarf) if count[c] == 1 else IGNORE
        action[c] = v.actions.index(actor.action) if count[c] == 1 else IGNORE
        if actor.prop is not None:
            p = v.props.index(actor.prop)
            seen = _prop_pixels(scene, k - 1, drawn)
            prop[p], prop_colour[p] = 1, v.prop_colours.index(str(actor.prop_colour))
            if len(seen) < HIDDEN_PROP_PX:
                prop[p] = prop_colour[p] = IGNORE
            else:
                prop_heat[p] = _bump(*seen.mean(0).tolist())
    count.clamp_(max=2)
    for c in hidden:
        count[c] = scarf[c] = action[c] = IGNORE
    outside = scene.setting in v.outdoors
    place = torch.tensor(
        [
            v.settings.index(scene.setting),
            v.weathers.index(scene.weather) if outside else IGNORE,
            IGNORE if outside else v.walls.index(scene.wall),
        ]
    )
    pixels = (to_pixels(drawn.image) * 255).round().byte()
    return Example(pixels, count, scarf, action, prop, prop_colour, place, heat, prop_heat)


def _bump(x_px: float, y_px: float) -> Tensor:
    """Return a soft peak (16, 16) about a cell wide around a point of the frame."""
    cell = world.SIZE_PX / GRID
    x, y = x_px / cell - 0.5, y_px / cell - 0.5
    axis = torch.arange(GRID, dtype=torch.float32)
    return torch.exp(-0.5 * (((axis - x) / 0.8) ** 2)[None, :]) * torch.exp(-0.5 * (((axis - y) / 1.2) ** 2)[:, None])


def _prop_pixels(scene: Scene, k: int, drawn: FramePixels) -> np.ndarray:
    """Return the pixels (n, 2), as x and y, that show the prop of actor ``k``: those that change with its colour."""
    actor = scene.actors[k]
    other = world.PROP_COLOURS[(world.PROP_COLOURS.index(str(actor.prop_colour)) + 1) % len(world.PROP_COLOURS)]
    actors = (*scene.actors[:k], replace(actor, prop_colour=other), *scene.actors[k + 1 :])
    changed = np.asarray(drawn.image) != np.asarray(render(replace(scene, actors=actors)).image)  # (128, 128, 3)
    return np.argwhere(changed.any(2))[:, ::-1]


def losses(logits: Logits, examples: list[Example]) -> dict[str, Tensor]:
    """Return the unweighted loss of each read-out over a batch."""

    def stack(name: str) -> Tensor:
        return torch.stack([getattr(e, name) for e in examples])

    place, prop = stack("place"), stack("prop").float()
    return {
        "count": _cross_entropy(logits.counts, stack("count")),
        "heat": F.binary_cross_entropy_with_logits(logits.heat, stack("heat")),
        "prop_heat": F.binary_cross_entropy_with_logits(logits.prop_heat, stack("prop_heat")),
        "setting": _cross_entropy(logits.setting, place[:, 0]),
        "action": _cross_entropy(logits.action, stack("action")),
        "weather": _cross_entropy(logits.weather, place[:, 1]),
        "wall": _cross_entropy(logits.wall, place[:, 2]),
        "scarf": _cross_entropy(logits.scarf, stack("scarf")),
        "prop": F.binary_cross_entropy_with_logits(logits.prop, prop.clamp(min=0), weight=(prop >= 0).float()),
        "prop_colour": _cross_entropy(logits.prop_colour, stack("prop_colour")),
    }


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross entropy over targets that are not IGNORE; 0 when there is none."""
    total = F.cross_entropy(logits.flatten(0, -2), target.flatten(), ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)


def train(
    output: str | None = None,
    steps: int = 1400,
    batch_size: int = 32,
    learning_rate: float = 2.5e-3,
    seed: int = 20_260,
    threads: int = 1,
    max_minutes: float = 20.0,
    check_stories: int = 200,
    start_from: str | None = None,
) -> dict[str, Any]:
    """Train, check on true test frames, and write weights, reference features and manifest.

    Args:
        output: Folder to write; by default the shipped one.
        steps: Optimiser steps; each sees ``batch_size`` new frames. 0 with ``start_from`` trains nothing and measures
            again, as is due when the drawing of the world has changed.
        batch_size: Frames a step.
        learning_rate: Peak of the one-cycle schedule.
        seed: Of scenes, augmentation and initial weights.
        threads: CPU threads for torch.
        max_minutes: Stop early, keeping the schedule, when training takes longer.
        check_stories: Test stories whose true frames measure its accuracy.
        start_from: Folder of an earlier result to continue from; by default new weights. Its training is kept in the
            manifest under ``before``.

    Returns:
        The manifest as written.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Perceiver(toonsv_vocabulary()).to(memory_format=torch.channels_last)
    before = None
    if start_from is not None:
        state, before = assets.read_state(Path(start_from))
        model.load_state_dict(state)
    started = time.perf_counter()
    frames = _optimise(model, rng, steps, batch_size, learning_rate, max_minutes)
    seconds = time.perf_counter() - started
    folder = Path(output) if output else assets.WEIGHTS_ROOT / "toonsv_perceiver"
    facts = {
        "id": "toonsv-perceiver-v1",
        "vocabulary": model.vocabulary.to_dict(),
        "widths": [24, 48, 96, 160],
        "parameters": sum(p.numel() for p in model.parameters()),
        "training": {
            "command": "storybench train model=perceiver stage=toonsv",
            "seed": seed,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "frames": frames,
            "data": "random scenes (storybench.perception.scenes), no story of any split",
            "seconds": round(seconds, 1),
            "hardware": f"{platform.machine()} CPU, {threads} thread",
            "torch": torch.__version__,
            **({"before": before} if before else {}),
        },
    }
    if steps == 0 and before:
        facts["training"] = before
    return selfcheck.finish(model, folder, facts, check_stories)


def _optimise(
    model: Perceiver, rng: np.random.Generator, steps: int, batch_size: int, learning_rate: float, max_minutes: float
) -> int:
    """Run the training loop in place and return the number of frames seen."""
    if steps == 0:
        return 0
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.15)
    model.train()
    started = time.perf_counter()
    for step in range(steps):
        scenes = [random_scene(rng) for _ in range(batch_size)]
        examples = [example(s, render(s), model.vocabulary) for s in scenes]
        pixels = augment(torch.stack([e.pixels for e in examples]).float() / 255, rng)  # (B, 3, 128, 128)
        parts = losses(model(pixels.contiguous(memory_format=torch.channels_last)), examples)
        total = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        minutes = (time.perf_counter() - started) / 60
        if step % 50 == 0 or step == steps - 1:
            log.info(
                "step %d of %d, %.1f min: %s",
                step,
                steps,
                minutes,
                " ".join(f"{name} {value.item():.3f}" for name, value in parts.items()),
            )
        if minutes > max_minutes:
            log.warning("stopped after %d of %d steps: %.1f minutes are over", step + 1, steps, max_minutes)
            return (step + 1) * batch_size
    return steps * batch_size
