"""Protocols are frozen: names, definitions, ranges, and what a stand-in is."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torchvision import transforms
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

from storybench.errors import AssetError, ConfigError
from storybench.perception.assets import load_perceiver
from storybench.perception.protocols import PROTOCOLS, Protocol, Resize, choose, open_observer, protocol
from storybench.perception.protocols.preparing import in_range, prepare
from storybench.perception.protocols.published import ALIASES, DEFAULT, PUBLISHED, STAND_INS
from storybench.perception.reading import to_pixels

FILES = sorted((Path(__file__).resolve().parents[2] / "configs" / "protocol").glob("*.yaml"))
DIGESTS = {  # a change of any field changes the digest: make it a new version and keep the old one
    "fid/clean-inception/v1": "3c1efa4e72eae7bf",
    "fid/tf-inception/v1": "c25adb7abcb99731",
    "fid/native128/v1": "569fb2343136731d",
    "fd/dinov2-vitl14/v1": "19252ed062982c16",
    "cmmd/clip-l14-336/v1": "603b5f9e89ba4b16",
    "fid/legacy-storygptv/v1": "99ae89573028808c",
    "fid/legacy-arldm/v1": "3b9cbd73e3431160",
    "fid/legacy-storyviz/v1": "aaa4b3a75a5396a2",
    "fid/legacy-storydalle/v1": "50c1adc95ba702e0",
    "fid/legacy-makeastory/v1": "54589c4134dbcd0b",
    "fd/toonsv-perceiver/clean-inception/v1": "77506f662177a3a3",
    "fd/toonsv-perceiver/tf-inception/v1": "4e645b491d9888b2",
    "fd/toonsv-perceiver/native128/v1": "57e21f9e59c288f1",
    "fd/toonsv-perceiver/dinov2-vitl14/v1": "841b19e0763175c3",
    "cmmd/toonsv-perceiver/clip-l14-336/v1": "c96a956029b759e1",
    "fd/toonsv-perceiver/legacy-storygptv/v1": "aab2b0de2c8b73aa",
    "fd/toonsv-perceiver/legacy-arldm/v1": "06aa8ec6452373c0",
    "fd/toonsv-perceiver/legacy-storyviz/v1": "6300421208e19170",
    "fd/toonsv-perceiver/legacy-storydalle/v1": "eb5e15c1cf4e2185",
    "fd/toonsv-perceiver/legacy-makeastory/v1": "df935d2ca6444cf3",
}


def pictures(count: int = 3, px: int = 128) -> list[Image.Image]:
    rng = np.random.default_rng(px)
    return [Image.fromarray(rng.integers(0, 256, (px, px, 3), dtype=np.uint8)) for _ in range(count)]


def test_no_definition_changed_silently():
    assert {p.id: p.digest for p in PROTOCOLS.values()} == DIGESTS


@pytest.mark.parametrize(
    "change",
    [
        {"resize": (Resize("tf1_bilinear", 299),)},
        {"input_range": "symmetric"},
        {"weights_sha256": "0" * 64},
        {"reference": PROTOCOLS["fid/legacy-arldm/v1"].reference},
        {"version": "v2"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_every_field_moves_the_digest(change):
    assert replace(PROTOCOLS[DEFAULT], **change).digest != PROTOCOLS[DEFAULT].digest


def test_a_protocol_is_frozen():
    with pytest.raises(FrozenInstanceError):
        PROTOCOLS[DEFAULT].dtype = "float64"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_configuration_files_are_the_frozen_objects(path):
    found = Protocol.from_dict(yaml.safe_load(path.read_text()))
    assert found == PROTOCOLS[found.id]
    assert path.read_text().startswith(f"# storybench evaluate frames=DIR protocol={found.id}\n")
    assert path.stem == found.name.replace("/", "_").replace("-", "_")


def test_every_published_protocol_has_a_file():
    assert len(FILES) == len(PUBLISHED)


@pytest.mark.parametrize("p", PROTOCOLS.values(), ids=lambda p: p.id)
def test_a_protocol_survives_being_written_down(p):
    assert Protocol.from_dict(p.to_dict()) == p


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resise": []}, "Unknown field 'resise' of a protocol. Did you mean: resize"),
        ({"resize": [["pil_bicubi", 299]]}, "Unknown resize method 'pil_bicubi'. Did you mean: pil_bicubic"),
        ({"input_range": "unit"}, "Unknown input range 'unit'"),
        ({"resize": [299]}, "cannot be read"),
    ],
)
def test_a_wrong_definition_is_said_in_one_sentence(change, said):
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        Protocol.from_dict({**PROTOCOLS[DEFAULT].to_dict(), **change})


def test_aliases_and_all():
    assert protocol("fid:standard").id == DEFAULT == "fid/clean-inception/v1"
    assert protocol("fid:sgv").id == "fid/legacy-storygptv/v1"
    assert [p.id for p in choose("all")] == list(PROTOCOLS)
    assert [p.id for p in choose(["fid:sgv", "fid/legacy-storygptv/v1"])] == ["fid/legacy-storygptv/v1"]
    assert set(ALIASES.values()) <= set(PROTOCOLS)
    with pytest.raises(ConfigError, match="Did you mean: fid/legacy-arldm/v1"):
        protocol("fid/legacy-arldm")


def test_storygptv_shows_inception_values_it_never_saw_in_training():
    """metrics.md 5.5: about -2.1 .. 2.6 in place of -1 .. 1."""
    ends = torch.tensor([0.0, 255.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    found = in_range(ends, "imagenet_taken_as_symmetric")
    assert (round(found.min().item(), 2), round(found.max().item(), 2)) == (-2.12, 2.64)
    assert in_range(ends, "symmetric").flatten().tolist() == [-1.0, 1.0] * 3
    assert in_range(ends, "tensorflow").flatten().tolist() == [-1.0, 0.9921875] * 3  # 127 / 128


@pytest.mark.parametrize(
    ("name", "size", "mean", "std"),
    [
        ("fd/dinov2-vitl14/v1", 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("cmmd/clip-l14-336/v1", 336, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ],
)
def test_dinov2_and_clip_get_what_torchvision_would_give(name, size, mean, std):
    image = pictures(1)[0]
    chain = transforms.Compose([
        transforms.ToTensor(),
        transforms.Resize((size, size), transforms.InterpolationMode.BICUBIC, antialias=True),
        transforms.Normalize(mean, std),
    ])  # fmt: skip
    torch.testing.assert_close(prepare([image], PROTOCOLS[name])[0], chain(image), atol=3e-4, rtol=0)  # as for resizes


def small(name: str, folder: Path, width: int) -> Protocol:
    """The protocol over a tiny model of the same kind, saved by transformers."""
    torch.manual_seed(0)
    sizes = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}
    if name.startswith("cmmd"):
        config = CLIPVisionConfig(**sizes, intermediate_size=48, projection_dim=width, image_size=336)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    else:
        Dinov2Model(Dinov2Config(**sizes, image_size=518)).save_pretrained(folder)
    return replace(PROTOCOLS[name], weights_sha256="", width=width)


def test_dinov2_features_are_the_class_token(tmp_path):
    p = small("fd/dinov2-vitl14/v1", tmp_path, 32)
    image = pictures(1)[0]
    found = open_observer(p, tmp_path, batch_size=1).observe([image])[0]["features"]
    model = Dinov2Model.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model(pixel_values=prepare([image], p)).pooler_output[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_clip_features_are_unit_image_embeds(tmp_path):
    p = small("cmmd/clip-l14-336/v1", tmp_path, 32)
    image = pictures(1)[0]
    observer = open_observer(p, tmp_path, batch_size=1)
    found = observer.observe([image])[0]["features"]
    model = CLIPVisionModelWithProjection.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model(pixel_values=prepare([image], p)).image_embeds[0].numpy()
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)
    assert observer.id == f"cmmd/clip-l14-336/v1~{p.digest}+{observer.sha256[:12]}"  # no pinned hash: the one found


def test_an_own_definition_under_a_known_name_is_another_entry_of_the_cache():
    known = PROTOCOLS["fd/toonsv-perceiver/clean-inception/v1"]
    own = [replace(known, name="fd/mine", resize=(Resize(how, 128),)) for how in ("area", "torch_bilinear")]
    ids = [open_observer(p).id for p in (known, replace(known, resize=own[0].resize), *own)]
    assert ids[0] == known.id
    assert len(set(ids)) == 4


def test_a_folder_of_another_model_is_refused(tmp_path):
    small("cmmd/clip-l14-336/v1", tmp_path, 32)
    with pytest.raises(AssetError, match="is no DINOv2 model"):
        open_observer(replace(PROTOCOLS["fd/dinov2-vitl14/v1"], weights_sha256=""), tmp_path)


@pytest.mark.parametrize("p", PUBLISHED, ids=lambda p: p.id)
def test_weights_that_are_not_here_come_with_the_command_that_fetches_them(p, tmp_path, monkeypatch):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path))
    with pytest.raises(AssetError, match=rf"{p.extractor}.*(curl|hf download)"):
        open_observer(p)


@pytest.mark.parametrize("p", STAND_INS, ids=lambda p: p.id)
def test_a_stand_in_says_so_in_its_id(p):
    assert p.stand_in
    assert "/toonsv-perceiver/" in p.id
    assert p.distance in ("fd", "cmmd")
    assert p.resize[-1] == ("area", 128)


def test_a_stand_in_sees_the_chain_of_its_protocol():
    """legacy-arldm: what is left of a frame after 64 pixels is all that the ToonSV network gets."""
    image = pictures(1)[0]
    found = open_observer(PROTOCOLS["fd/toonsv-perceiver/legacy-arldm/v1"], batch_size=1).observe([image])[0]
    small_image = image.resize((64, 64), Image.Resampling.BILINEAR)
    again = open_observer(PROTOCOLS["fd/toonsv-perceiver/legacy-arldm/v1"], batch_size=1).observe([small_image])[0]
    np.testing.assert_array_equal(found["features"], again["features"])


def test_the_mildest_stand_in_is_nearly_the_perceiver_itself():
    """Up to 299 and back to 128 loses little of a smooth frame; a wrong range loses much."""
    image = pictures(1, 8)[0].resize((128, 128), Image.Resampling.BICUBIC)
    with torch.inference_mode():
        plain = load_perceiver().model(to_pixels(image)[None]).features[0].numpy()

    def away(name: str) -> float:
        found = open_observer(PROTOCOLS[f"fd/toonsv-perceiver/{name}/v1"], batch_size=1).observe([image])[0]["features"]
        return float(np.linalg.norm(found - plain) / np.linalg.norm(plain))

    assert away("clean-inception") < 0.05
    assert away("legacy-storygptv") > 0.3


@pytest.mark.parametrize("name", ["clean-inception", "legacy-storygptv"])
def test_features_do_not_depend_on_the_pictures_beside(name):
    observer = open_observer(PROTOCOLS[f"fd/toonsv-perceiver/{name}/v1"], batch_size=4)
    five = pictures(5)
    together = [row["features"] for row in observer.observe(five)]
    alone = [observer.observe([image])[0]["features"] for image in five]
    np.testing.assert_array_equal(np.stack(together), np.stack(alone))
