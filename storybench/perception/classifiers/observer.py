"""The classifiers as an observer: whom they see in a frame and where it plays, kept as a few small arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from storybench.data.facts import load_facts
from storybench.errors import ConfigError, unknown
from storybench.perception.catalogue import checked_hashes, locate, status
from storybench.perception.classifiers.network import (
    Classifier,
    predicted,
    preprocess,
    read_classifier,
    read_published,
)
from storybench.perception.classifiers.noise import ReaderNoise, noise_from_json
from storybench.perception.observation import Array, Arrays, Reading, in_batches
from storybench.perception.precision import full_precision

BATCH = 8  # pictures a pass; a constant: another shape rounds differently
CLASSIFIERS = {  # data set -> assets that read its characters and its settings
    "flintstones": ("flintstones_characters", "flintstones_settings"),
    "pororo": ("pororo_characters", None),
}


class ClassifierObserver:
    """Fills :attr:`storybench.perception.observation.Observation.reading`.

    Counts are 0 or 1: a classifier of the field tells who is there, not how often. Features are those of the network
    that reads characters.
    """

    field = "reading"
    uses_captions = False

    def __init__(self, characters: Classifier, settings: Classifier | None = None) -> None:
        """Look with one network for characters and, if there is one, another for settings.

        Raises:
            ConfigError: If one is given in place of the other.
        """
        for given, what in ((characters, "characters"), (settings, "settings")):
            if given is not None and given.what != what:
                raise ConfigError(f"Classifier {given.id} reads {given.what}: expected one that reads {what}.")
        self.characters, self.settings = characters, settings
        self.id = "&".join(network.id for network in (characters, settings) if network is not None)

    @property
    def noise(self) -> ReaderNoise | None:
        """How often the characters were right on true test frames; None if its manifest does not say."""
        rows = self.characters.manifest.get("noise")
        return noise_from_json(rows) if rows else None

    def read(self, images: Sequence[Image.Image]) -> list[Reading]:
        """Return what is read in each picture. The same picture gives the same reading to the last bit."""
        return [self.value(arrays) for arrays in self.observe(images, [()] * len(images))]

    def observe(self, images: Sequence[Image.Image], captions: Sequence[tuple[str, ...]]) -> list[dict[str, Array]]:
        """Return predicted labels and features of each picture; captions are not looked at."""
        out: list[dict[str, Array]] = []
        for batch, real in in_batches(images, BATCH):
            kept = _labels("characters", self.characters, batch, features=True)
            if self.settings is not None:
                kept |= _labels("settings", self.settings, batch, features=False)
            out += [{name: array[i].copy() for name, array in kept.items()} for i in range(real)]
        return out

    def value(self, arrays: Arrays) -> Reading:
        """Return the reading."""
        names = self.characters.labels
        counts = dict(zip(names, (int(seen) for seen in arrays["characters"]), strict=True))
        features = np.asarray(arrays["features"], dtype=np.float32)
        if self.settings is None:
            return Reading(counts, "", features=features)
        places = self.settings.labels
        above = frozenset(name for name, seen in zip(places, arrays["settings"], strict=True) if seen)
        likeliest = places[int(arrays["settings_best"][0])]
        return Reading(counts, likeliest, features=features, setting_labels=above)


@full_precision()
@torch.inference_mode()
def _labels(what: str, network: Classifier, images: Sequence[Image.Image], *, features: bool) -> dict[str, Array]:
    """Return one row a picture: predicted labels (N,), the likeliest (1,) and, if asked for, features (D,)."""
    device = next(network.model.parameters()).device
    pixels = torch.stack([preprocess(image, network.size_px) for image in images])  # (BATCH, 3, 299, 299)
    out = network.model(pixels.contiguous(memory_format=torch.channels_last).to(device))
    rows = {
        what: predicted(out.logits).to(torch.uint8).cpu().numpy(),  # (BATCH, N)
        f"{what}_best": out.logits.argmax(1, keepdim=True).to(torch.int32).cpu().numpy(),  # (BATCH, 1)
    }
    return {**rows, "features": out.features.float().cpu().numpy()} if features else rows


def load_classifier(dataset: str, device: str = "cpu") -> ClassifierObserver:
    """Return the observer of a data set from the classifiers that were trained here.

    Without a classifier of settings it reads characters alone, and :attr:`ClassifierObserver.settings` is None.

    Raises:
        ConfigError: If no classifier reads this data set.
        AssetError: If that of characters is missing or one is damaged; the sentence says how to train it.
    """
    if dataset not in CLASSIFIERS:
        raise unknown("data set with classifiers", dataset, CLASSIFIERS)
    characters, settings = CLASSIFIERS[dataset]
    found = [read_classifier(locate(characters), device)]
    if settings is not None and status(settings).state != "missing":
        found.append(read_classifier(locate(settings), device))
    return ClassifierObserver(*found)


def load_published(dataset: str, device: str = "cpu") -> ClassifierObserver:
    """Return the observer of characters that StoryGPT-V released, for a column beside its paper and nothing else.

    It was trained on train, val and test (metrics.md 2). Its settings are not read: the order of their 323 labels is in
    a file of that release, not known here.

    Raises:
        ConfigError: If none was released for this data set.
        AssetError: If the file is missing or damaged; the sentence says how to get it.
    """
    if dataset not in CLASSIFIERS:
        raise unknown("data set with classifiers", dataset, CLASSIFIERS)
    name = f"storygptv_{dataset}_characters"
    file = locate(name)
    labels = [character.name for character in load_facts(dataset).cast]  # label order, datasets.md 1 and 2
    return ClassifierObserver(read_published(file, labels, "characters", checked_hashes(name)[file.name], device))
