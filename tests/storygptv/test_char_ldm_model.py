"""Char-LDM on tiny random weights: conditioning, attention columns, sampling, training."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from storybench.data.toonsv.dataset import full_cast
from storybench.data.toonsv.lexicon import vocabulary
from storybench.errors import ConfigError
from storybench.story import Character
from storygptv.char_ldm import training
from storygptv.char_ldm.attention import attention_loss, record_character_columns
from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
from storygptv.char_ldm.frame_pool import FramePool
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.objective import noised, sample_sigmas
from storygptv.char_ldm.sampling import SamplerConfig, draw, to_images
from storygptv.tokenizer import build_tokenizer

UNET = {
    "sample_size": 16,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}


def tiny_model() -> CharLDM:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary(), 64)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=128, patch_size=32,
        projection_dim=32,
    )  # fmt: skip
    vae = PatchAutoencoderKL(4, (8, 16), 1, 4, 8, latents_mean=(0.0,) * 4, latents_std=(1.0,) * 4)
    return CharLDM(
        tokenizer,
        CLIPTextModel(text),
        CLIPVisionModelWithProjection(vision),
        CharacterFusion(32),
        UNet2DConditionModel(in_channels=4, out_channels=4, cross_attention_dim=32, **UNET),
        vae,
        FlowMatchEulerDiscreteScheduler(shift=2.0),
        full_cast(),
    ).eval()


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_only_name_tokens_and_nothing_else_change_by_fusion(model):
    caption = "Zara waves to Mr Plum on the beach."
    fused = model.encode_tokens(model.tokenize([caption]))
    plain = model.encode_tokens(model.tokenize([caption], fuse=[False]))
    changed = (fused - plain).abs().sum(-1)[0] > 1e-6
    words = model.tokenizer.convert_ids_to_tokens(model.tokenize([caption]).ids[0])
    assert [w for w, c in zip(words, changed, strict=True) if c] == ["Zara", "Plum"]


def test_a_portrait_reaches_its_own_name_only(model):
    before = model.condition(["Zara runs.", "Pip runs."])
    saved = model.character_embeds.clone()
    model.character_embeds = saved.clone()
    model.character_embeds[0] += 1  # Zara is the first of the cast
    after = model.condition(["Zara runs.", "Pip runs."])
    model.character_embeds = saved
    assert (after[0] - before[0]).abs().max() > 1e-3
    assert torch.equal(after[1], before[1])


def test_supervising_the_names_of_a_caption_changes_no_prediction(model):
    tokens = model.tokenize(["Zara and Pip dance in the kitchen.", "Otto sits."])
    context, x, t = model.encode_tokens(tokens), torch.randn(2, 4, 16, 16), torch.tensor([10.0, 900.0])
    before = model.unet(x, t, context).sample
    columns = record_character_columns(model.unet, ["mid_block"])
    columns.supervise(tokens.token_idx, torch.rand(2, 2, 128, 128).round(), tokens.valid)
    torch.testing.assert_close(model.unet(x, t, context).sample, before, atol=1e-5, rtol=1e-5)
    assert [p.shape for p in columns.probabilities().values()] == [(2, 2, 64, 2)]  # (B, heads, 8 x 8, K)
    loss = columns.loss()
    assert -1 < float(loss.detach()) < 1
    assert torch.autograd.grad(loss, model.fusion.mlp1.fc1.weight)[0].abs().max() > 0  # the term reaches the fusion


def test_attention_inside_the_mask_is_rewarded():
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :4] = 1
    inside = masks.flatten(2).transpose(1, 2)[:, None]  # (1, 1, 64, 1)
    valid = torch.ones(1, 1)
    good, bad = attention_loss({"a": inside}, masks, valid), attention_loss({"a": 1 - inside}, masks, valid)
    assert good < -0.99 < 0.99 < bad
    assert float(attention_loss({"a": inside}, masks, torch.zeros(1, 1))) == 0


def test_sigmas_are_shifted_to_high_noise_and_the_path_is_straight():
    sigmas = sample_sigmas(1000, 3.0, torch.Generator().manual_seed(0))
    assert 0 < sigmas.min() < sigmas.max() < 1
    assert sigmas.median() == pytest.approx(0.75, abs=0.01)  # 3 u / (1 + 2 u) at u = 1/2
    z, e = torch.randn(1000, 1, 1, 1), torch.randn(1000, 1, 1, 1)
    x, v = noised(z, e, sigmas)
    torch.testing.assert_close(x - sigmas.view(-1, 1, 1, 1) * v, z)


def test_frames_do_not_depend_on_their_batch(model):
    captions = ["Zara runs.", "Pip and Otto sleep.", "Nora sits."]
    frames = [("a", 0), ("a", 1), ("b", 0)]
    config = SamplerConfig(3, 2.0)
    together = draw(model, model.condition(captions), frames, 7, config)
    for i in range(3):
        alone = draw(model, model.condition(captions[i : i + 1]), frames[i : i + 1], 7, config)
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=0)
    assert (draw(model, model.condition(captions), frames, 8, config) - together).abs().max() > 1e-3
    assert to_images(together)[0].size == (128, 128)


def test_pool_items_do_not_depend_on_the_order_of_asking(model):
    ahead, back = (FramePool(40, 5, model.encode_latents) for _ in range(2))
    items = np.arange(20)
    a = ahead[items]
    b = [back[items[i : i + 1]] for i in reversed(range(20))][::-1]
    assert [f.explicit for f in a.frames] == [x.frames[0].explicit for x in b]
    torch.testing.assert_close(a.latents, torch.cat([x.latents for x in b]), atol=2e-2, rtol=0)  # kept in fp16
    assert sorted(
        np.concatenate([ahead.batch(5 + k, 8, 0).latents[:, 0, 0, 0].numpy() for k in range(5)]).tolist()
    ) == (sorted(ahead[np.arange(40)].latents[:, 0, 0, 0].tolist()))


def test_portraits_are_made_square_before_they_are_shrunk():
    model = tiny_model()
    wide = Image.new("RGB", (300, 100), (255, 0, 0))
    square = Image.new("RGB", (300, 300))
    square.paste(wide, (0, 100))
    model.set_cast([Character("Zara", "she", portrait=lambda: wide), Character("Pip", "he", portrait=lambda: square)])
    torch.testing.assert_close(model.character_embeds[0], model.character_embeds[1])
    with pytest.raises(ConfigError, match="has none of Otto"):
        model.set_cast([Character("Otto", "he")])


def test_saved_parts_come_back_equal(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = CharLDM.from_pretrained(tmp_path, full_cast()).eval()
    torch.testing.assert_close(again.condition(["Zara runs."]), model.condition(["Zara runs."]))
    x = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(
        again.decode_latents(again.encode_latents(x)), model.decode_latents(model.encode_latents(x))
    )


def train_tiny(folder: Path) -> list[float]:
    """Train a tiny Char-LDM for six steps, or the rest of them; return the losses of all steps so far."""
    model, threads = tiny_model(), torch.get_num_threads()
    model.vae.save_pretrained(folder / "vae")
    model.image_encoder.save_pretrained(folder / "image_encoder")
    fit = {
        "out": str(folder / "fit"), "steps": 6, "learning_rate": 1e-3, "log_every": 1, "checkpoint_seconds": 0.0,
        "ema": 0.9, "threads": 1,
    }  # fmt: skip
    text = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 64,
    }  # fmt: skip
    parts = [str(folder / part) for part in ("out", "vae", "image_encoder")]
    training.train(fit, *parts, text, UNET, ["mid_block"], batch_size=4, pool=16)
    torch.set_num_threads(threads)
    return logged_losses(folder)


def logged_losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "fit" / "log.jsonl").read_text().splitlines()]


KILLED_AT_STEP_3 = """
import os, signal, sys
from pathlib import Path
import test_char_ldm_model
from storygptv import training
original = training.learning_rate
def dying(config, step):
    if step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(config, step)
training.learning_rate = dying
test_char_ldm_model.train_tiny(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_training_killed_and_resumed_repeats_the_uninterrupted_run(tmp_path):
    whole = train_tiny(tmp_path / "whole")
    assert len(whole) == 6
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    code = [sys.executable, "-c", KILLED_AT_STEP_3, str(tmp_path / "cut")]
    killed = subprocess.run(code, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(logged_losses(tmp_path / "cut")) == 3
    assert train_tiny(tmp_path / "cut") == whole
