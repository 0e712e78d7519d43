"""Training scenes, labels, degradations, and a short run of the real loop."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Actor, Scene
from storybench.perception import training
from storybench.perception.augmentation import augment
from storybench.perception.perceiver import Perceiver
from storybench.perception.scenes import MIN_GAP_PX, random_scene

V = training.toonsv_vocabulary()


def test_random_scenes_hold_empty_places_and_duplicates_and_repeat_by_seed():
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(300)]
    sizes = {len(s.actors) for s in scenes}
    assert sizes == {0, 1, 2, 3, 4}
    assert any(len({a.character for a in s.actors}) < len(s.actors) for s in scenes)
    for s in scenes:
        xs = [a.x for a in s.actors]
        assert all(b - a >= MIN_GAP_PX - 1 for a, b in pairwise(xs))
    again = np.random.default_rng(0)
    assert scenes == [random_scene(again) for _ in range(300)]


def test_labels_ask_only_for_what_can_be_seen():
    scene = Scene(
        "kitchen",
        (
            Actor("Zara", "wave", 30, 1, "red"),
            Actor("Zara", "sit", 64, 1, "blue"),
            Actor("Finn", "stand", 100, -1, "green", "ball", "yellow"),
        ),
        "rainy",
        "mint",
    )
    e = training.example(scene, render(scene), V)
    zara, finn = V.characters.index("Zara"), V.characters.index("Finn")
    assert (e.count[zara], e.count[finn], e.count.sum()) == (2, 1, 3)
    assert e.scarf[zara] == training.IGNORE  # which of the two?
    assert e.scarf[finn] == V.scarf_colours.index("green")
    assert list(e.place) == [V.settings.index("kitchen"), training.IGNORE, V.walls.index("mint")]
    ball = V.props.index("ball")
    assert e.prop[ball] == 1
    assert e.prop_colour[ball] == V.prop_colours.index("yellow")
    row, column = divmod(int(e.prop_heat[ball].argmax()), training.GRID)
    assert 64 <= column * 8 <= 120  # beside Finn
    assert row * 8 > 40


def test_degraded_pictures_stay_pictures_and_repeat_by_seed():
    rng = np.random.default_rng(1)
    pixels = torch.stack([training.to_pixels(render(random_scene(rng)).image) for _ in range(6)])
    first, again = (augment(pixels.clone(), np.random.default_rng(2)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == pixels.shape
    assert 0 <= first.min() <= first.max() <= 1
    assert 0.005 < (first - pixels).abs().mean() < 0.2


def test_a_few_steps_lower_the_loss():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(12)]
    examples = [training.example(s, render(s), V) for s in scenes]
    pixels = torch.stack([e.pixels for e in examples]).float() / 255
    model = Perceiver(V, widths=(8, 12, 16, 24)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    totals = []
    for _ in range(12):
        total = sum(training.WEIGHTS[k] * v for k, v in training.losses(model(pixels), examples).items())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(float(total))
    assert totals[-1] < 0.7 * totals[0]
