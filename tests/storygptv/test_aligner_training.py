"""Story text for the language model, and both training stages: what they learn from, and exact resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from storygptv.aligner import pretrain, training
from storygptv.aligner.pool import build_pool, planned_stories, pool_story
from storygptv.aligner.probing import name_candidates, nearest_is_first, scarf_candidates
from storygptv.aligner.story_text import Kind, StoryWriter, TextOptions

TINY_LM = {"layers": 1, "width": 16, "heads": 2, "feedforward": 32, "frames": 10, "eval_stories": 2, "samples": 0}
TINY = {
    "pool_stories": 8, "val_stories": 3, "mapper_hidden": 16, "mapper_heads": 2, "mapper_layers": 1, "stories": 4,
    "mapper_feedforward": 16, "checkpoint_seconds": 0.0, "warmup": 2, "eval_every": 1000,
}  # fmt: skip


class StubPictureModel:
    """Embeds a caption by its words and a picture by its mean colours."""

    def condition(self, captions: list[str]) -> torch.Tensor:
        rows = []
        for caption in captions:
            ids = [sum(map(ord, w)) for w in caption.split()][:12]
            rows.append(torch.tensor([[float(i % k) / k for k in (7, 11, 13)] for i in ids + [0] * (12 - len(ids))]))
        return torch.stack(rows)

    def encode_frames(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat([pixels.mean((2, 3)), pixels[:, :, 64:].mean((2, 3))], 1)


def test_text_marks_names_that_the_caption_only_refers_to() -> None:
    options = TextOptions((("names", 1.0),), last_only=True)
    checked = 0
    for plan, told in planned_stories("val", 30, 5, 0):
        pieces = StoryWriter(plan, told, np.random.default_rng(0), options).write()
        for piece in pieces:
            if piece.branch and piece.kind in (Kind.NAME_REFERRED, Kind.NAME_TOLD):
                assert (piece.text in told[-1].referential.text) == (piece.kind == Kind.NAME_TOLD)
                checked += piece.kind == Kind.NAME_REFERRED
    assert checked > 10


def test_a_detail_counts_as_known_only_after_a_trunk_picture_showed_it() -> None:
    seen, blind = ((1.0, 0.0), (0.0, 1.0))
    kinds = []
    for before, blinded in (seen, blind):
        options = TextOptions((("dense", 1.0),), before, 0.0, blinded)
        stories = planned_stories("val", 10, 5, 0)
        texts = [StoryWriter(plan, told, np.random.default_rng(0), options).write() for plan, told in stories]
        kinds.append({piece.kind for pieces in texts for piece in pieces if piece.weight})
    assert Kind.DETAIL_KNOWN in kinds[0]
    assert Kind.DETAIL_KNOWN not in kinds[1]


def test_targets_tell_recalled_details_only() -> None:
    told_details = 0
    for plan, told in planned_stories("val", 20, 5, 0):
        story = pool_story(plan, told)
        assert story.targets[0] == story.explicit[0]
        for t, text in enumerate(story.targets):
            assert text.startswith(story.explicit[t])
            assert text.count(" is ") - story.explicit[t].count(" is ") == len(story.recalled[t])
            told_details += len(story.recalled[t])
    assert told_details > 50


def test_candidates_keep_the_truth_first() -> None:
    text = "Mr Plum waves. The scarf of Mr Plum is red."
    names = name_candidates(text, "Mr Plum")
    assert names[0] == text
    assert len(set(names)) == 9
    assert "Zara waves. The scarf of Zara is red." in names
    assert len(set(scarf_candidates(text, "Mr Plum", "red"))) == 5
    embeddings = StubPictureModel().condition(names)
    assert nearest_is_first(embeddings[0] + 0.01, embeddings)
    assert not nearest_is_first(embeddings[4], embeddings)


def test_pool_resumes_and_equals_one_built_at_once(tmp_path: Path) -> None:
    whole = build_pool(StubPictureModel(), tmp_path / "a", "val", 5, 2, chunk=2)
    (tmp_path / "b").mkdir()
    build_pool(StubPictureModel(), tmp_path / "b", "val", 5, 2, chunk=2)
    state = json.loads((tmp_path / "b" / "done.json").read_text())
    (tmp_path / "b" / "done.json").write_text(json.dumps({**state, "count": 2}))  # as if killed after the first chunk
    targets = np.load(tmp_path / "b" / "targets.npy", mmap_mode="r+")
    targets[2:] = 0
    targets.flush()
    again = build_pool(StubPictureModel(), tmp_path / "b", "val", 5, 2, chunk=2)
    assert np.array_equal(whole.targets, again.targets)
    assert np.array_equal(whole.features, again.features)
    assert whole.targets.std() > 0


def test_language_model_training_resumes_exactly(tmp_path: Path) -> None:
    options = {**TINY_LM, "steps": 6, "warmup": 2, "checkpoint_seconds": 0.0}
    pretrain.train(out=str(tmp_path / "a"), **options)
    pretrain.train(out=str(tmp_path / "b"), **options, max_seconds=0.05)
    assert 0 < torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["step"] < 6
    pretrain.train(out=str(tmp_path / "b"), **options)
    a, b = (load_file(tmp_path / run / "model.safetensors") for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_aligner_training_learns_resumes_exactly_and_reports(tmp_path: Path) -> None:
    pretrain.train(out=str(tmp_path / "lm"), **TINY_LM, steps=1)
    shared = {**TINY, "lm": str(tmp_path / "lm"), "pool": str(tmp_path / "pool"), "steps": 12, "warm_up_steps": 0}
    scores = training.train(StubPictureModel(), out=str(tmp_path / "a"), **shared)
    training.train(StubPictureModel(), out=str(tmp_path / "b"), **shared, max_seconds=0.05)
    assert 0 < torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["step"] < 12
    training.train(StubPictureModel(), out=str(tmp_path / "b"), **shared)
    a, b = (load_file(tmp_path / run / "aligner.safetensors") for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert {"val/align", "val/name_acc", "val/set_acc"} <= set(scores)
    mean_of_all_steps = json.loads((tmp_path / "a" / "log.jsonl").read_text())["align"]
    assert scores["val/align"] < 0.9 * mean_of_all_steps
