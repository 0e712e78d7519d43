"""Generation: resumable without a trace, and strict about what a model returns."""

from __future__ import annotations

import pytest
from PIL import Image

from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError, DataError
from storybench.frames import FrameStore
from storybench.generation import generate


@pytest.fixture
def models(monkeypatch, third_party):
    monkeypatch.syspath_prepend(str(third_party))
    import noise_model

    return noise_model


@pytest.fixture(scope="module")
def stories():
    return list(ToonSV("mini", size=7))


class Stop(Exception):
    """Ends a run in the middle, as a crash would."""


class StopAfter:
    def __init__(self, groups: int) -> None:
        self.left = groups

    def advance(self, stories: int) -> None:
        self.left -= 1
        if not self.left:
            raise Stop


@pytest.mark.parametrize("kind", ["NoiseModel", "BatchDependent"])
@pytest.mark.parametrize("groups", [1, 2])
def test_interrupted_run_continues_to_the_bytes_of_a_whole_one(models, stories, tmp_path, hashes, kind, groups):
    """Batches are cut before finished stories are skipped, so even batch-dependent rounding comes out alike."""
    whole, broken = FrameStore.of_run(tmp_path / "whole"), FrameStore.of_run(tmp_path / "broken")
    generate(getattr(models, kind)(), stories, whole, "referential", 0, batch_size=3)
    with pytest.raises(Stop):
        generate(getattr(models, kind)(), stories, broken, "referential", 0, batch_size=3, progress=StopAfter(groups))
    model = getattr(models, kind)()
    done = generate(model, stories, broken, "referential", 0, batch_size=3)
    assert done.kept == 3 * groups
    assert done.drawn == 7 - 3 * groups
    if kind == "NoiseModel":
        assert model.asked == [s.id for s in stories[3 * groups :]]
    assert hashes(broken.frames_dir) == hashes(whole.frames_dir)


def test_finished_run_asks_the_model_for_nothing(models, stories, tmp_path):
    store = FrameStore.of_run(tmp_path)
    generate(models.NoiseModel(), stories, store, "explicit", 0)
    again = models.NoiseModel()
    assert generate(again, stories, store, "explicit", 0).drawn == 0
    assert again.asked == []


def test_removed_frame_is_drawn_again_and_the_others_stay(models, stories, tmp_path, hashes):
    store = FrameStore.of_run(tmp_path)
    generate(models.NoiseModel(), stories, store, "explicit", 0, batch_size=3)
    before = hashes(store.frames_dir)
    times = {p: p.stat().st_mtime_ns for p in store.frames_dir.rglob("*.png")}
    store.path(stories[1].id, 2).unlink()
    assert generate(models.NoiseModel(), stories, store, "explicit", 0, batch_size=3).drawn == 1
    assert hashes(store.frames_dir) == before
    assert {p for p, t in times.items() if p.stat().st_mtime_ns != t} == {
        store.path(stories[1].id, k) for k in range(5)
    }


@pytest.mark.parametrize("batch_size", [1, 2, 7, 50])
def test_batch_size_changes_no_frame_of_a_seeded_model(models, stories, tmp_path, hashes, batch_size):
    one, other = FrameStore.of_run(tmp_path / "one"), FrameStore.of_run(tmp_path / "other")
    generate(models.NoiseModel(), stories, one, "explicit", 0, batch_size=3)
    generate(models.NoiseModel(), list(reversed(stories)), other, "explicit", 0, batch_size=batch_size)
    assert hashes(one.frames_dir) == hashes(other.frames_dir)


def test_another_seed_is_another_picture(models, stories, tmp_path, hashes):
    for seed in (0, 1):
        generate(models.NoiseModel(), stories[:1], FrameStore.of_run(tmp_path / str(seed)), "explicit", seed)
    first, second = (set(hashes(tmp_path / str(seed) / "frames").values()) for seed in (0, 1))
    assert not first & second


class Returns:
    """Returns whatever it was given."""

    def __init__(self, *results) -> None:
        self.results = results

    def identity(self):
        return {"name": "returns"}

    def visualize(self, stories, *, seed):
        yield from self.results


RED = Image.new("RGB", (128, 128), "red")


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([("ID", [RED] * 4)], "4 frames .* expected 5"),
        ([("ID", [RED.convert("RGBA")] * 5)], "RGBA, expected an RGB"),
        ([("ID", ["no picture"] * 5)], "str, expected an RGB"),
        ([("other", [RED] * 5)], "was not asked for"),
        ([("ID", [RED] * 5), ("ID", [RED] * 5)], "twice"),
        ([], "no frames for 1 stories"),
        ([7], "expected a pair"),
        ([("ID", [RED.resize((64, 64))] * 5)], "64 x 64 pixels, expected 128 x 128"),
    ],
)
def test_what_breaks_the_protocol_is_refused_before_anything_is_written(stories, tmp_path, results, words):
    story = stories[0]
    named = [(story.id, r[1]) if isinstance(r, tuple) and r[0] == "ID" else r for r in results]
    with pytest.raises(DataError, match=words):
        generate(Returns(*named), [story], FrameStore.of_run(tmp_path), "explicit", 0, size=(128, 128))
    assert not list(tmp_path.rglob("*.png"))


def test_batch_size_must_be_positive(stories, tmp_path):
    with pytest.raises(ConfigError, match="batch_size is 0"):
        generate(Returns(), stories, FrameStore.of_run(tmp_path), "explicit", 0, batch_size=0)


def test_two_stories_of_one_id_are_refused(stories, tmp_path):
    with pytest.raises(DataError, match="occur twice"):
        generate(Returns(), [stories[0]] * 2, FrameStore.of_run(tmp_path), "explicit", 0)
