"""Our resizes against the libraries that published numbers with them, never at 299 pixels, where none of them acts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional as tv

from storybench.perception.protocols.protocol import METHODS, Resize
from storybench.perception.protocols.resizing import (
    STEPS,
    area,
    area_down,
    centre_crop,
    pil_bicubic,
    pil_bilinear_uint8,
    pil_bilinear_uint8_short_side,
    resized,
    tf1_bilinear,
    torch_bilinear,
)

SIZES = [(64, 64), (128, 128), (97, 131), (400, 350), (512, 512)]  # up, down, not square; no 299


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


def test_every_method_has_a_step():
    assert set(METHODS) == set(STEPS)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pil_bicubic_equals_torchvisions_antialiased_bicubic(height, width):
    """Another implementation of the same filter (a = -0.5, support grows with the scale)."""
    x = tensor(noise(height, width))
    expected = tv.resize(x, [299, 299], tv.InterpolationMode.BICUBIC, antialias=True)
    torch.testing.assert_close(pil_bicubic(x, 299), expected, atol=1e-2, rtol=0)  # of 255; torch's weights are float32


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pil_bicubic_is_pillows_picture_before_it_is_rounded(height, width):
    picture = noise(height, width) // 4 + 96  # so soft that nothing is clipped between Pillow's two passes
    eight_bit = np.asarray(Image.fromarray(picture).resize((299, 299), Image.Resampling.BICUBIC)).astype(np.float32)
    ours = pil_bicubic(tensor(picture), 299)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - eight_bit).max() <= 1.5  # it rounds after each pass, and filters in fixed point
    assert np.abs(ours - eight_bit).mean() < 0.5
    assert np.abs(ours - np.round(ours)).max() > 0.4


def test_pil_bicubic_keeps_its_overshoot():
    board = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((8, 8)))[..., None].repeat(3, 2).astype(np.uint8) * 255
    out = pil_bicubic(tensor(board), 299)
    assert out.min() < -5
    assert out.max() > 260


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tf1_bilinear_equals_torch_fidelitys_op(height, width):
    op = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    x = tensor(noise(height, width))
    expected = op.interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(tf1_bilinear(x, 299), expected, atol=0, rtol=0)  # the same float32 operations


@pytest.mark.parametrize("size", [64, 512])
def test_a_ramp_tells_where_each_bilinear_takes_its_samples(size):
    """TensorFlow 1 reads at k s, torch at (k + 1/2) s - 1/2; s is the ratio of the sizes."""
    x = torch.arange(size, dtype=torch.float32).expand(1, 3, size, size).contiguous()
    k, s = torch.arange(299, dtype=torch.float64), size / 299
    for found, place in ((tf1_bilinear(x, 299), k * s), (torch_bilinear(x, 299), (k + 0.5) * s - 0.5)):
        expected = place.clamp(0, size - 1).float().expand(1, 3, 299, 299)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)  # float32 positions up to 512


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_torch_bilinear_equals_torchvision_without_antialias(height, width):
    x = tensor(noise(height, width))
    expected = tv.resize(x, [299, 299], tv.InterpolationMode.BILINEAR, antialias=False)
    torch.testing.assert_close(torch_bilinear(x, 299), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("px", [64, 256])
def test_eight_bit_resize_equals_torchvisions_transform(height, width, px):
    picture = noise(height, width)
    expected = np.asarray(transforms.Resize((px, px))(Image.fromarray(picture)))
    assert np.array_equal(pil_bilinear_uint8(tensor(picture), px)[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_short_side_and_crop_equal_torchvisions_transforms(height, width):
    picture = noise(height, width)
    chain = transforms.Compose([transforms.Resize(299), transforms.CenterCrop(299)])
    ours = centre_crop(pil_bilinear_uint8_short_side(tensor(picture), 299), 299)
    assert np.array_equal(ours[0].permute(1, 2, 0).numpy(), np.asarray(chain(Image.fromarray(picture))))


def test_area_of_whole_ratios_is_the_block_mean():
    x = tensor(noise(512, 256))
    torch.testing.assert_close(area(x, 128), F.avg_pool2d(x, (4, 2)), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("size", "px"), [(48, 32), (30, 18), (20, 28)])
def test_area_of_broken_ratios_counts_parts_of_pixels(size, px):
    """Repeat every pixel until the ratio is whole: the block mean is the exact area."""
    x = tensor(noise(size, size))
    fine = math.lcm(size, px)
    repeated = x.repeat_interleave(fine // size, 2).repeat_interleave(fine // size, 3)
    torch.testing.assert_close(area(x, px), F.avg_pool2d(repeated, fine // px), atol=1e-3, rtol=0)


def test_area_keeps_a_grey_picture_grey():
    grey = torch.full((1, 3, 299, 299), 77.0)
    torch.testing.assert_close(area(grey, 128), torch.full((1, 3, 128, 128), 77.0), atol=1e-4, rtol=0)


def test_area_down_leaves_small_pictures_alone():
    x = tensor(noise(128, 128))
    assert area_down(x, 128) is x
    assert area_down(tensor(noise(256, 256)), 128).shape[2:] == (128, 128)


def test_antialiasing_matters_for_large_frames_and_not_at_299():
    """torchmetrics' own test of the switch feeds 299 px, where on and off agree by definition."""
    large, same = tensor(noise(1024, 1024)), tensor(noise(299, 299))
    kept, averaged = torch_bilinear(large, 299).std(), pil_bicubic(large, 299).std()
    assert kept > 1.5 * averaged  # noise averages out only under a wide filter
    torch.testing.assert_close(torch_bilinear(same, 299), pil_bicubic(same, 299), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [128, 512])
def test_no_two_ways_to_299_give_the_same_picture(size):
    ways = {
        "clean": (Resize("pil_bicubic", 299),),
        "tf": (Resize("tf1_bilinear", 299),),
        "torch": (Resize("torch_bilinear", 299),),
        "storygptv": (Resize("pil_bilinear_uint8_short_side", 299), Resize("centre_crop", 299)),
        "64": (Resize("pil_bilinear_uint8", 64), Resize("torch_bilinear", 299)),
        "256": (Resize("pil_bilinear_uint8", 256), Resize("torch_bilinear", 299)),
    }
    x = tensor(noise(size, size))
    found = {name: resized(x, steps) for name, steps in ways.items()}
    for a, b in itertools.combinations(ways, 2):
        assert (found[a] - found[b]).abs().mean() > 0.15, (a, b)  # of 255; rounding alone gives 0.25


def test_an_eight_bit_resize_refuses_broken_values():
    with pytest.raises(ValueError, match="comes first in a chain"):
        pil_bilinear_uint8(torch.full((1, 3, 8, 8), 0.5), 4)
