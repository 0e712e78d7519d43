"""How figures are cut out, grouped and taught: shapes, labels, and a short run of the real loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from storybench.data.toonsv.drawing.render import render
from storybench.data.toonsv.scene import Actor, Scene
from storybench.perception.figures import training
from storybench.perception.figures.crops import GREY, boxes_of, cut_figures, without_figures
from storybench.perception.figures.examples import draw, hue_shares, make_batch, move, segmentation_targets, turn_hues
from storybench.perception.figures.grouping import group
from storybench.perception.figures.loading import load_network
from storybench.perception.figures.measuring import rank_auc
from storybench.perception.figures.network import FigureConfig, FigureNetwork, Maps
from storybench.perception.scenes import random_scene

CONFIG = training.toonsv_config()
TINY = FigureConfig(
    CONFIG.characters, CONFIG.settings, segmenter=(8, 8, 12, 16), figure=(8, 12, 16), place=(8, 12, 16), width=16
)


def drawn_scenes(count, seed=0):
    rng = np.random.default_rng(seed)
    return [draw(random_scene(rng), CONFIG) for _ in range(count)]


def perfect_maps(instances):
    """Return the maps that a network without any error would give."""
    mask, centre, offset = segmentation_targets(instances)
    return Maps(40 * (mask - 0.5), torch.logit(centre.clamp(1e-4, 1 - 1e-4)), offset)


def test_perfect_maps_give_the_true_masks_back():
    for d in drawn_scenes(12):
        masks = group(perfect_maps(d.instances[None]))
        numbers = [k for k in range(1, len(d.who) + 1) if (d.instances == k).sum() >= 300]
        for k in numbers:
            truth = d.instances.numpy() == k
            best = max((truth & m).sum() / (truth | m).sum() for m in masks)
            assert best > 0.85  # the grid has 2-pixel cells; thin arms lose most


def test_a_figure_without_a_middle_is_still_a_figure():
    instances = torch.zeros(1, 128, 128, dtype=torch.uint8)
    instances[0, 30:90, 20:50] = 1
    instances[0, 40:100, 80:110] = 2
    maps = perfect_maps(instances)
    silent = maps._replace(centre=torch.full_like(maps.centre, -9.0))
    assert len(group(silent)) == 2
    one = maps._replace(centre=torch.where(torch.arange(64) < 32, maps.centre, torch.tensor(-9.0)))
    assert len(group(one)) == 2


def test_boxes_are_tight_and_crops_show_the_figure_on_grey():
    pixels = torch.rand(2, 3, 128, 128)
    masks = torch.zeros(2, 128, 128, dtype=torch.bool)
    masks[0, 10:70, 5:25] = True
    masks[1, 127, 127] = True
    assert boxes_of(masks).tolist() == [[5, 10, 25, 70], [127, 127, 128, 128]]
    crops = cut_figures(pixels, masks)
    assert crops.shape == (2, 3, 56, 56)
    assert torch.allclose(crops[0, :, :, :10], torch.tensor(GREY))  # beside a narrow figure
    assert (crops[0, :, 28, 28] != GREY).all()


def test_background_holds_nothing_of_a_figure():
    masks = torch.zeros(1, 128, 128, dtype=torch.bool)
    masks[0, 40:100, 40:80] = True
    pixels, other = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)
    swapped = torch.where(masks[:, None], other, pixels)
    assert torch.equal(without_figures(pixels, masks), without_figures(swapped, masks))


def test_masks_move_with_their_pixels():
    """Frames whose pixels are their own instance map stay so: moved masks lie on moved pixels."""
    instances = torch.stack([d.instances for d in drawn_scenes(6)])
    pixels = (instances > 0).float()[:, None].expand(-1, 3, -1, -1)
    moved, labels = move(pixels, instances, np.random.default_rng(0))
    agree = (moved[:, 0] > 0.5) == (labels > 0)
    assert agree.float().mean() > 0.985  # rims: one is nearest, the other bilinear
    assert not torch.equal(labels, instances)


def test_hues_turn_around_grey():
    red, grey = torch.tensor([0.8, 0.2, 0.2]), torch.tensor([0.4, 0.4, 0.4])
    assert torch.allclose(turn_hues(red, 1 / 3), torch.tensor([0.2, 0.8, 0.2]), atol=1e-6)
    assert torch.allclose(turn_hues(grey, 0.21), grey, atol=1e-6)
    assert torch.allclose(turn_hues(red, 1.0), red, atol=1e-6)


@pytest.mark.parametrize(("angle", "share"), [(0.0, 1.0), (1 / 12, 0.5), (1 / 6, 0.0), (0.5, 0.0), (11 / 12, 0.5)])
def test_a_label_fades_as_hues_turn(angle, share):
    shares = hue_shares(2, angle, CONFIG)
    assert shares.sum() == pytest.approx(1)
    assert float(shares[2 * CONFIG.hues]) == pytest.approx(share, abs=1e-5)


def test_a_batch_repeats_by_seed_and_has_the_promised_shapes():
    drawn = drawn_scenes(8)
    first, again = (make_batch(drawn, CONFIG, np.random.default_rng(1)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.pixels.shape == (8, 3, 128, 128)
    assert first.mask.shape == first.centre.shape == (8, 64, 64)
    assert len(first.crops) == len(first.who) > 0
    assert torch.allclose(first.who.sum(1), torch.ones(len(first.who)))


def test_a_batch_without_figures_is_refused():
    empty = draw(Scene("meadow", (), "sunny", "mint"), CONFIG)
    with pytest.raises(ValueError, match="at least one visible figure"):
        make_batch([empty], CONFIG, np.random.default_rng(0))


def test_probabilities_of_own_colours_and_of_others_make_one():
    network = FigureNetwork(TINY)
    logits = torch.randn(5, len(TINY.characters) * TINY.hues)
    who = network.who(logits)
    assert who.shape == (5, 9)
    assert torch.allclose(who[:, 3], logits.softmax(1)[:, 3 * TINY.hues])
    assert (who.sum(1) < 1).all()


def test_rank_auc_counts_ties_as_one_half():
    assert rank_auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert rank_auc(np.array([2.0, 0.0]), np.array([1.0])) == 0.5
    assert rank_auc(np.array([3.0]), np.array([1.0, 2.0])) == 1.0
    assert np.isnan(rank_auc(np.array([]), np.array([1.0])))


def test_a_few_steps_lower_every_loss():
    torch.manual_seed(0)
    network = FigureNetwork(TINY).train()
    batch = make_batch(drawn_scenes(8), CONFIG, np.random.default_rng(0))
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    seen = []
    for _ in range(12):
        parts = training.losses(
            network.maps(batch.pixels), network.figures(batch.crops), network.places(batch.places), batch
        )
        total = sum(training.WEIGHTS[name] * value for name, value in parts.items())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        seen.append({name: value.item() for name, value in parts.items()})
    assert all(seen[-1][name] < seen[0][name] for name in seen[0])


def test_training_writes_an_asset_that_loads_and_looks(tmp_path):
    manifest = training.train(output=str(tmp_path), steps=1, batch_size=6, check_stories=1)
    asset = load_network(folder=tmp_path)
    assert asset.id == f"toonsv-figures-v1+{manifest['files']['weights.safetensors'][:8]}"
    assert manifest["accuracies"]["frames"] == 5
    again = training.train(output=str(tmp_path / "again"), steps=0, check_stories=1, start_from=str(tmp_path))
    assert again == manifest  # nothing was trained: same weights, same training facts, same accuracies


def test_hidden_figures_teach_no_identity():
    actors = (Actor("Zara", "stand", 64, 1, "red"), Actor("Otto", "stand", 64, 1, "red"))
    scene = Scene("meadow", actors, "sunny", "mint")
    visible = np.bincount(render(scene).instances.ravel(), minlength=3)[1:]
    assert visible.min() < 700
    shown = make_batch([draw(scene, CONFIG)], CONFIG, np.random.default_rng(3))
    assert len(shown.crops) == int((visible >= 150).sum())
