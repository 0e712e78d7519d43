"""Stage char_ldm: what learns, and a run at paper scale's shape, only smaller."""

import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from omegaconf import OmegaConf
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from storybench.cli.config import compose_tree
from storybench.cli.train import _primary, main
from storybench.data.flintstones import flintstones
from storybench.errors import AssetError, ConfigError
from storygptv.assembly import meta_parts
from storygptv.char_ldm.attention import record_character_columns
from storygptv.char_ldm.character_tokens import NameSpan
from storygptv.char_ldm.conditioning import tokenized
from storygptv.char_ldm.frame_items import FrameOptions
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.objective import SD_SCHEDULE, Objective
from storygptv.char_ldm.stage_loss import CharLDMLoss
from storygptv.char_ldm.story_frames import StoryBatches, StoryFrames
from storygptv.char_ldm.story_training import StoryReader, stable_diffusion, train
from storygptv.char_ldm.trained_parts import checkpoint_gradients, train_only
from storygptv.char_ldm.validation import ValidationOptions, ValidationStrips
from storygptv.tokenizer import build_tokenizer

WRITER = Path(__file__).resolve().parents[1] / "data" / "write_flintstones.py"
CAPTION = "Fred Wilma Barney Mr Slate walks into the kitchen and look at a map points holds bowl hot talks to friend"
BLOCKS = ("down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.1", "up_blocks.2")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- what learns -------------------------------------------------------------------------------------------------------


def test_at_full_size_exactly_the_papers_parts_learn():
    parts = meta_parts("sd15-opt67b")
    model = CharLDM(
        None,
        parts["text_encoder"],
        parts["image_encoder"],
        parts["fusion"],
        parts["unet"],
        parts["vae"],
        PNDMScheduler(**SD_SCHEDULE),
    )
    counts = train_only(model, ("unet", "fusion", "image_encoder"), 2)
    assert counts == {"unet": 859_520_964, "fusion": 2_958_336, "image_encoder": 25_192_448}
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(counts.values())
    vision = {name for name in learning if name.startswith("image_encoder")}
    layers = ("image_encoder.vision_model.encoder.layers.22.", "image_encoder.vision_model.encoder.layers.23.")
    assert len(vision) == 32  # 16 tensors a layer; no post_layernorm, no projection
    assert all(name.startswith(layers) for name in vision)
    assert not any(name.startswith(("text_encoder", "vae")) for name in learning)
    assert train_only(model, ("unet", "fusion"), 2) == {"unet": 859_520_964, "fusion": 2_958_336}  # freeze vis
    assert not any(p.requires_grad for p in model.image_encoder.parameters())
    with pytest.raises(ConfigError, match="Unknown part to train 'vae'"):
        train_only(model, ("vae",))
    with pytest.raises(ConfigError, match="image_encoder_layers is 25: this image encoder has 24"):
        train_only(model, ("image_encoder",), 25)
    assert len(record_character_columns(parts["unet"], BLOCKS).layers) == 11


# -- a run -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("write_flintstones_for_training", WRITER)
    writer = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = writer
    spec.loader.exec_module(writer)
    root = tmp_path_factory.mktemp("flintstones") / "storygptv"
    writer.write_storygptv(root, writer.clips())
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Stable Diffusion v1-5 and CLIP's vision tower, with the true block types and a few channels."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    sd, clip = root / "sd", root / "clip"
    tokenizer = build_tokenizer(CAPTION.split(), 77)
    tokenizer.save_pretrained(sd / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    CLIPTextModel(text).save_pretrained(sd / "text_encoder")
    UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32, 32, 32), cross_attention_dim=32, attention_head_dim=2,
        norm_num_groups=8,
    ).save_pretrained(sd / "unet")  # fmt: skip
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    AutoencoderKL(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, scaling_factor=0.18215, **kinds).save_pretrained(
        sd / "vae"
    )
    PNDMScheduler(skip_prk_steps=True, steps_offset=1, **SD_SCHEDULE).save_pretrained(sd / "scheduler")
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2, image_size=32, patch_size=16,
        projection_dim=32,
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(clip)
    return {"stable_diffusion_folder": str(sd), "clip_folder": str(clip)}


def loaded(models) -> CharLDM:
    torch.manual_seed(1)
    return stable_diffusion(models["stable_diffusion_folder"], models["clip_folder"])


def frames_of(release, **options):
    return StoryFrames(flintstones("all", root=release, frames=4), "original", FrameOptions(64, **options))


def loss_of(model, frames, objective=None, weight=1e-3):
    columns = record_character_columns(model.unet, BLOCKS) if weight else None
    reader = StoryReader(model, frames.cast, frames.options.character_images)
    return CharLDMLoss(model, reader, objective or Objective("epsilon"), columns, weight)


def test_every_trained_part_gets_a_gradient_and_no_other(models, release):
    model, frames = loaded(models), frames_of(release, cond_dropout="none")
    train_only(model, ("unet", "fusion", "image_encoder"), 2)
    loss, values = loss_of(model, frames, Objective("epsilon", mask_loss_prob=1.0))(
        StoryBatches(frames, 4)(0, 0, 1), seeded()
    )
    loss.backward()
    assert values["mse"] > 0
    assert -1 < values["reg"] < 1
    for name, p in model.named_parameters():
        assert (p.grad is not None) == p.requires_grad, name
    last = model.image_encoder.vision_model.encoder.layers[-1]
    assert all(p.grad.abs().max() > 0 for name, p in last.named_parameters() if "k_proj.bias" not in name)


@pytest.mark.parametrize("images", ["crop", "portrait"])
def test_gradient_checkpointing_changes_nothing_but_memory(models, release, images):
    found = []
    for checkpointing in (False, True):
        model = loaded(models)
        frames = frames_of(release, cond_dropout="none", character_images=images)
        if images == "portrait":
            frames.cast = with_portraits(frames.cast)
        train_only(model, ("unet", "fusion", "image_encoder"), 2)
        if checkpointing:
            checkpoint_gradients(model)
        loss, _ = loss_of(model, frames, weight=1.0)(StoryBatches(frames, 3)(0, 0, 1), seeded())
        loss.backward()
        found.append((loss.detach(), [p.grad for p in model.parameters() if p.requires_grad]))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-4)


def with_portraits(cast):
    colours = ("red", "green", "blue", "white", "pink", "grey", "brown")
    return tuple(
        replace(c, portrait=lambda colour=colour: Image.new("RGB", (40, 60), colour))
        for c, colour in zip(cast, colours, strict=True)
    )


def test_a_crop_reaches_the_token_of_its_own_name_only(models, release):
    model, frames = loaded(models), frames_of(release, cond_dropout="none")
    number = next(k for k, e in enumerate(frames.entries) if "Barney" in e.caption)
    frames.entries = [frames.entries[number]]
    batch, reader = StoryBatches(frames, 1)(0, 0, 1), StoryReader(model, frames.cast, "crop")
    before = reader(batch, seeded())
    batch.crops[0, 0] = 1 - batch.crops[0, 0]  # Fred's
    after = reader(batch, seeded())
    moved = (after.context - before.context).abs().sum(-1)[0] > 0
    assert moved.nonzero().flatten().tolist() == [int(before.token_idx[0, 0])]
    assert torch.equal(after.latents, before.latents)
    assert before.supervised.all()


def test_names_lost_to_truncation_take_their_pictures_with_them(models):
    tokenizer = loaded(models).tokenizer
    far = "Fred " + "walks " * 80 + "Wilma"
    spans = [[NameSpan(0, 4, 1), NameSpan(len(far) - 5, len(far), 0)], [NameSpan(0, 5, 0)]]
    found = tokenized(tokenizer, [far, "Wilma walks"], spans)
    assert found.tokens.ids.shape == (2, 77)
    assert found.tokens.valid.tolist() == [[True, False], [True, False]]
    assert found.tokens.characters[:, 0].tolist() == [1, 0]
    values = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    assert found.pick(values).tolist() == [[5.0, 0.0], [7.0, 0.0]]


FIT = {
    "steps": 24, "learning_rate": 3e-3, "warmup": 0, "cooldown": 0.0, "betas": (0.9, 0.999), "log_every": 1, "seed": 0,
    "threads": 1, "tensorboard": False,
}  # fmt: skip


def run(folder, models, release, **options):
    node = compose_tree(_primary("storygptv", "char_ldm_sd15"), [f"dataset.root={release}", "subset=all"])
    settings = OmegaConf.to_container(node, resolve=True)
    for key in ("_target_", "_convert_", "_recursive_", "fit_config"):
        del settings[key]
    settings |= {**models, "size_px": 64, "batch_size": 4, "workers": 0, "save_to": str(folder / "out"), **options}
    threads = torch.get_num_threads()
    try:
        return train({**FIT, "out": str(folder / "fit"), **settings.pop("fit", {})}, **settings)
    finally:
        torch.set_num_threads(threads)


def test_a_short_run_lowers_the_loss_of_frames_and_trains_what_it_should(models, release, tmp_path):
    result = run(
        tmp_path,
        models,
        release,
        fit={"validate_every": 24},
        augment=False,
        validation={"num_inference_steps": 2, "stories": 1},
    )
    assert list(result["trained"]) == ["unet", "fusion", "image_encoder"]
    losses = [json.loads(line)["loss"] for line in (tmp_path / "fit" / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 24
    assert all(map(math.isfinite, losses))
    before, after = loaded(models), CharLDM.from_pretrained(tmp_path / "out")
    frames = frames_of(release, cond_dropout="none", augment=False)
    batch = StoryBatches(frames, 12)(0, 0, 1)
    with torch.no_grad():
        first, last = (loss_of(model, frames)(batch, seeded(7))[1]["mse"] for model in (before, after))
    assert last < 0.9 * first
    trained = dict(after.named_parameters())
    same = {
        name: torch.equal(p, trained[name]) for name, p in before.named_parameters() if not name.startswith("fusion")
    }
    layers = ("image_encoder.vision_model.encoder.layers.2.", "image_encoder.vision_model.encoder.layers.3.")
    assert {name for name, kept in same.items() if not kept} == {n for n in same if n.startswith(("unet.", *layers))}
    strips = list((tmp_path / "fit" / "validation").rglob("*.png"))
    assert len(strips) == 1


@pytest.mark.slow
def test_other_data_sets_objectives_and_variants_run(models, release, tmp_path):
    toonsv = dataset_node("toonsv")
    short = {"steps": 2}
    run(tmp_path / "a", models, release, dataset=toonsv, subset="mini", fit=short, cond_dropout="published",
        parts=["unet", "fusion"], min_snr_gamma=5.0, gradient_checkpointing=True)  # fmt: skip
    run(tmp_path / "b", models, release, dataset=toonsv, subset="mini", fit=short, character_images="portrait",
        attention_weight=0, mask_loss_prob=0)  # fmt: skip
    run(tmp_path / "c", models, release, fit=short, cond_dropout="text_only", attention_weight=0, parts=["unet"])
    again = {**models, "stable_diffusion_folder": str(tmp_path / "a" / "out")}  # a Char-LDM to go on from
    run(tmp_path / "d", again, release, fit=short)


def dataset_node(name):
    node = compose_tree(_primary("storygptv", "char_ldm_sd15"), [f"dataset={name}", "~dataset.frame"])
    return OmegaConf.to_container(node, resolve=True)["dataset"]


def test_validation_strips_draw_and_leave_the_model_as_it_was(models, release):
    model = loaded(models)
    train_only(model, ("unet", "fusion", "image_encoder"), 2)
    modes = [module.training for module in model.modules()]
    stories = flintstones("val", root=release, frames=4)
    strips = ValidationStrips(model, stories, ValidationOptions(1, num_inference_steps=2, frame_px=32))
    drawn = strips(10)
    assert list(drawn) == [stories[0].id]
    page = drawn[stories[0].id]
    assert page.width > 4 * 64
    assert page.height > 2 * 64
    assert [module.training for module in model.modules()] == modes
    assert strips(10)[stories[0].id].tobytes() == page.tobytes()
    with torch.no_grad():
        model.unet.conv_out.bias.add_(1)
    assert strips(10)[stories[0].id].tobytes() != page.tobytes()


def test_missing_models_are_said_in_one_sentence(models, release, tmp_path):
    with pytest.raises(AssetError, match="No Stable Diffusion model at"):
        stable_diffusion(str(tmp_path), models["clip_folder"])
    with pytest.raises(AssetError, match="No CLIP model at"):
        stable_diffusion(models["stable_diffusion_folder"], str(tmp_path))
    wide = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
        projection_dim=48,
    )  # fmt: skip
    CLIPVisionModelWithProjection(wide).save_pretrained(tmp_path / "wide")
    with pytest.raises(AssetError, match="projects to 48"):
        stable_diffusion(models["stable_diffusion_folder"], str(tmp_path / "wide"))
    with pytest.raises(ConfigError, match="portrait of every member"):
        run(tmp_path, models, release, character_images="portrait")
    with pytest.raises(ConfigError, match=r"dataset\.root=DIR"):
        main(["model=storygptv", "stage=char_ldm_sd15"])


def test_the_shipped_configuration_is_the_published_one():
    node = compose_tree(_primary("storygptv", "char_ldm_sd15"), [])
    fit = node.fit_config
    assert (fit.steps, node.batch_size, fit.learning_rate, node.size_px) == (25_000, 32, 1e-5, 512)
    assert (list(fit.betas), fit.weight_decay, fit.clip, fit.warmup, fit.cooldown) == ([0.9, 0.999], 0.01, 1.0, 0, 0)
    assert (node.attention_weight, tuple(node.supervised_blocks)) == (1e-3, BLOCKS)
    assert (node.cond_dropout, node.mask_loss_prob, node.missing_mask) == ("paper", 0.3, "skip")
    assert (list(node.parts), node.image_encoder_layers) == (["unet", "fusion", "image_encoder"], 2)


def test_modules_without_a_part_cannot_train_it(models):
    model = loaded(models)
    model.fusion = None
    with pytest.raises(ConfigError, match="this Char-LDM has none"):
        train_only(model, ("fusion",))
