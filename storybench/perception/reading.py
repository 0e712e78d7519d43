"""The ToonSV perceiver as an observer: whom and what it reads in a frame, kept as a few small arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from storybench.perception.assets import PerceiverAsset
from storybench.perception.observation import Array, Arrays, Reading, in_batches
from storybench.perception.perceiver import Logits, Vocabulary, to_pixels
from storybench.perception.precision import full_precision

BATCH = 16  # pictures a pass; a constant: another shape rounds differently


class PerceiverObserver:
    """Fills :attr:`storybench.perception.observation.Observation.reading`."""

    field = "reading"
    uses_captions = False

    def __init__(self, asset: PerceiverAsset) -> None:
        self.asset = asset
        self.id = f"{asset.id}+{asset.manifest['files']['weights.safetensors'][:12]}"

    def read(self, images: Sequence[Image.Image]) -> list[Reading]:
        """Return what is read in each picture. The same picture gives the same reading to the last bit."""
        return [self.value(arrays) for arrays in self.observe(images, [()] * len(images))]

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return labels and features of each picture; captions are not looked at."""
        model = self.asset.model
        device = next(model.parameters()).device
        out: list[dict[str, Array]] = []
        for batch, real in in_batches(images, BATCH):
            pixels = torch.stack([to_pixels(image) for image in batch])  # (BATCH, 3, 128, 128)
            with full_precision(), torch.inference_mode():
                logits = model(pixels.contiguous(memory_format=torch.channels_last).to(device))
            kept = labels(logits)
            out += [{name: array[i].copy() for name, array in kept.items()} for i in range(real)]
        return out

    def value(self, arrays: Arrays) -> Reading:
        """Return the reading."""
        return interpret(self.asset.model.vocabulary, arrays)


def labels(logits: Logits) -> dict[str, Array]:
    """Return the likeliest label of everything, one row a frame, and the features."""
    best = {
        "counts": logits.counts.argmax(2),  # (B, K)
        "setting": logits.setting.argmax(1, keepdim=True),  # (B, 1)
        "action": logits.action.argmax(2),  # (B, K)
        "scarf": logits.scarf.argmax(2),  # (B, K)
        "prop": logits.prop > 0,  # (B, P)
        "prop_colour": logits.prop_colour.argmax(2),  # (B, P)
        "weather": logits.weather.argmax(1, keepdim=True),
        "wall": logits.wall.argmax(1, keepdim=True),
    }
    rows = {name: tensor.to(torch.uint8).cpu().numpy() for name, tensor in best.items()}
    return {**rows, "features": logits.features.float().cpu().numpy()}  # (B, D)


def interpret(v: Vocabulary, arrays: Arrays) -> Reading:
    """Return the reading that one row of :func:`labels` stands for, in the words of the vocabulary."""
    counts = dict(zip(v.characters, (int(c) for c in arrays["counts"]), strict=True))
    setting = v.settings[int(arrays["setting"][0])]
    seen = [(k, name) for k, name in enumerate(v.characters) if counts[name]]
    details = {f"scarf:{name}": v.scarf_colours[int(arrays["scarf"][k])] for k, name in seen}
    for name, shown, colour in zip(v.props, arrays["prop"], arrays["prop_colour"], strict=True):
        if shown:
            details[f"prop:{name}"] = v.prop_colours[int(colour)]
    if setting in v.outdoors:
        details["weather"] = v.weathers[int(arrays["weather"][0])]
    else:
        details["wall"] = v.walls[int(arrays["wall"][0])]
    actions = {name: v.actions[int(arrays["action"][k])] for k, name in seen}
    return Reading(counts, setting, actions, details, np.asarray(arrays["features"], dtype=np.float32))
