"""On a GPU, convolutions round to TF32 unless told not to; every network that looks tells them (metrics.md 5.2)."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn

from storybench.perception.assets import load_perceiver
from storybench.perception.captioning.toon import load_captioner
from storybench.perception.classifiers.network import Classifier, ClassifierNetwork
from storybench.perception.classifiers.observer import ClassifierObserver
from storybench.perception.detectors.boxes import BoxDetector, new_network
from storybench.perception.figures.observer import load_figures
from storybench.perception.precision import full_precision
from storybench.perception.reading import PerceiverObserver

FRAME = Image.new("RGB", (128, 128), (90, 140, 200))


@pytest.fixture
def tf32():
    """A process that allows TF32 everywhere."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


def settings():
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


def reader():
    asset = load_perceiver()
    return asset.model, lambda: PerceiverObserver(asset).read([FRAME])


def figures():
    observer = load_figures()
    return observer.asset.network, lambda: observer.observe([FRAME], [()])


def captioner():
    whole = load_captioner()
    return whole.eyes, lambda: whole.caption([FRAME])


def fit():
    whole = load_captioner()
    return whole.decoder, lambda: whole.fit([FRAME], [["Zara waves."]])


def classifier():
    manifest = {"id": "tiny", "files": {"weights.safetensors": "0" * 64}, "size_px": 75}
    model = ClassifierNetwork(2, auxiliary=False, initialise=False).eval()
    return model, lambda: ClassifierObserver(Classifier(model, ("A", "B"), "characters", manifest)).read([FRAME])


def detector():
    network = new_network()
    return network, lambda: BoxDetector(network, "tiny").find(FRAME)


@pytest.mark.parametrize("made", [reader, figures, captioner, fit, classifier, detector])
def test_every_network_looks_in_full_precision_and_leaves_the_process_as_it_was(made, tf32):
    network, look = made()
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(lambda *_: seen.append(settings()))
    look()
    assert set(seen) == {(False, "highest")}
    assert settings() == (True, "high")


def test_settings_come_back_after_an_error(tf32):
    with pytest.raises(ValueError, match="inside"), full_precision():
        raise ValueError("inside")
    assert settings() == (True, "high")
