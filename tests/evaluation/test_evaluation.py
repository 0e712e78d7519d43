"""Frames to scores with the real data set, the real evaluator and frames on disk."""

from __future__ import annotations

import json
from functools import cache

import pytest
from PIL import Image

from storybench.data.toonsv.dataset import ToonSV
from storybench.errors import ConfigError, DataError
from storybench.evaluation import METRICS, TrueFrames, evaluate
from storybench.frames import FrameStore
from storybench.perception.cache import ObservationCache

STORIES = 16
NOT_HERE = {  # networks that cannot be shipped, a classifier with many labels, a counterfactual run, 4 frames a feature
    *("vbench_subject", "vbench_background", "clip_i", "dino_i", "lpips", "dreamsim"),
    *("setting_acc_published", "setting_f1_published"),
    *("flip_rate", "flip_rate_drawn", "stickiness", "frechet_corrected"),
}


@cache
def stories():
    mini = ToonSV("mini")
    return tuple(mini[k] for k in range(STORIES))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The true frames on disk, as a model would leave them."""
    store = FrameStore.of_run(tmp_path_factory.mktemp("run"))
    store.commit({s.id: [f.image for f in s.frames] for s in stories()}, {s.id: 1.0 for s in stories()})
    return store


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """Frames of the next story."""
    store = FrameStore.of_run(tmp_path_factory.mktemp("shuffled"))
    turned = [*stories()[1:], stories()[0]]
    images = {s.id: [f.image for f in t.frames] for s, t in zip(stories(), turned, strict=True)}
    store.commit(images, {s.id: 1.0 for s in stories()})
    return store


def test_true_frames_reach_the_ceiling_and_shuffled_ones_the_floor(store, shuffled):
    top = evaluate(stories(), store, "referential", explicit_frames=store).scores
    floor = evaluate(stories(), shuffled, "referential").scores
    assert tuple(top) == METRICS
    for name in ("char_acc", "char_f1", "char_f1_macro", "count_acc", "setting_acc", "antecedent_acc"):
        assert top[name].value >= 0.95, name
        assert floor[name].value < top[name].value - 0.2, name
    assert top["conditional_resolution"].value == 1.0  # the same frames twice
    assert top["detail_consistency"].value > 0.8
    assert abs(floor["antecedent_kappa"].value) < 0.35  # 16 stories
    assert top["frechet"].value == pytest.approx(floor["frechet"].value, rel=1e-9)  # same set of frames
    assert top["frechet"].protocol == "fd/toonsv-perceiver/v1@train-900000-900499"


def test_every_score_has_interval_n_and_protocol(store):
    scores = evaluate(stories(), store, "referential", explicit_frames=store).scores
    assert {name for name, score in scores.items() if score.value is None} == NOT_HERE
    for name in set(METRICS) - NOT_HERE:
        score = scores[name]
        assert score.n > 0, name
        assert "toonsv-" in score.protocol
        if name != "reference_gap":  # no frame differs from its twin: nothing to draw an interval from
            assert score.low <= score.value <= score.high, name
        assert score.ceiling == pytest.approx(score.value, abs=1e-9), name  # the true frames are what is scored
        assert score.reason is None
    assert scores["char_acc"].n == 5 * STORIES
    assert not scores["frechet"].higher_is_better


def test_order_and_what_was_seen_before_change_no_score(store, tmp_path):
    one = evaluate(stories(), store).scores
    with ObservationCache(tmp_path) as cache:
        evaluate(stories()[5:9], store, cache=cache)  # other batches than in one pass over all
        other = evaluate(tuple(reversed(stories())), store, cache=cache).scores
    for name in METRICS:
        for part in ("value", "low", "high"):
            a, b = getattr(one[name], part), getattr(other[name], part)
            assert a == b if a is None else a == pytest.approx(b, abs=1e-9), (name, part)


def test_resolution_without_explicit_run_says_what_it_needs(store):
    score = evaluate(stories()[:2], store, metrics=["conditional_resolution"]).scores["conditional_resolution"]
    assert score.value is None
    assert "explicit captions" in score.reason


def test_explicit_text_has_no_reference_to_score(store):
    scores = evaluate(stories()[:3], store, "explicit", explicit_frames=store).scores
    for name in ("antecedent_acc", "antecedent_kappa", "conditional_resolution"):
        assert scores[name].value is None
        assert scores[name].reason
    assert scores["char_acc"].value is not None


def test_frames_table_says_what_was_wrong(shuffled, tmp_path):
    found = evaluate(stories(), shuffled, metrics=["char_acc"])
    table = found.frames
    assert len(table) == 5 * STORIES
    assert table["correct"].mean() == pytest.approx(found.scores["char_acc"].value)
    wrong = table[~table["correct"]].iloc[0]
    assert wrong["reason"].startswith("expected ")
    assert ", found " in wrong["reason"]
    assert table[table["count_correct"] & table["setting_correct"]]["reason"].eq("").all()
    assert isinstance(json.loads(wrong["details_read"]), dict)
    assert set(json.loads(table["mentions"][table["mentions_total"] > 0].iloc[0])[0]) >= {"surface", "resolved"}
    table.to_parquet(tmp_path / "frames.parquet")


def test_details_explain_the_scores(store):
    details = evaluate(stories(), store).details
    assert 0 < details["antecedent_chance"] < 1
    assert set(details["detail_consistency_by_type"]) >= {"scarf", "prop"}
    assert details["evaluator_accuracies"]["char_acc"] >= 0.99


def test_true_frames_can_be_read_without_a_disk(store):
    disk = evaluate(stories()[:4], store).scores
    assert evaluate(stories()[:4], TrueFrames(stories())).scores == disk


class _Wrong:
    def read(self, story_id, frame):
        return Image.new("RGB", (64, 64))


def test_bad_input_is_one_sentence(store, tmp_path):
    with pytest.raises(DataError, match="64 x 64 pixels, expected 128 x 128"):
        evaluate(stories()[:1], _Wrong())
    with pytest.raises(DataError, match="missing"):
        evaluate(stories()[:1], FrameStore.of_run(tmp_path))
    with pytest.raises(ConfigError, match=r"Unknown metric 'char_ac'\. Did you mean: char_acc"):
        evaluate(stories()[:1], store, metrics=["char_ac"])
    with pytest.raises(DataError, match="no text 'pronouns'"):
        evaluate(stories()[:1], store, "pronouns")
    with pytest.raises(ConfigError, match="one data set"):
        evaluate((), store)
