"""Boxes, SAM's masks and a classifier as one observer, with tiny random networks and an invented release."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from storybench.cli.main import main
from storybench.errors import AssetError, ConfigError, DataError
from storybench.perception.classifiers.network import Classifier, ClassifierNetwork, preprocess
from storybench.perception.detectors import training
from storybench.perception.detectors.boxes import BoxDetector, boxes_found, load_detector, new_network
from storybench.perception.detectors.finding import DetectedFigures, Sight, sight_of
from storybench.perception.perceiver import to_pixels
from storybench.story import FramePixels

WRITER = Path(__file__).resolve().parents[1] / "data" / "write_flintstones.py"
NAMES = ("Fred", "Wilma", "Dino")


@cache
def writer():
    spec = importlib.util.spec_from_file_location("write_flintstones_for_detectors", WRITER)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp("flintstones") / "release"
    writer().write_storydalle(root, writer().clips())
    return root


@pytest.fixture(scope="module")
def trained(release, tmp_path_factory):
    """Two steps through the command that users give."""
    output = tmp_path_factory.mktemp("detector")
    words = [f"dataset.root={release}", f"output={output}", "steps=2", "batch_size=1", "device=cpu", "check_frames=1"]
    assert main(["train", "model=detector", "stage=flintstones", *words]) == 0
    return output


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8))


class TinyClassifier(nn.Module):
    """Penultimate features and logits of a small random network."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, len(NAMES))

    def forward(self, pixels):
        features = self.trunk(pixels)
        return Sight(features, self.head(features))


def classifier():
    torch.manual_seed(5)
    return TinyClassifier().eval()


def eager_detector():
    """A random detector that takes every box it thinks of."""
    torch.manual_seed(1)
    return BoxDetector(new_network(), "random", score=0.0)


def test_boxes_are_whole_ordered_inside_and_not_empty():
    given = np.array([[50.6, 3.2, 70.1, 20.0], [-4.0, 5.5, 9.5, 300.0], [8.0, 8.0, 8.0, 30.0]], dtype=np.float32)
    found = boxes_found(given, (128, 96))
    assert found.boxes.tolist() == [[0, 5, 10, 96], [50, 3, 71, 20]]
    assert found.masks.shape == (2, 96, 128)
    assert [int(m.sum()) for m in found.masks] == [10 * 91, 21 * 17]
    assert boxes_found(np.zeros((0, 4), np.float32), (128, 96)).masks.shape == (0, 96, 128)


def test_detected_figures_have_the_promised_shapes_and_lengths():
    observer = DetectedFigures(eager_detector(), classifier(), NAMES, "tiny", side=64)
    assert observer.id == "random>0/tiny@64px"
    found = observer.value(observer.observe([picture(0)], [()])[0])
    count = len(found.boxes)
    assert count > 0
    assert found.names == NAMES
    assert found.boxes.shape == (count, 4)
    assert found.probabilities.shape == (count, 3)
    assert found.embeddings.shape == (count, 8)
    assert found.background.shape == (8,)
    assert np.allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)
    assert 0 < found.probabilities.min() <= found.probabilities.max() < 1


def test_a_picture_is_seen_the_same_to_the_last_bit_whatever_stands_beside_it():
    images = [picture(k) for k in range(2)]
    forward = DetectedFigures(eager_detector(), classifier(), NAMES, "tiny", side=64).observe(images, [()] * 2)
    backward = DetectedFigures(eager_detector(), classifier(), NAMES, "tiny", side=64).observe(images[::-1], [()] * 2)
    for a, b in zip(forward, backward[::-1], strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_what_decides_the_figures_is_in_the_id():
    network, look = new_network(), classifier()
    assert BoxDetector(network, "net").id == "net"
    assert len({BoxDetector(network, "net", score=s).id for s in (0.3, 0.5, 0.7)}) == 3
    finder = BoxDetector(network, "net")
    assert DetectedFigures(finder, look, NAMES, "tiny").id == "net/tiny"
    assert len({DetectedFigures(finder, look, NAMES, "tiny", side=s).id for s in (64, 224, 299)}) == 3


def test_a_picture_without_figures_still_has_a_background():
    torch.manual_seed(1)
    blind = BoxDetector(new_network(), "blind", score=1.1)
    found = DetectedFigures(blind, classifier(), NAMES, "tiny", side=64).observe([picture(0)], [()])[0]
    assert {name: a.shape for name, a in found.items()} == {
        "boxes": (0, 4),
        "probabilities": (0, 3),
        "embeddings": (0, 8),
        "background": (8,),
    }


def test_the_classifier_of_a_data_set_looks_at_figures_as_it_looks_at_frames():
    """Given the whole frame as a crop, its features are those of the classifier's own preprocessing, up to rounding."""
    torch.manual_seed(2)
    network = ClassifierNetwork(len(NAMES), auxiliary=False, initialise=False).eval()
    given = Classifier(network, NAMES, "characters", {"id": "random-v1", "size_px": 75})
    image = picture(0).resize((75, 75))
    with torch.inference_mode():
        sight = sight_of(given)(to_pixels(image)[None])
        own = network(preprocess(image, 75)[None])
    assert sight.features.shape == (1, 2048)
    assert torch.allclose(sight.features, own.features, rtol=1e-4, atol=1e-6)
    assert torch.allclose(sight.logits, own.logits, rtol=1e-4, atol=1e-5)


def test_trained_detector_says_where_it_comes_from(trained):
    detector = load_detector(trained)
    assert detector.id.startswith("flintstones-boxes-v1+")
    assert (trained / "manifest.json").read_text().count("6 frames of the train split") == 1  # one episode of six clips


def test_one_changed_byte_of_a_detector_is_refused(trained, tmp_path):
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    with pytest.raises(AssetError, match="SHA-256"):
        load_detector(tmp_path)


def test_no_detector_says_how_to_train(tmp_path):
    with pytest.raises(AssetError, match="storybench train model=detector"):
        load_detector(tmp_path)


def test_steps_on_one_frame_lower_the_loss(release):
    dataset = {
        "name": "flintstones",
        "_target_": "storybench.data.flintstones.flintstones",
        "root": release,
        "subsets": ["train", "val", "test"],
        "texts": ["original"],
    }
    frames = [f for f in training.boxed_frames(dataset, "train") if f.pixels().boxes][:1]
    torch.manual_seed(0)
    first, last = training.optimise(new_network(), frames, np.random.default_rng(0), 4, 1, 0.01, "cpu")
    assert last < 0.9 * first


def test_mirrored_boxes_stay_on_their_pixels():
    image = Image.new("RGB", (128, 96))
    image.paste((255, 0, 0), (10, 20, 40, 60))
    drawn = FramePixels(image, None, ((10, 20, 40, 60), (5, 5, 5, 9)))
    for mirrored in (False, True):
        pixels, target = training.example(drawn, mirrored)
        assert len(target["boxes"]) == 1  # the empty one teaches nothing
        x0, y0, x1, y1 = target["boxes"][0].int().tolist()
        assert (pixels[0, y0:y1, x0:x1] == 1).all()
        assert pixels[0].sum() == (x1 - x0) * (y1 - y0)


def test_a_split_without_boxes_is_refused():
    class Bare:
        def pixels(self):
            return FramePixels(picture(0), None, ())

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, pictures, targets):
            return {"loss": self.weight.sum()}

    with pytest.raises(DataError, match="has no boxes"):
        training.optimise(Loss(), [Bare()], np.random.default_rng(0), 2, 1, 0.01, "cpu")


def test_a_detector_that_finds_the_truth_is_perfect():
    class Frame:
        def __init__(self, drawn):
            self.drawn = drawn

        def pixels(self):
            return self.drawn

    class Oracle:
        def find(self, image):
            return boxes_found(np.array([[10, 20, 40, 60]], np.float32), image.size)

    there = Frame(FramePixels(picture(0), None, ((10, 20, 40, 60),)))
    nobody = Frame(FramePixels(picture(1), None, ()))
    assert training.measure(Oracle(), [there]) == {"recall": 1, "precision": 1, "boxes": 1, "frames": 1}
    assert training.measure(Oracle(), [there, nobody])["precision"] == 0.5


def tiny_sam():
    """SAM's own classes with random weights: 64-px input instead of 1024."""
    modeling = pytest.importorskip("segment_anything").modeling
    torch.manual_seed(0)
    sam = modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=64,
            patch_size=8,
            embed_dim=32,
            depth=1,
            num_heads=2,
            out_chans=32,
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(0,),
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        ),
        modeling.PromptEncoder(embed_dim=32, image_embedding_size=(8, 8), input_image_size=(64, 64), mask_in_chans=16),
        modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(depth=1, embedding_dim=32, num_heads=2, mlp_dim=64),
            transformer_dim=32,
            iou_head_depth=2,
            iou_head_hidden_dim=32,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))  # so that masks differ from box to box
    return sam.eval()


class TwoBoxes:
    id = "two"

    def find(self, image):
        return boxes_found(np.array([[60, 10, 110, 80], [5, 10, 50, 90]], np.float32), image.size)


def test_sam_turns_boxes_into_masks_as_its_own_predictor_does():
    segment_anything = pytest.importorskip("segment_anything")
    from storybench.perception.detectors.sam import SamFigures

    sam, image = tiny_sam(), picture(3)
    finder = SamFigures(sam, "sam-tiny", TwoBoxes())
    assert finder.id == "sam-tiny(two)"
    found = finder.find(image)
    predictor = segment_anything.SamPredictor(sam)
    predictor.set_image(np.asarray(image))
    expected = [predictor.predict(box=box, multimask_output=False)[0][0] for box in TwoBoxes().find(image).boxes]
    expected = [mask for mask in expected if mask.any()]
    assert len(found.masks) == len(expected) > 0
    assert {m.tobytes() for m in found.masks} == {np.asarray(m, bool).tobytes() for m in expected}
    for mask, (x0, y0, x1, y1) in zip(found.masks, found.boxes.astype(int), strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum()


def test_sam_without_boxes_gives_things_that_share_no_pixel():
    pytest.importorskip("segment_anything")
    from storybench.perception.detectors.sam import LARGEST, SMALLEST, SamFigures

    finder = SamFigures(
        tiny_sam(), "sam-tiny", points_per_side=4, pred_iou_thresh=-1e9, stability_score_thresh=0.0, box_nms_thresh=1.0
    )
    assert finder.id != SamFigures(tiny_sam(), "sam-tiny", points_per_side=8).id  # other settings, other figures
    masks = finder.find(picture(4)).masks
    assert len(masks) > 0
    assert masks.sum(0).max() <= 1
    assert all(SMALLEST <= mask.mean() <= LARGEST for mask in masks)


def test_sam_checkpoints_are_checked(tmp_path, monkeypatch):
    registry = pytest.importorskip("segment_anything").sam_model_registry
    from storybench.perception.detectors.sam import load_sam_figures

    monkeypatch.setitem(registry, "tiny", lambda checkpoint=None: tiny_sam())
    path = tmp_path / "sam.pth"
    torch.save(tiny_sam().state_dict(), path)
    loaded = load_sam_figures(path, "tiny", TwoBoxes())
    assert loaded.id.startswith("sam-tiny+")
    assert len(loaded.find(picture(3)).masks) > 0
    with pytest.raises(AssetError, match="SHA-256"):
        load_sam_figures(path, "tiny", sha256="0" * 64)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(AssetError, match="no checkpoint of SAM tiny"):
        load_sam_figures(tmp_path / "other.pth", "tiny")
    with pytest.raises(AssetError, match="No SAM checkpoint"):
        load_sam_figures(tmp_path / "none.pth", "tiny")
    with pytest.raises(ConfigError, match="SAM model_type"):
        load_sam_figures(path, "vit_x")
