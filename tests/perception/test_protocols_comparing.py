"""One set of frames under many protocols, with the real network and real pictures."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from rich.console import Console
from transformers import Dinov2Config, Dinov2Model

from storybench.comparing_protocols import compare_protocols, protocols_asked
from storybench.data.flintstones import flintstones
from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError, DataError
from storybench.frames import FrameStore
from storybench.metrics.functional.frechet import frechet_distance
from storybench.metrics.functional.kernel import cmmd
from storybench.perception.cache import ObservationCache
from storybench.perception.protocols import PROTOCOLS, Reference, open_observer
from storybench.perception.protocols.looking import pixel_hash
from storybench.perception.protocols.published import DINOV2
from storybench.protocol_scores import ProtocolScore, protocols_table

STORIES = [ToonSV("mini")[k] for k in range(4)]
CLEAN, SGV = "fd/toonsv-perceiver/clean-inception/v1", "fd/toonsv-perceiver/legacy-storygptv/v1"
ARLDM, CMMD = "fd/toonsv-perceiver/legacy-arldm/v1", "cmmd/toonsv-perceiver/clip-l14-336/v1"
VIZ = "fd/toonsv-perceiver/legacy-storyviz/v1"


class Pictures:
    """Frames held in memory."""

    def __init__(self, images: dict[tuple[str, int], Image.Image]) -> None:
        self.images = images

    def read(self, story_id: str, frame: int) -> Image.Image:
        return self.images[story_id, frame]


def true_pictures(stories=STORIES):
    return {(story.id, frame.index): frame.image for story in stories for frame in story.frames}


@pytest.fixture(scope="module")
def blurred():
    return Pictures({place: image.filter(ImageFilter.GaussianBlur(2)) for place, image in true_pictures().items()})


@pytest.fixture(scope="module")
def scores(blurred):
    return {s.id: s for s in compare_protocols(STORIES, blurred, [CLEAN, ARLDM, VIZ, CMMD])}


def rows(name, pictures):
    observer = open_observer(PROTOCOLS[name])
    return np.stack([observer.value(seen) for seen in observer.observe(pictures)]).astype(np.float64)


@pytest.mark.parametrize(("name", "distance"), [(CLEAN, frechet_distance), (ARLDM, frechet_distance), (CMMD, cmmd)])
def test_the_value_is_the_distance_of_the_protocols_features(scores, blurred, name, distance):
    expected = distance(rows(name, list(blurred.images.values())), rows(name, list(true_pictures().values())))
    assert scores[name].value == pytest.approx(expected, rel=1e-6)  # rows come in another order


def test_protocols_disagree_on_the_same_frames(scores):
    """Blur survives a look at 64 pixels better than one at 299."""
    assert scores[ARLDM].value < 0.9 * scores[CLEAN].value


def test_two_names_of_one_chain_agree_and_look_once(scores):
    assert scores[VIZ].value == scores[ARLDM].value
    assert scores[VIZ].digest != scores[ARLDM].digest


def test_a_score_says_what_it_rests_on(scores):
    s = scores[ARLDM]
    assert (s.n, s.reference_n, s.draws, s.draw_sd, s.stand_in) == (20, 20, 1, 0.0, True)
    assert (s.frame_px, s.reference_px) == ((128, 128), (128, 128))
    assert s.standard_error > 0
    assert any("20 frames for 160 features" in w for w in s.warnings)
    assert scores[CLEAN].draw_sd is None
    json.dumps(s.to_dict())


def test_true_frames_are_at_distance_zero():
    (score,) = compare_protocols(STORIES, Pictures(true_pictures()), CLEAN)
    assert score.value == pytest.approx(0, abs=1e-4)  # of features with a variance of about 10


def test_the_order_of_stories_leaves_no_trace(scores, blurred):
    (again,) = compare_protocols(STORIES[::-1], blurred, CLEAN)
    assert again.value == pytest.approx(scores[CLEAN].value, rel=1e-9)  # sums in another order
    assert again.standard_error == pytest.approx(scores[CLEAN].standard_error, rel=1e-6)


def test_a_dropped_batch_and_missing_weights_are_reasons_not_zeros(blurred, tmp_path, monkeypatch):
    monkeypatch.setenv("STORYBENCH_ASSETS", str(tmp_path))
    found = {s.id: s for s in compare_protocols(STORIES, blurred, [SGV, "fid:standard"])}
    assert found[SGV].value is None
    assert "needs two or more frames" in found[SGV].reason
    assert any("4 of 4 stories lie in a batch that is dropped" in w for w in found[SGV].warnings)
    assert "curl" in found["fid/clean-inception/v1"].reason


def test_a_second_look_is_read_from_the_cache(scores, blurred, tmp_path):
    observer, keys = open_observer(PROTOCOLS[CLEAN]), [pixel_hash(image) for image in blurred.images.values()]
    with ObservationCache(tmp_path) as cache:
        (first,) = compare_protocols(STORIES, blurred, CLEAN, cache=cache)
        assert first.value == scores[CLEAN].value
        found = cache.read(observer.id, keys)
        cache.write(observer.id, {key: {"features": row["features"] + 1} for key, row in found.items()})
        (second,) = compare_protocols(STORIES, blurred, CLEAN, cache=cache)
    assert len(found) == 20
    assert second.value != first.value  # what was planted was read: nothing looked again


def written_flintstones():
    """The writer of invented releases, which lies with the data tests."""
    path = Path(__file__).resolve().parents[1] / "data" / "write_flintstones.py"
    spec = importlib.util.spec_from_file_location("write_flintstones_for_protocols", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_release_gives_all_sub_frames_and_five_draws(tmp_path):
    """FlintstonesSV as published: 7 test clips of 5 sub-frames, 3 stories of 5; through a tiny DINOv2."""
    writer = written_flintstones()
    writer.write_storydalle(tmp_path / "data", writer.clips())
    stories = flintstones("test", root=tmp_path / "data")
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(tmp_path / "w")
    every = replace(PROTOCOLS["fd/dinov2-vitl14/v1"], weights_sha256="", width=8)
    drawn = replace(every, name="fd/drawn", reference=Reference("drawn", 5))
    frames = Pictures({place: image.rotate(90) for place, image in true_pictures(list(stories)).items()})
    found = {
        s.id: s for s in compare_protocols(stories, frames, [every, drawn, CLEAN], weights={DINOV2: tmp_path / "w"})
    }
    assert (found[every.id].n, found[every.id].reference_n, found[every.id].draw_sd) == (15, 35, None)
    assert (found["fd/drawn/v1"].n, found["fd/drawn/v1"].reference_n, found["fd/drawn/v1"].draws) == (15, 15, 5)
    assert found["fd/drawn/v1"].draw_sd > 0
    assert found[every.id].value != pytest.approx(found["fd/drawn/v1"].value, rel=1e-3)
    assert found[every.id].standard_error is None  # one episode: nothing to delete
    assert found[CLEAN].reason == "the ToonSV network reads toonsv only, not flintstones"
    (few,) = compare_protocols(list(stories), frames, [every], weights={DINOV2: tmp_path / "w"})
    assert few.reference_n == 7
    assert "one picture a true frame" in few.warnings[0]


def test_repeated_frames_are_warned():
    one = next(iter(true_pictures().values()))
    (score,) = compare_protocols(STORIES, Pictures(dict.fromkeys(true_pictures(), one)), CLEAN)
    assert any("19 of 20 generated frames repeat another" in w for w in score.warnings)


def test_frames_of_two_sizes_are_refused(blurred):
    images = dict(blurred.images)
    place = next(iter(images))
    images[place] = images[place].resize((64, 64))
    with pytest.raises(DataError, match=r"differ in size \(64 x 64, 128 x 128 pixels\)"):
        compare_protocols(STORIES, Pictures(images), CLEAN)


def test_a_jpeg_is_refused_under_any_name(tmp_path, blurred):
    for (story, frame), image in blurred.images.items():
        path = tmp_path / story / f"{frame}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path, format="JPEG" if frame == 2 else "PNG")
    with pytest.raises(DataError, match=r"2.png' is a JPEG file.*write frames as PNG"):
        compare_protocols(STORIES, FrameStore.of_folder(tmp_path), CLEAN)


def test_a_missing_frame_is_named(tmp_path):
    with pytest.raises(DataError, match=f"Frame {STORIES[0].id}/0 is missing"):
        compare_protocols(STORIES, FrameStore.of_folder(tmp_path), CLEAN)


def test_an_unknown_protocol_is_said(blurred):
    with pytest.raises(ConfigError, match="Unknown protocol 'fid'"):
        compare_protocols(STORIES, blurred, "fid")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["frames=x", "protocol=all"], ["all"]),
        (["protocol=fid:sgv,fid/legacy-arldm/v1", "frames=x"], ["fid:sgv", "fid/legacy-arldm/v1"]),
        (["frames=x", "protocol=[fid:sgv]"], ["fid:sgv"]),
        (["frames=x"], []),
    ],
)
def test_words_of_the_command_line(words, asked):
    assert protocols_asked(words) == (asked, ["frames=x"])


@pytest.mark.parametrize("word", ["protocol=", "protocol=[]", "protocol=,"])
def test_a_word_that_names_no_protocol_is_said(word):
    with pytest.raises(ConfigError, match="names no protocol"):
        protocols_asked(["frames=x", word])


def test_the_table_tells_values_stand_ins_and_reasons_at_100_columns(scores):
    reason = "not here; get it with: curl"
    missing = [ProtocolScore(f"fid/{name}/v1", reason=reason) for name in ("clean-inception", "tf-inception")]
    screen = Console(width=100, file=io.StringIO())
    screen.print(protocols_table([*missing, *scores.values()]))
    text = screen.file.getvalue()
    assert "…" not in text
    assert text.index(CLEAN) < text.index("not run")
    assert text.count(reason) == 1  # said once for all it concerns
    for part in ("no FID", f"{scores[CLEAN].value:.3f}", "20/20", "Values of two rows"):
        assert part in text
