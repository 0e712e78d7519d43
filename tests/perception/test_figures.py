"""The shipped network of figures on true frames: what it finds, and that it depends on its picture alone."""

from __future__ import annotations

import shutil
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from storybench.data.toonsv import world
from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Actor, Scene
from storybench.errors import AssetError
from storybench.perception.assets import WEIGHTS_ROOT
from storybench.perception.figures import crops, grouping, network
from storybench.perception.figures.loading import CONSTANTS, NAME, constants_hash, load_network
from storybench.perception.figures.measuring import measure, recoloured_cosines
from storybench.perception.figures.observer import load_figures

STORIES = 12  # 60 true frames of val; the manifest reports on test


@cache
def observer():
    return load_figures()


@cache
def measured():
    val = ToonSV("val")
    return measure(observer(), (val[k] for k in range(STORIES)))


@cache
def true_images():
    return [frame.image for frame in ToonSV("val")[3].frames]


def figures(image):
    return observer().value(observer().observe([image], [()])[0])


def scene(*actors, setting="meadow"):
    return render(Scene(setting, actors, "sunny", "mint"))


def test_masks_of_true_figures_are_close():
    assert measured()["mask_iou"] >= 0.85  # manifest less a margin for 60 frames
    assert measured()["figure_found"] >= 0.97


def test_true_figures_are_counted_and_named():
    assert measured()["count_right"] >= 0.93
    assert measured()["who_right"] >= 0.97


def test_embeddings_tell_characters_and_places_within_a_story():
    assert measured()["identity_auc"] >= 0.98
    assert measured()["setting_right"] >= 0.97
    assert measured()["setting_auc"] >= 0.97


def test_manifest_reports_what_is_promised():
    asset = observer().asset
    assert asset.accuracies["frames"] >= 500
    assert asset.accuracies["mask_iou"] >= 0.85
    assert asset.manifest["training"]["seconds"] > 0
    assert asset.id.startswith("toonsv-figures-v1+")


def test_values_have_the_promised_shapes_and_lengths():
    for image in true_images():
        found = figures(image)
        count = len(found.boxes)
        assert found.names == world.NAMES
        assert found.boxes.shape == (count, 4)
        assert found.probabilities.shape == (count, 9)
        assert found.embeddings.shape == (count, 64)
        assert found.background.shape == (64,)
        everything = (found.boxes, found.probabilities, found.embeddings, found.background)
        assert {a.dtype for a in everything} == {np.dtype(np.float32)}
        assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
        assert found.boxes.min(initial=0) >= 0
        assert found.boxes.max(initial=0) <= world.SIZE_PX
        assert found.probabilities.min(initial=0) >= 0
        assert found.probabilities.sum(1).max(initial=0) <= 1 + 1e-5  # the rest is somebody else
        assert np.allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)
        assert np.linalg.norm(found.background) == pytest.approx(1, abs=1e-5)


def test_an_empty_place_and_one_colour_have_no_figure():
    assert len(figures(scene().image).boxes) == 0
    assert len(figures(Image.new("RGB", (128, 128), (120, 180, 90))).boxes) == 0


def test_a_picture_is_seen_the_same_to_the_last_bit_whatever_stands_beside_it():
    images = true_images()
    captions = [()] * len(images)
    forward = observer().observe(images, captions)
    backward = observer().observe(images[::-1], captions)[::-1]
    alone = [load_figures().observe([image], [()])[0] for image in images]
    for a, b, c in zip(forward, backward, alone, strict=True):
        assert a.keys() == b.keys() == c.keys()
        assert all(np.array_equal(a[name], b[name]) and np.array_equal(a[name], c[name]) for name in a)


def test_two_of_the_same_are_two_figures_that_look_alike():
    twins = figures(scene(Actor("Zara", "wave", 34, 1, "red"), Actor("Zara", "stand", 92, -1, "blue")).image)
    pair = figures(scene(Actor("Zara", "wave", 34, 1, "red"), Actor("Otto", "stand", 92, -1, "blue")).image)
    assert len(twins.boxes) == len(pair.boxes) == 2
    assert float(twins.embeddings[0] @ twins.embeddings[1]) > 0.7
    assert float(pair.embeddings[0] @ pair.embeddings[1]) < 0.4


@pytest.mark.parametrize("scarf", world.SCARF_COLOURS)
def test_a_scarf_changes_nobody(scarf):
    plain, other = (figures(scene(Actor("Finn", "stand", 64, 1, s)).image) for s in ("white", scarf))
    assert float(plain.embeddings[0] @ other.embeddings[0]) > 0.8
    assert other.names[int(other.probabilities[0].argmax())] == "Finn"


def test_a_recoloured_figure_moves_away_the_more_the_further_its_hues_turn():
    frames = [f.pixels() for k in range(4) for f in ToonSV("val")[k].frames[:2]]
    turns = (0.02, 0.08, 0.16, 1 / 3)
    means = [np.mean([c for f in frames for c in recoloured_cosines(observer(), f, turn)]) for turn in turns]
    assert means[0] > 0.85  # a tint is the same character
    assert means[-1] < 0.5
    assert means == sorted(means, reverse=True)


def test_a_stranger_is_found_and_is_nobody_of_the_cast():
    """A drawing of no kind that training had: round body, round head, two eyes."""
    image = scene(Actor("Zara", "stand", 30, 1, "red")).image.copy()
    pen = ImageDraw.Draw(image)
    pen.ellipse((75, 70, 105, 116), fill=(120, 60, 180), outline=(60, 20, 90))
    pen.ellipse((77, 48, 103, 76), fill=(200, 170, 230), outline=(60, 20, 90))
    for x in (83, 93):
        pen.ellipse((x, 58, x + 5, 64), fill=(20, 20, 20))
    found = figures(image)
    assert len(found.boxes) == 2
    assert np.abs(found.boxes[1] - [75, 48, 106, 117]).max() <= 4
    assert found.probabilities[0].max() > 0.9
    assert found.probabilities[1].sum() < 0.4


def test_soft_frames_keep_their_figures():
    """Generated frames are softer than drawings."""
    for image in true_images():
        sharp, soft = figures(image), figures(image.filter(ImageFilter.GaussianBlur(1.0)))
        assert len(sharp.boxes) == len(soft.boxes)
        assert (np.einsum("ne,ne->n", sharp.embeddings, soft.embeddings) > 0.6).all()


def test_background_ignores_who_stands_there():
    here = figures(scene(Actor("Zara", "wave", 30, 1, "red")).image)
    crowd = figures(scene(Actor("Bolt", "sit", 60, 1, "red"), Actor("Otto", "run", 100, 1, "blue")).image)
    elsewhere = figures(scene(Actor("Zara", "wave", 30, 1, "red"), setting="kitchen").image)
    assert float(here.background @ crowd.background) > 0.85  # 0.98 and 0.54 on average, see the manifest
    assert float(here.background @ elsewhere.background) < 0.7


def test_one_changed_byte_is_refused(tmp_path):
    folder = tmp_path / NAME
    shutil.copytree(WEIGHTS_ROOT / NAME, folder)
    assert load_figures(folder=folder).id == observer().id
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(data)
    with pytest.raises(AssetError, match="SHA-256"):
        load_figures(folder=folder)


def test_no_folder_says_how_to_train(tmp_path):
    with pytest.raises(AssetError, match="storybench train model=figures"):
        load_figures(folder=tmp_path / "none")


def test_shipped_files_stay_small():
    assert sum(f.stat().st_size for f in (WEIGHTS_ROOT / NAME).iterdir()) <= 1_500_000


def test_constants_of_v1_did_not_change_silently():
    """Another number is another figure: give the manifest a new id, and CONSTANTS the new hash."""
    assert constants_hash() == CONSTANTS


@pytest.mark.parametrize(("module", "name"), [(grouping, "PEAK"), (crops, "RIM_PX"), (network, "SHARPNESS")])
def test_another_constant_is_another_id(module, name, monkeypatch):
    before = load_network().id
    monkeypatch.setattr(module, name, getattr(module, name) * 2)
    assert load_network().id.startswith(f"{before}~")
