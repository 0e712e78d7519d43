"""The JPEG ghost: true and generated frames have none, frames that were JPEG once do."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from submission_archives import as_jpeg, mirrored

from storybench.data.toonsv.dataset import ToonSV
from storybench.submission.traces import DIP, is_one_colour, is_scaled_up, jpeg_ghost

QUALITIES = (60, 75, 85, 92)


def drawn(count: int) -> list[Image.Image]:
    """Return true frames of different test stories."""
    test = ToonSV("test")
    return [test[k * 5].frames[k % 5].image for k in range(count)]


def test_true_frames_have_no_ghost():
    assert min(jpeg_ghost(image).depth for image in drawn(20)) > 1.0


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("subsampling", [0, 2])
def test_frames_that_were_jpeg_have_one_at_their_quality(quality, subsampling):
    found = [jpeg_ghost(as_jpeg(image, quality, subsampling)) for image in drawn(8)]
    assert all(ghost.is_jpeg for ghost in found)
    if quality > 60:  # there the colour's coarser grid moves the dip of the brightness
        assert np.mean([ghost.quality == quality for ghost in found]) >= 0.75


def test_soft_and_noisy_pictures_have_none():
    """As a model draws them: blurred, with noise, enlarged smoothly."""
    generator = np.random.default_rng(0)
    for image in drawn(4):
        soft = image.filter(ImageFilter.GaussianBlur(1.5))
        noisy = np.asarray(image, np.int16) + generator.integers(-6, 7, (128, 128, 3))
        larger = image.resize((64, 64), Image.Resampling.LANCZOS).resize((128, 128), Image.Resampling.BICUBIC)
        for picture in (soft, Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), larger):
            assert not jpeg_ghost(picture).is_jpeg


def test_a_picture_of_one_colour_has_none():
    for colour in ((0, 0, 0), (255, 255, 255), (17, 200, 90)):
        flat = Image.new("RGB", (128, 128), colour)
        assert is_one_colour(flat)
        assert not jpeg_ghost(flat).is_jpeg
        assert not is_scaled_up(flat)


def test_only_pictures_of_doubled_pixels_are_called_scaled_up():
    for image in mirrored().values():
        assert not is_scaled_up(image)
        assert is_scaled_up(image.resize((64, 64)).resize((128, 128), Image.Resampling.NEAREST))
        assert not is_scaled_up(image.resize((64, 64)).resize((128, 128), Image.Resampling.BILINEAR))


@pytest.mark.slow
def test_the_rates_on_a_hundred_frames():
    """No false alarm, and 95 or more of 100 found at each quality; printed with -s."""
    frames = drawn(100)
    clean = [jpeg_ghost(image).depth for image in frames]
    print(f"\nclean: least {min(clean):.3f}, flagged {sum(depth < DIP for depth in clean)} of {len(clean)}")
    assert min(clean) > DIP
    for quality in (*QUALITIES, 95):
        depths = [jpeg_ghost(as_jpeg(image, quality)).depth for image in frames]
        hits = sum(depth < DIP for depth in depths)
        print(f"quality {quality}: most {max(depths):.3f}, flagged {hits} of {len(depths)}")
        assert hits >= 0.95 * len(depths)  # a quarter of a sample decides
