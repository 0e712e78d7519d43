"""Story text for the language model, the encoded stories, and both training stages: learning and exact resume."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from storybench.cli.config import compose_tree
from storybench.cli.train import _primary
from storybench.data.loading import open_dataset
from storybench.data.toonsv.dataset import full_cast
from storybench.errors import AssetError, ConfigError, DataError
from storybench.story import Story
from storygptv.aligner import pretrain, training
from storygptv.aligner.checkpointing import checkpoint_layers
from storygptv.aligner.embeddings import embed, load_picture_model
from storygptv.aligner.held_out import AlignerObjective
from storygptv.aligner.lora import add_lora, merge_lora
from storygptv.aligner.model import AlignedLLM
from storygptv.aligner.pool import Pool, build_pool, open_pool
from storygptv.aligner.probing import name_candidates, nearest_is_first, scarf_candidates
from storygptv.aligner.prompt import PromptFormat
from storygptv.aligner.sources import dataset_source, drawn_source, planned_stories, story_source
from storygptv.aligner.starting import build
from storygptv.aligner.stories import pool_story
from storygptv.aligner.story_text import Kind, StoryWriter, TextOptions
from storygptv.aligner.training import AlignerTraining, aligner_loss, training_batch
from storygptv.training import FitConfig
from storygptv.weights import SHIPPED

LM_FIT = {"steps": 1, "learning_rate": 2e-3, "warmup": 2, "threads": 1, "tensorboard": False}
TINY_LM = {"layers": 1, "width": 16, "heads": 2, "feedforward": 32, "frames": 10, "eval_stories": 2, "samples": 0}
FIT = {"steps": 12, "learning_rate": 1e-3, "warmup": 2, "muon": 0.01, "checkpoint_seconds": 0.0, "tensorboard": False}
TINY = {
    "val_stories": 3, "mapper_hidden": 16, "mapper_heads": 2, "mapper_layers": 1, "mapper_feedforward": 16,
    "stories": 4, "eval_every": 1000, "character_weight": 0.1, "standardise": True, "probe": True,
    "feature_noise": 0.4, "picture_dropout": 0.05,
}  # fmt: skip
TOONSV = {
    "_target_": "storybench.data.toonsv.dataset.ToonSV", "name": "toonsv", "frames": 5, "seed": 0, "size": None,
    "root": None, "subsets": ["train", "val", "test"], "texts": ["explicit", "referential"],
    "aliases": {"original": "explicit"},
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


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny language model in ``lm`` and the embeddings of a few drawn stories in ``embeddings``."""
    folder = tmp_path_factory.mktemp("aligner")
    pretrain.train({**LM_FIT, "out": str(folder / "lm" / "fit")}, save_to=str(folder / "lm"), **TINY_LM)
    pools = {"subsets": {"train": "train", "val": "val"}, "stories": {"train": 8, "val": 3}, "target_text": "plain"}
    embed(TOONSV, str(folder / "embeddings"), "", **pools, picture_model=StubPictureModel())
    return folder


def options(work: Path, **changes: object) -> dict:
    return {**TINY, "lm": str(work / "lm"), "embeddings": str(work / "embeddings"), **changes}


def config(work: Path, **changes: object) -> AlignerTraining:
    return AlignerTraining(fit=FitConfig(out=str(work / "unused"), **FIT), **options(work, **changes))


def test_pool_resumes_and_equals_one_built_at_once(tmp_path: Path) -> None:
    source, model = drawn_source("val", 5, 2), StubPictureModel()
    whole = build_pool(source, tmp_path / "a", model, 4, None)
    build_pool(source, tmp_path / "b", model, 4, None)
    state = json.loads((tmp_path / "b" / "done.json").read_text())
    (tmp_path / "b" / "done.json").write_text(json.dumps({**state, "done": 4}))  # as if killed after the first chunk
    targets = np.load(tmp_path / "b" / "targets.npy", mmap_mode="r+")
    targets[4:] = 0
    targets.flush()
    with pytest.raises(DataError, match="4 of 10 pictures"):
        open_pool(tmp_path / "b")
    again = build_pool(source, tmp_path / "b", model, 4, None)
    assert np.array_equal(whole.targets, again.targets)
    assert np.array_equal(whole.features, again.features)
    assert whole.stories == again.stories == source.stories
    assert whole.targets.dtype == np.float16
    assert isinstance(whole.targets, np.memmap)
    assert whole.targets.std() > 0
    assert torch.equal(whole.story_targets([3])[0, 1], torch.from_numpy(np.float32(whole.targets[7])))


def test_pool_of_other_stories_or_another_char_ldm_is_refused(tmp_path: Path) -> None:
    build_pool(drawn_source("val", 2, 2), tmp_path / "a", StubPictureModel(), 4, None)
    with pytest.raises(DataError, match="frames: 2, wanted 3"):
        build_pool(drawn_source("val", 2, 3), tmp_path / "a", StubPictureModel(), 4, None)

    class Other(StubPictureModel):
        def condition(self, captions: list[str]) -> torch.Tensor:
            return super().condition(captions) * 1.5

    with pytest.raises(DataError, match="targets of another Char-LDM"):
        build_pool(drawn_source("val", 2, 2), tmp_path / "a", Other(), 4, None)
    with pytest.raises(DataError, match="stage=embeddings"):
        open_pool(tmp_path / "nothing")
    (tmp_path / "a" / "stories.jsonl").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        open_pool(tmp_path / "a")


def test_stories_of_a_data_set_become_a_pool(tmp_path: Path) -> None:
    pool = build_pool(dataset_source(TOONSV, "val", "referential", 4), tmp_path, StubPictureModel(), 7, None)
    story = open_dataset(TOONSV, "val")[2]
    assert pool.stories[2].referential == story.prompt("referential").captions
    assert pool.stories[2].targets == story.prompt("explicit").captions
    assert set(pool.names) == {c.name for c in story.cast}
    assert any(who for told in pool.stories for who in told.referred)
    picture = torch.from_numpy(np.array(story.frames[3].image)).permute(2, 0, 1)[None] / 127.5 - 1
    expected = StubPictureModel().encode_frames(picture)[0]
    assert (pool.story_features([2])[0, 3] - expected).abs().max() < 1e-3  # kept in fp16


def test_frames_that_stories_share_are_encoded_once(tmp_path: Path) -> None:
    frames = [frame for story in (open_dataset(TOONSV, "val")[k] for k in range(2)) for frame in story.frames]
    shared = [
        replace(story, frames=tuple(replace(f, id=f"clip {k + t}", index=t) for t, f in enumerate(frames[k : k + 5])))
        for k, story in enumerate([open_dataset(TOONSV, "val")[0]] * 3)
    ]
    source = story_source(shared, "explicit", "referential", {})
    assert source.index.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]
    pool = build_pool(source, tmp_path, StubPictureModel(), 50, None)
    assert len(pool.targets) == 7
    assert torch.equal(pool.story_features([0])[0, 2], pool.story_features([2])[0, 0])
    wanted = StubPictureModel().condition([frames[6].captions["explicit"].text])[0]
    assert (pool.story_targets([2])[0, 4] - wanted).abs().max() < 1e-3


def test_sources_that_do_not_fit_are_told_in_a_sentence(tmp_path: Path) -> None:
    pools = {"subsets": {"train": "train"}, "stories": {"train": 2}, "picture_model": StubPictureModel()}
    with pytest.raises(ConfigError, match="target_text 'dense'"):
        embed(TOONSV, str(tmp_path), "", **pools, target_text="dense")
    with pytest.raises(ConfigError, match="target_text=plain"):
        embed({**TOONSV, "name": "other"}, str(tmp_path), "", **pools, target_text="plain")
    with pytest.raises(ConfigError, match=r"give stories\.train=N"):
        embed(TOONSV, str(tmp_path), "", **{**pools, "stories": {"train": None}})
    with pytest.raises(ConfigError, match=r"stories\.train is 0"):
        embed(TOONSV, str(tmp_path), "", **{**pools, "stories": {"train": 0}})
    with pytest.raises(ConfigError, match="text 'poem'"):
        embed({**TOONSV, "name": "other"}, str(tmp_path), "", **pools, text="poem")
    blind = [replace(story, frames=tuple(replace(f, load=None) for f in story.frames)) for story in shortened([5])]
    with pytest.raises(DataError, match=r"dataset\.pictures=true"):
        story_source(blind, "explicit", "referential", {})
    with pytest.raises(DataError, match="differ in length"):
        story_source(shortened([5, 4]), "explicit", "referential", {})


def shortened(lengths: list[int]) -> list[Story]:
    stories = open_dataset(TOONSV, "val")
    return [replace(stories[k], frames=stories[k].frames[:length]) for k, length in enumerate(lengths)]


def test_embeddings_of_plain_text_carry_no_pictures() -> None:
    """Emb_text of the paper's Table 4 against Emb_fuse, with the shipped Char-LDM."""
    fused, text = (load_picture_model(str(SHIPPED), full_cast(), space) for space in ("fused", "text"))
    captions = ["Zara walks on the beach.", "Nobody walks on the beach."]
    with torch.no_grad():
        difference = (fused.condition(captions) - text.condition(captions)).abs().amax((1, 2))
    assert difference[0] > 0.1
    assert difference[1] == 0
    unportrayed = [replace(c, portrait=None) for c in full_cast()]
    assert torch.equal(
        load_picture_model(str(SHIPPED), unportrayed, "text").condition(captions), text.condition(captions)
    )
    with pytest.raises(ConfigError, match="target_space 'pixels'"):
        load_picture_model(str(SHIPPED), full_cast(), "pixels")


def test_language_model_training_resumes_exactly(tmp_path: Path) -> None:
    fit = {**LM_FIT, "steps": 6, "checkpoint_seconds": 0.0}
    runs = {
        run: {"fit_config": {**fit, "out": str(tmp_path / run / "fit")}, "save_to": str(tmp_path / run)} for run in "ab"
    }
    pretrain.train(**runs["a"], **TINY_LM)
    stopped = {**runs["b"], "fit_config": {**runs["b"]["fit_config"], "max_seconds": 0.05}}
    pretrain.train(**stopped, **TINY_LM)
    assert 0 < torch.load(tmp_path / "b" / "fit" / "checkpoint.pt", weights_only=True)["step"] < 6
    pretrain.train(**runs["b"], **TINY_LM)
    a, b = (load_file(tmp_path / run / "model.safetensors") for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def run_aligner(work: Path, folder: Path, fit: dict | None = None, **changes: object) -> dict[str, float]:
    fit = {**FIT, "out": str(folder / "fit"), **(fit or {})}
    return training.train(fit, StubPictureModel(), save_to=str(folder), **options(work, **changes))


@pytest.mark.parametrize("changes", [{}, {"targets_per_story": "one", "warm_up_steps": 3}])
def test_aligner_training_learns_resumes_exactly_and_reports(work: Path, tmp_path: Path, changes: dict) -> None:
    scores = run_aligner(work, tmp_path / "a", **changes)
    run_aligner(work, tmp_path / "b", {"max_seconds": 0.05}, **changes)
    assert 0 < torch.load(tmp_path / "b" / "fit" / "checkpoint.pt", weights_only=True)["step"] < 12
    run_aligner(work, tmp_path / "b", **changes)
    file = Path("aligner") / "diffusion_pytorch_model.safetensors"
    a, b = (load_file(tmp_path / run / file) for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert {"val/align", "val/name_acc", "val/set_acc"} <= set(scores)
    mean_of_all_steps = json.loads((tmp_path / "a" / "fit" / "log.jsonl").read_text())["align"]
    assert scores["val/align"] < 0.9 * mean_of_all_steps
    again = AlignedLLM.from_pretrained(tmp_path / "a")
    assert torch.equal(again.img.rows, a["img.rows"])


def test_options_of_the_losses_weigh_what_they_say(work: Path) -> None:
    pool = open_pool(work / "embeddings" / "train")
    model = build(config(work), pool)
    objective = AlignerObjective(model, pool.names)
    found = {}
    for name, changes in {
        "plain": {}, "no text": {"ce_weight": 0.0}, "squared": {"align_loss": "squared"},
        "img": {"ce_scope": "all_img"}, "later": {"target_frames": "later"}, "characters": {"character_weight": 0.0},
    }.items():  # fmt: skip
        settings = config(work, **changes)
        batch = training_batch(settings, pool, 0)
        total, terms = aligner_loss(objective, batch, batch.features, settings)
        found[name] = (float(total.detach()), terms)
    (plain, terms) = found["plain"]
    assert plain == pytest.approx(terms["align"] + 0.5 * terms["gen"] + 0.1 * terms["characters"], rel=1e-5)
    assert found["no text"][0] == pytest.approx(terms["align"] + 0.1 * terms["characters"], rel=1e-5)
    assert found["squared"][1]["align"] != pytest.approx(terms["align"], rel=0.01)
    assert found["img"][1]["gen"] != pytest.approx(terms["gen"], rel=1e-3)
    assert found["later"][1]["align"] != pytest.approx(terms["align"], rel=1e-3)
    assert "characters" not in found["characters"][1]


def test_one_target_a_story_is_the_same_frame_of_all_targets(work: Path) -> None:
    pool = open_pool(work / "embeddings" / "train")
    model = build(config(work), pool)
    settings = config(work, targets_per_story="one", target_frames="later")
    frames = torch.cat([training_batch(settings, pool, step).chosen for step in range(20)])
    assert set(frames.tolist()) == {1, 2, 3, 4}
    batch = training_batch(settings, pool, 0)
    with torch.no_grad():
        one = model(batch.captions, batch.features, chosen=batch.chosen.tolist()).condition
        every = model(batch.captions, batch.features).condition.unflatten(0, (4, 5))
    assert (one - every[torch.arange(4), batch.chosen]).abs().max() < 1e-5


def test_checkpointed_layers_give_the_same_gradients(work: Path) -> None:
    pool = open_pool(work / "embeddings" / "train")
    settings, grads = config(work), []
    for checkpointed in (False, True):
        objective = AlignerObjective(build(settings, pool), pool.names).train()
        if checkpointed:
            checkpoint_layers(objective.model.llm)
            assert any(m.training for m in objective.model.llm.modules())
        batch = training_batch(settings, pool, 0)
        torch.manual_seed(0)
        aligner_loss(objective, batch, batch.features, settings)[0].backward()
        grads.append(objective.model.visual_embeddings.weight.grad)
    assert grads[0].abs().max() > 0
    assert torch.allclose(*grads, atol=1e-7)


def test_bf16_parts_train(work: Path, tmp_path: Path) -> None:
    scores = run_aligner(work, tmp_path, {"steps": 2}, param_dtype="bf16", llm_dtype="bf16", attention="sdpa")
    assert np.isfinite(scores["val/align"])
    saved = load_file(tmp_path / "aligner" / "diffusion_pytorch_model.safetensors")
    assert {t.dtype for t in saved.values()} == {torch.bfloat16}


def test_lora_starts_as_no_change_trains_and_is_merged(work: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pool = open_pool(work / "embeddings" / "train")
    plain, adapted = (build(config(work, lora_rank=r), pool) for r in (0, 2))
    told, features = [pool.stories[0].referential], pool.story_features([0])
    assert torch.equal(plain(told, features).condition, adapted(told, features).condition)
    names = {n for n, p in adapted.llm.named_parameters() if p.requires_grad}
    assert names
    assert all("lora_" in n for n in names)
    with torch.no_grad():
        for name, p in adapted.llm.named_parameters():
            if "lora_B" in name:
                p.normal_()
    before = adapted(told, features).condition
    assert (before - plain(told, features).condition).abs().max() > 1e-3
    merge_lora(adapted.llm)
    assert set(adapted.llm.state_dict()) == set(plain.llm.state_dict())
    assert (adapted(told, features).condition - before).abs().max() < 1e-5
    run_aligner(work, tmp_path, {"steps": 2}, lora_rank=2, save_llm=False)
    assert not list(tmp_path.rglob("*adapter*"))
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "llm").state_dict()
    moved = [n for n, p in plain.llm.state_dict().items() if not torch.equal(saved[n], p)]
    assert moved
    assert all("q_proj" in n or "v_proj" in n for n in moved)


def test_wrong_lora_modules_and_missing_peft_are_told_in_a_sentence(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    llm = AutoModelForCausalLM.from_pretrained(work / "lm")
    with pytest.raises(ConfigError, match="no layers named to_q"):
        add_lora(llm, 2, 4.0, ["to_q"])
    with pytest.raises(ConfigError, match="lora_rank is -1"):
        add_lora(llm, -1, 4.0)
    monkeypatch.setitem(sys.modules, "peft", None)  # Python's own way to say that a package is not there
    with pytest.raises(ConfigError, match=r"pip install 'storybench\[lora\]'"):
        add_lora(llm, 2, 4.0)


def start(work: Path, pool: Pool, changes: dict) -> None:
    settings = config(work, **changes)
    build(settings, pool)
    training_batch(settings, pool, 0)


def test_wrong_options_are_told_in_a_sentence(work: Path) -> None:
    pool = open_pool(work / "embeddings" / "train")
    for changes, words in {
        ("align_loss", "cosine"): "align_loss 'cosine'",
        ("target_frames", "first"): "target_frames 'first'",
        ("param_dtype", "fp8"): "param_dtype 'fp8'",
        ("init_from", "blip"): "init_from 'blip'",
        ("init_from", "gill"): "init_weights=FILE",
        ("stories", 9): "there are 8",
        ("img_words", "Zara Bogus"): "Bogus",
    }.items():
        with pytest.raises(ConfigError, match=words):
            start(work, pool, dict([changes]))
    with pytest.raises(AssetError, match=r"no\.pth"):
        build(config(work, init_from="gill", init_weights="no.pth"), pool)


def test_heads_start_from_a_checkpoint_in_gills_format(work: Path, tmp_path: Path) -> None:
    pool = open_pool(work / "embeddings" / "train")
    source = build(config(work, mapper_heads=4, mapper_layers=4), pool).heads.state_dict()
    prefixes = {"img.rows": "input_embeddings.weight", "mapper.": "gen_text_hidden_fcs.0."}
    state = {}
    for name, tensor in source.items():
        for ours, theirs in prefixes.items():
            name = name.replace(ours, theirs)
        state[f"model.{name}"] = tensor + 1
    torch.save({"state_dict": state}, tmp_path / "pretrained_ckpt.pth.tar")
    settings = config(
        work, mapper_heads=4, mapper_layers=4, init_from="gill", init_weights=str(tmp_path / "pretrained_ckpt.pth.tar")
    )
    started = build(settings, pool).heads.state_dict()
    assert all(torch.equal(started[name], tensor + 1) for name, tensor in source.items())


def test_paper_scale_files_hold_the_published_values() -> None:
    published = {
        "learning_rate": 1e-3,
        "warmup": 2000,
        "decay_every": 10_000,
        "decay": 0.1,
        "steps": 20_000,
        "clip": 1.0,
    }
    for stage, batch, positions in (("aligner_opt67b", 64, 2048), ("aligner_llama2", 32, 4096)):
        node = OmegaConf.to_container(compose_tree(_primary("storygptv", stage), []), resolve=True)
        fit = node.pop("fit_config")
        assert {key: fit[key] for key in published} == published
        settings = AlignerTraining(fit=FitConfig(**fit), **{k: v for k, v in node.items() if not k.startswith("_")})
        assert (settings.stories, settings.img_tokens, settings.visual_tokens) == (batch, 8, 4)
        assert (settings.mapper_hidden, settings.mapper_layers, settings.mapper_feedforward) == (512, 4, 2048)
        assert PromptFormat(**settings.prompt).inference_max_length == positions
