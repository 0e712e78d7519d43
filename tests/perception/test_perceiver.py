"""The shipped evaluator: what it reads on true frames, and that a reading depends on its frame alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from PIL import Image, ImageFilter

from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Actor, Scene
from storybench.perception import selfcheck
from storybench.perception.assets import load_perceiver
from storybench.perception.perceiver import to_pixels
from storybench.perception.reading import BATCH, PerceiverObserver

PROP_FLOOR = 0.5  # props are small and half hidden: the weakest read-out, see the manifest


@cache
def asset():
    return load_perceiver()


def read(image):
    return PerceiverObserver(asset()).read([image])[0]


@cache
def true_frames():
    test = ToonSV("val")  # the manifest reports on test
    return [frame for k in range(30) for frame in test[k].frames]


def test_reads_true_frames_of_unseen_stories():
    found = selfcheck.frame_accuracies(PerceiverObserver(asset()).read, true_frames())
    assert found["char_acc"] >= 0.97  # 0.99 on 1,000 test frames (manifest); 3 SE at n = 150
    assert found["count_acc"] >= 0.97
    assert found["setting_acc"] >= 0.97
    assert min(found[f"detail_{kind}_acc"] for kind in ("scarf", "weather", "wall")) >= 0.97
    assert found["detail_prop_acc"] >= PROP_FLOOR


def test_manifest_reports_the_promised_accuracy():
    accuracies = asset().accuracies
    assert accuracies["frames"] >= 1_000
    assert accuracies["char_acc"] >= 0.99
    assert accuracies["duplicate_scenes_count_acc"] >= 0.9
    assert asset().manifest["training"]["seconds"] > 0


def test_same_character_twice_is_counted_and_nobody_is_nobody():
    def scene(*actors):
        return Scene("meadow", actors, "sunny", "mint")

    twins = scene(Actor("Zara", "wave", 34, 1, "red"), Actor("Zara", "stand", 92, -1, "red"))
    reading = read(render(twins).image)
    assert reading.counts["Zara"] == 2
    assert reading.characters == {"Zara"}
    assert read(render(scene()).image).characters == frozenset()


def test_soft_frames_are_still_read():
    """Generated frames are softer than drawings: a blur of 1 px must not change who is seen in more than 1 of 20."""
    same = [
        read(f.image.filter(ImageFilter.GaussianBlur(1.0))).characters == set(f.characters) for f in true_frames()[:60]
    ]
    assert np.mean(same) >= 0.95


def test_reading_repeats_to_the_last_bit_whatever_is_read_beside_it():
    image, others = true_frames()[0].image, [f.image for f in true_frames()[7 : 7 + BATCH]]
    first = read(image)
    again = PerceiverObserver(load_perceiver()).read([*others, image, *others])[len(others)]
    assert np.array_equal(first.features, again.features)
    assert first.counts == again.counts
    assert first.details == again.details


def test_batch_of_frames_gives_the_same_discrete_readings():
    images = [f.image for f in true_frames()[:8]]
    with torch.inference_mode():
        logits = asset().model(torch.stack([to_pixels(i) for i in images]))
    for k, image in enumerate(images):
        one = read(image)
        assert one.counts == dict(zip(one.counts, logits.counts[k].argmax(1).tolist(), strict=True))
        assert np.allclose(one.features, logits.features[k].numpy(), atol=1e-4)


def test_noise_is_not_somebody():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    assert sum(read(noise).counts.values()) <= 2
