"""Training frames of stage 1: crops, masks, flips, dropout, and batches that depend on their number alone."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from storybench.data.flintstones import flintstones
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError, DataError
from storybench.story import Caption, Character, Frame, FramePixels
from storygptv.char_ldm.crops import character_crop, mask_box, portrait_picture, square, varied
from storygptv.char_ldm.dropout import conditioning_dropout
from storygptv.char_ldm.frame_items import FrameOptions, make_item
from storygptv.char_ldm.instances import shown_character
from storygptv.char_ldm.story_frames import StoryBatches, StoryFrames

WRITER = Path(__file__).resolve().parents[1] / "data" / "write_flintstones.py"
CAST = (Character("Fred", "he"), Character("Wilma", "she"), Character("Mr Slate", "he", ("Slate",)))
PLAIN = FrameOptions(size_px=64, cond_dropout="none", augment=False, flip=0.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def frame_of(caption="Fred sees Wilma.", labels=("Fred", "Wilma"), instances=True, boxes=True):
    """A 128-px frame: Fred is a red ellipse on the left, Wilma a green one on the right, the rest is blue."""
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[..., 2] = 200
    y, x = np.mgrid[:128, :128]
    found = np.zeros((128, 128), np.uint8)
    for k, (centre, channel) in enumerate(((32, 0), (96, 1)), start=1):
        inside = ((x - centre) / 20) ** 2 + ((y - 64) / 40) ** 2 < 1
        pixels[inside] = 0
        pixels[inside, channel] = 255
        found[inside] = k
    truth = FramePixels(
        Image.fromarray(pixels),
        found if instances else None,
        ((12, 24, 52, 104), (76, 24, 116, 104)) if boxes else (),
        labels,
    )
    return Frame(0, {"original": Caption(caption)}, tuple(labels), "", load=lambda: truth, id="clip/0")


def item(frame, options=PLAIN, seed=0):
    return make_item(frame, frame.captions["original"].text, CAST, options, seeded(seed))


def test_a_crop_holds_the_characters_pixels_and_nothing_else_of_the_frame():
    frame = frame_of()
    truth = frame.pixels()
    pixels = torch.from_numpy(np.array(truth.image)).permute(2, 0, 1)
    shown = shown_character(truth, frame, "Fred")
    crop = character_crop(pixels, shown.mask, shown.box, seeded())
    assert crop.shape == (3, 80, 40)
    mask = torch.from_numpy(shown.mask[24:104, 12:52])
    red, blue = torch.tensor([255, 0, 0]), torch.tensor([0, 0, 200])
    assert torch.equal(crop[:, mask].T.unique(dim=0), red[None])
    outside = crop[:, ~mask].float()  # uniform noise on 0..255, of which the frame's blue is no part
    assert outside.mean().item() == pytest.approx(127.5, abs=6)
    assert outside.std().item() == pytest.approx(73.9, abs=4)
    assert not (crop[:, ~mask] == blue[:, None]).all(0).any()
    assert not torch.equal(crop, character_crop(pixels, shown.mask, shown.box, seeded(1)))


def test_crops_of_an_item_are_in_the_order_of_the_names():
    crops = item(frame_of("Wilma waves. Fred and Wilma eat.")).crops
    assert crops.shape == (3, 3, 224, 224)
    centre = crops[:, :, 112, 112]
    assert centre.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert crops.min() >= 0
    assert crops.max() <= 1


def test_a_box_that_misses_the_mask_gives_way_to_the_masks_own_bounds():
    frame = frame_of()
    truth = frame.pixels()
    moved = replace(truth, boxes=((0, 0, 10, 10), truth.boxes[1]))
    shown = shown_character(moved, frame, "Fred")
    assert shown.box == mask_box(truth.instances == 1)
    assert shown_character(moved, frame, "Wilma").box == (76, 24, 116, 104)
    assert mask_box(np.zeros((4, 4), bool)) is None


def test_several_instances_of_one_name_are_one_character():
    frame = frame_of(labels=("Fred", "Fred"))
    shown = shown_character(frame.pixels(), frame, "Fred")
    assert shown.box == (12, 24, 116, 104)
    assert shown.mask.sum() == (frame.pixels().instances > 0).sum()


def test_padding_is_black_and_centred_and_portraits_keep_their_shape():
    tall = torch.full((3, 40, 20), 255, dtype=torch.uint8)
    padded = square(tall, 40)
    assert (padded[:, :, :10] == 0).all()
    assert (padded[:, :, 10:30] == 255).all()
    assert (padded[:, :, 30:] == 0).all()
    picture = portrait_picture(Image.new("RGB", (100, 50), (255, 0, 0)), 64)
    assert picture.shape == (3, 64, 64)
    assert picture[:, 32, 32].tolist() == [1, 0, 0]
    assert picture[:, 2, 32].tolist() == [0, 0, 0]


def test_augmentations_vary_by_their_generator_alone():
    crop = torch.randint(256, (3, 60, 40), dtype=torch.uint8, generator=seeded())
    pictures = [varied(crop, seeded(k)) for k in range(24)]
    assert all(p.shape == (3, 224, 224) and p.min() >= 0 and p.max() <= 1 for p in pictures)
    torch.manual_seed(99)  # the global generator has no say
    assert all(torch.equal(varied(crop, seeded(k)), p) for k, p in enumerate(pictures))
    assert len({float(p.sum()) for p in pictures}) == 24
    grey = sum(
        bool((p[0] == p[1]).all() and (p[1] == p[2]).all()) for p in (varied(crop, seeded(k)) for k in range(100))
    )
    assert 2 <= grey <= 22  # 10 expected


@pytest.mark.parametrize(
    ("mode", "characters", "shares"),
    [
        ("paper", 2, (0.1, 0.1, 0.8)),
        ("published", 2, (0.0, 0.1, 0.9)),
        ("published", 1, (0.0, 0.2, 0.8)),
        ("text_only", 2, (0.1, 0.9, 0.0)),
        ("none", 2, (0.0, 0.0, 1.0)),
    ],
)
def test_dropout_shares_over_many_draws(mode, characters, shares):
    generator = seeded()
    drawn = [conditioning_dropout(mode, characters, generator) for _ in range(20_000)]
    unconditional = sum(not kept.caption for kept in drawn)
    fused = sum(kept.caption and kept.pictures for kept in drawn)
    found = [count / len(drawn) for count in (unconditional, len(drawn) - unconditional - fused, fused)]
    assert found == pytest.approx(shares, abs=0.01)  # five standard deviations


def test_items_follow_dropout():
    options = replace(PLAIN, cond_dropout="paper")
    items = [item(frame_of(), options, seed) for seed in range(120)]
    kinds = [(i.caption != "", len(i.spans)) for i in items]
    assert set(kinds) == {(False, 0), (True, 0), (True, 2)}
    assert all(len(i.masks) == len(i.crops) == len(i.supervised) == len(i.spans) for i in items)


def test_picture_and_masks_are_mirrored_together():
    plain, mirrored = item(frame_of()), item(frame_of(), replace(PLAIN, flip=1.0))
    assert torch.equal(mirrored.pixels, plain.pixels.flip(-1))
    assert torch.equal(mirrored.masks, plain.masks.flip(-1))
    red = plain.pixels[0] > 0
    assert (red & plain.masks[0]).sum() / plain.masks[0].sum() > 0.9
    assert ((mirrored.pixels[0] > 0) & mirrored.masks[0]).sum() / mirrored.masks[0].sum() > 0.9


def test_a_wide_frame_is_cut_to_its_middle_square():
    wide = Image.new("RGB", (256, 64), "black")
    wide.paste("white", (96, 0, 160, 64))
    found = np.zeros((64, 256), np.uint8)
    found[:, 96:160] = 1
    truth = FramePixels(wide, found, ((96, 0, 160, 64),), ("Fred",))
    cut = item(Frame(0, {"original": Caption("Fred.")}, ("Fred",), "", load=lambda: truth, id="w"))
    assert cut.pixels.shape == (3, 64, 64)
    assert (cut.pixels == 1).all()
    assert cut.masks.all()


def test_of_many_names_a_random_four_carry_pictures():
    frame = frame_of("Fred, Wilma, Fred, Wilma, Fred and Wilma.")
    chosen = {item(frame, seed=s).spans for s in range(40)}
    assert all(len(spans) == 4 and list(spans) == sorted(spans) for spans in chosen)
    assert len(chosen) > 5


def test_a_missing_mask_is_left_out_or_stops_or_is_empty():
    bare = frame_of(instances=False)
    left_out = item(bare)
    assert not left_out.supervised.any()
    assert left_out.crops[0, :, 4, 60].tolist() == pytest.approx([0, 0, 200 / 255])  # the box as it is
    zeros = item(bare, replace(PLAIN, missing_mask="zeros"))
    assert zeros.supervised.all()
    assert not zeros.masks.any()
    assert zeros.crops[0].std() > 0.15  # noise alone
    with pytest.raises(
        DataError, match=r"clip/0 has no mask of Fred, Wilma: .*storybench data masks.*missing_mask=skip"
    ):
        item(bare, replace(PLAIN, missing_mask="error"))
    nothing = item(frame_of(instances=False, boxes=False))
    assert nothing.spans == ()  # nothing to cut out
    assert nothing.crops.shape == (0, 3, 224, 224)


def test_names_that_the_frame_does_not_show():
    caption = "Fred asks for Mr Slate."
    assert [s.character for s in item(frame_of(caption)).spans] == [0]  # no picture of him to cut out
    portraits = item(frame_of(caption), replace(PLAIN, character_images="portrait", missing_mask="zeros"))
    assert [s.character for s in portraits.spans] == [0, 2]
    assert portraits.crops is None
    assert portraits.supervised.tolist() == [True, False]


def test_wrong_options_are_said_in_one_sentence():
    for options in ({"missing_mask": "drop"}, {"character_images": "crops"}, {"cond_dropout": "papers"}):
        with pytest.raises(ConfigError, match=r"Unknown \w+ '\w+'.*Did you mean|Unknown"):
            FrameOptions(**options)
    with pytest.raises(ConfigError, match="max_characters=0"):
        FrameOptions(max_characters=0)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("write_flintstones_for_frames", WRITER)
    writer = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = writer
    spec.loader.exec_module(writer)
    root = tmp_path_factory.mktemp("flintstones") / "storygptv"
    writer.write_storygptv(root, writer.clips())
    return root


def test_every_frame_once_and_only_those_that_name_somebody_shown(release):
    stories = flintstones("all", root=release, frames=4)
    every = StoryFrames(stories, "original", replace(PLAIN, named_only=False))
    ids = {frame.id for story in stories for frame in story.frames}
    assert len(every) == len(ids) == 18
    named = StoryFrames(stories, "original", PLAIN)
    assert len(named) == sum("dinosaur" not in e.caption for e in every.entries) < len(every)


def test_flintstones_items_have_their_releases_masks(release):
    frames = StoryFrames(flintstones("all", root=release, frames=4), "original", PLAIN)
    number = next(k for k, e in enumerate(frames.entries) if "Barney" in e.caption)
    one = frames.item(0, number)
    assert [frames.cast[s.character].name for s in one.spans] == ["Fred", "Barney", "Barney"]
    assert one.supervised.all()
    assert torch.equal(one.masks[1], one.masks[2])
    assert not (one.masks[0] & one.masks[1]).any()
    assert one.pixels[2, 0, 0] == one.pixels[2, -1, -1]  # a clip has one blue
    with pytest.raises(DataError, match=r"pass dataset\.pictures=true"):
        StoryFrames(flintstones("all", root=release, pictures=False), "original", PLAIN)
    nobody = [replace(s, cast=(Character("Zorro", "he"),)) for s in flintstones("all", root=release)]
    with pytest.raises(DataError, match="named_only=false"):
        StoryFrames(nobody, "original", PLAIN)


def test_random_pictures_of_a_clip_move_with_the_pass(release):
    frames = StoryFrames(flintstones("all", root=release, frames=4, frame="random"), "original", PLAIN)
    reds = {float(frames.item(epoch, 0).pixels[0, 0, 0]) for epoch in range(12)}  # red is the number of the picture
    assert 3 <= len(reds) <= 5
    again = StoryFrames(flintstones("all", root=release, frames=4, frame="random"), "original", PLAIN)
    assert torch.equal(frames.item(7, 0).pixels, again.item(7, 0).pixels)


def same(a, b):
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


def test_batches_depend_on_their_number_and_seed_alone(release):
    options = FrameOptions(size_px=64)
    frames, other = (StoryFrames(flintstones("all", root=release, frames=4), "original", options, s) for s in (3, 4))
    plain, threaded = StoryBatches(frames, 6), StoryBatches(frames, 6, workers=3)
    first = plain(5, 0, 1)
    plain(2, 0, 1)
    assert same(first, plain(5, 0, 1))
    assert same(first, threaded(5, 0, 1))
    halves = [plain(5, share, 2) for share in range(2)]
    assert torch.equal(torch.cat([half.pixels for half in halves]), first.pixels)
    assert not same(first, StoryBatches(other, 6)(5, 0, 1))
    with pytest.raises(ConfigError, match="cannot be cut into 4"):
        plain(5, 0, 4)
    places = [place for step in range(5) for place in frames.places(step, 6)][: 2 * len(frames)]
    for epoch in (0, 1):  # each pass shows every frame once, in an order of its own
        assert sorted(n for e, n in places if e == epoch) == list(range(len(frames)))
    assert [n for e, n in places if e == 0] != [n for e, n in places if e == 1]


def test_toonsv_stories_are_training_data_as_well():
    frames = StoryFrames(ToonSV("train", size=6), "original", PLAIN)
    batch = StoryBatches(frames, 8)(0, 0, 1)
    assert batch.pixels.shape == (8, 3, 64, 64)
    assert all(len(spans) for spans in batch.spans)
    for i, spans in enumerate(batch.spans):
        assert batch.supervised[i].sum() == len(spans)
        assert batch.masks[i, : len(spans)].flatten(1).any(1).all()
        assert not batch.masks[i, len(spans) :].any()
