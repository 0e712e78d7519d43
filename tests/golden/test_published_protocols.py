"""Inception protocols against the libraries that defined them, on one file of random weights of the published format.

The published weights cannot be shipped. What is proved here is that from the same file and the same 8-bit pictures our
chain gives the features of torch-fidelity, torchmetrics and the published scripts; no FID of this test means anything.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision import transforms

from storybench.errors import AssetError
from storybench.perception.protocols import PROTOCOLS, open_observer
from storybench.perception.protocols.published import SCRIPT, STATE

fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
HALF = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLOSE = {"atol": 1e-5, "rtol": 1e-4}  # float32 sums in another order


class _Blank(fidelity.FeatureExtractorInceptionV3):
    """The architecture without anybody's weights."""

    def load_state_dict(self, state: object) -> None:
        """Keep the initial values."""


class _Program(nn.Module):
    """What ``inception-2015-12-05.pt`` is: a program with a part called ``layers``."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    """A state dict and a TorchScript file with the same lively random weights."""
    folder = tmp_path_factory.mktemp("inception")
    torch.manual_seed(0)
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    model = _Blank("blank", ["2048"], feature_extractor_weights_path=empty)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.1)
    paths = {STATE: folder / f"{STATE}.pth", SCRIPT: folder / f"{SCRIPT}.pt"}
    torch.save(model.state_dict(), paths[STATE])
    program = torch.jit.trace(_Program(list(model.children())[:-1]).eval(), torch.zeros(1, 3, 299, 299))
    program.save(str(paths[SCRIPT]))
    return paths


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Two 8-bit pictures of 160 px: a resize has work to do."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (k, k, 3), dtype=np.uint8)) for k in (5, 40)]
    return [image.resize((160, 160), Image.Resampling.BICUBIC) for image in coarse]


def pinned(name: str, path: Path, extractor: str | None = None):
    """The protocol as published but for the hash of its weights."""
    protocol = PROTOCOLS[name]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(protocol, extractor=extractor or protocol.extractor, weights_sha256=sha256)


def features(name: str, path: Path, pictures: list[Image.Image], extractor: str | None = None) -> torch.Tensor:
    observer = open_observer(pinned(name, path, extractor), path, batch_size=len(pictures))
    return torch.from_numpy(np.stack([observer.value(seen) for seen in observer.observe(pictures)]))


def eight_bit(pictures: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2)


def pytorch_fid(path: Path, inputs: torch.Tensor) -> torch.Tensor:
    """pytorch-fid's InceptionV3, which every published script copies: values "0 .. 1", bilinear to 299, 2 x - 1."""
    extractor = fidelity.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    x = F.interpolate(inputs, size=(299, 299), mode="bilinear", align_corners=False)
    x = 2 * x - 1
    for part in list(extractor.children())[:-1]:
        x = part(x)
    return x.flatten(1)


@torch.no_grad()
def test_tf_inception_equals_torch_fidelity(weights, pictures):
    extractor = fidelity.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(weights[STATE]))
    (expected,) = extractor(eight_bit(pictures))
    found = features("fid/tf-inception/v1", weights[STATE], pictures, STATE)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert (expected[0] - expected[1]).abs().max() > 1  # the pictures differ by far more than the tolerance


@torch.no_grad()
def test_tf_inception_equals_torchmetrics_without_antialias_only(weights, pictures):
    """torchmetrics 1.8 turned antialiasing on under the same name (Lightning-AI/torchmetrics #3130, #3177)."""
    fid = pytest.importorskip("torchmetrics.image.fid")
    found = features("fid/tf-inception/v1", weights[STATE], pictures, STATE)
    off = fid.NoTrainInceptionV3("x", ["2048"], str(weights[STATE]), antialias=False)(eight_bit(pictures))
    on = fid.NoTrainInceptionV3("x", ["2048"], str(weights[STATE]), antialias=True)(eight_bit(pictures))
    torch.testing.assert_close(found, off, **CLOSE)
    assert (found - on).abs().max() > 0.01


@torch.no_grad()
def test_clean_inception_equals_clean_fids_steps(weights, pictures):
    """Each channel resized in float32 by Pillow, (x - 128) / 128, then ``layers`` of the program."""
    planes = [
        [np.asarray(Image.fromarray(np.asarray(p)[..., c].astype(np.float32)).resize((299, 299), 3)) for c in range(3)]
        for p in pictures
    ]
    x = torch.from_numpy(np.array(planes)) - 128
    expected = torch.jit.load(str(weights[SCRIPT])).layers(x / 128).view(len(pictures), 2048)
    torch.testing.assert_close(features("fid/clean-inception/v1", weights[SCRIPT], pictures), expected, **CLOSE)


@torch.no_grad()
def test_both_files_of_the_network_give_the_same_features(weights, pictures):
    script = features("fid/clean-inception/v1", weights[SCRIPT], pictures)
    state = features("fid/clean-inception/v1", weights[STATE], pictures, STATE)
    torch.testing.assert_close(script, state, **CLOSE)


def normalised(pictures: list[Image.Image], *steps) -> torch.Tensor:
    chain = transforms.Compose([*steps[:-1], transforms.ToTensor(), steps[-1]])
    return torch.stack([chain(picture) for picture in pictures])


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("fid/legacy-storygptv/v1", (transforms.Resize(299), transforms.CenterCrop(299), IMAGENET)),
        ("fid/legacy-arldm/v1", (transforms.Resize([64, 64]), HALF)),
        ("fid/legacy-storyviz/v1", (transforms.Resize((64, 64)), HALF)),
        ("fid/legacy-storydalle/v1", (transforms.Resize((64, 64)), HALF)),
        ("fid/legacy-makeastory/v1", (transforms.Resize((256, 256)), HALF)),
    ],
)
def test_legacy_features_equal_the_published_script_step_by_step(weights, pictures, name, steps):
    """Transforms of the paper's code, (x + 1) / 2 of its ``normalize=True``, then the network's own 2 x - 1."""
    images = normalised(pictures, *steps)
    expected = pytorch_fid(weights[STATE], (images + 1) / 2)
    torch.testing.assert_close(features(name, weights[STATE], pictures), expected, **CLOSE)


def test_other_weights_are_refused(weights):
    with pytest.raises(AssetError, match=r"fid/clean-inception/v1 is defined with f58cb9b6ec32\.\.\."):
        open_observer(PROTOCOLS["fid/clean-inception/v1"], weights[SCRIPT])


@pytest.mark.parametrize("extractor", [STATE, SCRIPT])
def test_a_file_of_another_kind_is_refused(tmp_path, extractor):
    path = tmp_path / "weights"
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(AssetError, match="fetch it again"):
        open_observer(pinned("fid/clean-inception/v1", path, extractor), path)


def test_a_pickle_is_not_executed(tmp_path):
    path = tmp_path / "weights"
    torch.save({"x": tmp_path}, path)  # a Path is code to a pickle
    with pytest.raises(AssetError, match="is not the state dict"):
        open_observer(pinned("fid/legacy-arldm/v1", path), path)
