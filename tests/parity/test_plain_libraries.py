"""Our assembly against plain calls of diffusers and transformers, on tiny random models.

Whatever wraps the libraries (name tokens, packing, caches, attention columns, latent statistics) must be nothing but
the library where there is nothing to wrap, and the published formula by hand where there is.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch.nn import functional as F
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from storybench.story import Character
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.model import AlignedLLM
from storygptv.char_ldm.attention import record_character_columns
from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.sampling import frame_generators, initial_noise, latent_shape
from storygptv.pipeline import StoryGPTVPipeline
from storygptv.tokenizer import build_tokenizer

WORDS = ["Fred", "Wilma", "Mr", "Slate", "'s", "She", "He", "walks", "runs", "in", "the", "kitchen", ".", ":", "Image",
         "Caption"]  # fmt: skip
WIDTH, LENGTH, PICTURE, LLM = 32, 16, 24, 40
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PLAIN = ["She walks in the kitchen.", "", "He runs."]
STORIES = [
    ["Fred walks in the kitchen.", "He runs.", "Wilma walks.", "She runs in the kitchen."],
    ["Wilma runs.", "She walks in the kitchen.", "Fred.", "He and Wilma walks."],
]


def portrait(shade: int) -> Character:
    picture = Image.new("RGB", (40, 28), (shade, 255 - shade, 90))
    return Character(name=("Fred", "Mr Slate")[shade // 128], pronoun="he", portrait=lambda: picture)


def tiny_char_ldm(statistics: str = "clip") -> CharLDM:
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=LENGTH, bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_factor=4.0,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=PICTURE, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=28,
        patch_size=14, projection_dim=WIDTH, initializer_factor=4.0,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, attention_head_dim=2, norm_num_groups=8,
        cross_attention_dim=WIDTH, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4, sample_size=16,
        up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.18215,
    )  # fmt: skip
    return CharLDM(
        build_tokenizer(WORDS, LENGTH), CLIPTextModel(text), CLIPVisionModelWithProjection(vision),
        CharacterFusion(WIDTH), unet, vae, PNDMScheduler(skip_prk_steps=True, steps_offset=1),
        (portrait(0), portrait(200)), image_statistics=statistics,
    ).eval()  # fmt: skip


def plain_text(model: CharLDM, captions: list[str]) -> torch.Tensor:
    """CLIP's text encoder, as Stable Diffusion calls it."""
    ids = model.tokenizer(
        captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return model.text_encoder(ids).last_hidden_state


@pytest.fixture(scope="module")
def model() -> CharLDM:
    return tiny_char_ldm()


@torch.no_grad()
def test_captions_without_names_are_plain_clip(model):
    torch.testing.assert_close(model.condition(PLAIN), plain_text(model, PLAIN), atol=0, rtol=0)
    named = ["Fred walks."]
    torch.testing.assert_close(model.condition(named, fuse=[False]), plain_text(model, named), atol=0, rtol=0)


def fused(model: CharLDM, token: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """The published fuse module, written out (storygptv.md section 2)."""
    w = model.fusion.state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x0 = torch.cat([token, picture])
    h1 = token + linear(F.gelu(linear(norm(x0, "mlp1.layernorm"), "mlp1.fc1")), "mlp1.fc2")
    h2 = h1 + linear(F.gelu(linear(norm(h1, "mlp2.layernorm"), "mlp2.fc1")), "mlp2.fc2")
    return norm(h2, "layer_norm")


@torch.no_grad()
def test_captions_with_names_are_clip_and_the_fuse_module_by_hand(model):
    captions = ["Mr Slate's kitchen.", "She walks.", "Fred runs in the kitchen. Fred walks."]
    places = [[(2, 1)], [], [(1, 0), (7, 0)]]  # last token of each name, after <s>; and whose it is
    expected = plain_text(model, captions).clone()
    for row, found in enumerate(places):
        for token, who in found:
            words = model.tokenizer.convert_ids_to_tokens(model.tokenizer(captions[row]).input_ids)
            assert words[token] == ("Fred", "Slate")[who]
            expected[row, token] = fused(model, expected[row, token], model.character_embeds[who])
    torch.testing.assert_close(model.condition(captions), expected, atol=1e-6, rtol=0)
    assert (expected - plain_text(model, captions)).abs().max() > 0.1


@torch.no_grad()
@pytest.mark.parametrize("statistics", ["clip", "symmetric"])
def test_frames_and_portraits_are_plain_clip_vision(statistics):
    model = tiny_char_ldm(statistics)
    mean, std = (CLIP_MEAN, CLIP_STD) if statistics == "clip" else ((0.5,) * 3, (0.5,) * 3)

    def prepared(pixels: torch.Tensor) -> torch.Tensor:  # (B, 3, H, W) in [0, 1]
        small = F.interpolate(pixels, (28, 28), mode="bilinear", antialias=True)
        return (small - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    frames = torch.rand(2, 3, 64, 64)
    plain = model.image_encoder(pixel_values=prepared(frames), output_hidden_states=True)
    pooled = model.image_encoder.vision_model(pixel_values=prepared(frames)).pooler_output
    torch.testing.assert_close(model.encode_frames(frames * 2 - 1), pooled, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.image_encoder.visual_projection(pooled), plain.image_embeds, atol=1e-5, rtol=0)

    for who, member in enumerate(model.cast):
        rgb = torch.tensor(list(member.portrait().tobytes())).view(1, 28, 40, 3).permute(0, 3, 1, 2) / 255
        square = F.pad(rgb, (0, 0, 6, 6))  # black above and below: the published portraits are padded to squares
        embeds = model.image_encoder(pixel_values=prepared(square)).image_embeds[0]
        torch.testing.assert_close(model.character_embeds[who], embeds, atol=1e-5, rtol=0)


@torch.no_grad()
def test_latents_are_scaled_as_stable_diffusion_scales_them(model):
    pixels = torch.rand(2, 3, 16, 16) * 2 - 1
    latents = model.vae.encode(pixels).latent_dist.mean * 0.18215
    torch.testing.assert_close(model.encode_latents(pixels), latents, atol=1e-5, rtol=1e-5)
    decoded = model.vae.decode(latents / 0.18215).sample.clamp(-1, 1)
    # ours multiplies by the standard deviation where diffusers divides by the factor: equal up to rounding
    torch.testing.assert_close(model.decode_latents(latents), decoded, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_supervised_unet_is_the_library_unet():
    ours, theirs = tiny_char_ldm().unet, tiny_char_ldm().unet
    record_character_columns(ours, ["down_blocks.0", "mid_block", "up_blocks.1"])
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.randn(2, LENGTH, WIDTH)
    torch.testing.assert_close(ours(x, t, context).sample, theirs(x, t, context).sample, atol=1e-5, rtol=1e-5)


SCHEDULERS = {
    "pndm": lambda: PNDMScheduler(skip_prk_steps=True, steps_offset=1, beta_schedule="scaled_linear"),
    "ddim": lambda: DDIMScheduler(steps_offset=1, beta_schedule="scaled_linear", clip_sample=False),
    "ddim_v": lambda: DDIMScheduler(steps_offset=1, clip_sample=False, prediction_type="v_prediction"),
    "euler": lambda: EulerDiscreteScheduler(steps_offset=1, beta_schedule="scaled_linear"),
    "dpm": lambda: DPMSolverMultistepScheduler(steps_offset=1, beta_schedule="scaled_linear"),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_without_stage_2_and_names_it_draws_what_stable_diffusion_draws(model, name):
    """The whole path, text to pixels: guidance 5, the scheduler's own steps, an empty negative prompt."""
    parts = {"vae": model.vae, "text_encoder": model.text_encoder, "tokenizer": model.tokenizer, "unet": model.unet}
    scheduler = SCHEDULERS[name]()
    theirs = StableDiffusionPipeline(
        **parts, scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    ours = StoryGPTVPipeline(**parts, scheduler=scheduler)
    for pipeline in (ours, theirs):
        pipeline.set_progress_bar_config(disable=True)
    captions = ["She walks in the kitchen.", "He runs."]
    drawn = ours([("a", captions)], seed=5, num_inference_steps=4, guidance_scale=5.0, output_type="pt").frames[0]
    noise = initial_noise(frame_generators(5, [("a", 0), ("a", 1)]), latent_shape(model))
    expected = theirs(
        captions, height=16, width=16, num_inference_steps=4, guidance_scale=5.0, latents=noise, output_type="pt"
    ).images
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-2


# Stage 2


def aligned(family: str) -> AlignedLLM:
    torch.manual_seed(1)
    common = {
        "vocab_size": 64, "hidden_size": LLM, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0,
        "max_position_embeddings": 300, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    if family == "opt":
        config = OPTConfig(**common, word_embed_proj_dim=LLM, ffn_dim=48, dropout=0.0, init_std=0.3)
        llm = OPTForCausalLM(config)
    else:
        llm = LlamaForCausalLM(LlamaConfig(**common, intermediate_size=48, initializer_range=0.3))
    llm.config._attn_implementation = "eager"
    heads = AlignerHeads(
        llm_dim=LLM, feature_dim=PICTURE, visual_tokens=3, img_tokens=4, out_dim=WIDTH, num_queries=LENGTH,
        mapper_hidden=16, mapper_layers=1, mapper_feedforward=24,
    )  # fmt: skip
    return AlignedLLM(llm, build_tokenizer(WORDS, 300), heads).eval()


def by_hand(model: AlignedLLM, captions: list[str], features: torch.Tensor, frame: int) -> torch.Tensor:
    """The [IMG] states of one frame: one plain forward on concatenated embeddings, without cache, mask or padding."""
    table = model.llm.get_input_embeddings()

    def words(text: str) -> torch.Tensor:
        return table(torch.tensor(model.tokenizer(text, add_special_tokens=False).input_ids))

    pieces = [table(torch.tensor([model.tokenizer.bos_token_id]))]
    for i in range(frame):
        seen = model.visual_embeddings(features[i]).view(3, LLM)
        pieces += [words(" Image:"), seen, words(f" Caption: {captions[i]}")]
    pieces += [words(f" Caption: {captions[frame]}"), words(" Image:"), model.img.rows]
    out = model.llm(inputs_embeds=torch.cat(pieces)[None], output_hidden_states=True)
    return out.hidden_states[-1][0, -4:]


@torch.no_grad()
@pytest.mark.parametrize("family", ["opt", "llama"])
def test_img_states_are_those_of_a_plain_forward(family):
    model = aligned(family)
    features = torch.randn(2, 4, PICTURE)
    expected = torch.stack([by_hand(model, STORIES[b], features[b], t) for b in range(2) for t in range(4)])
    assert expected.std() > 0.1
    torch.testing.assert_close(model.states(STORIES, features), expected, atol=1e-5, rtol=0)
    condition = model.mapper(expected, model.img.rows.expand_as(expected))  # states plus input embeddings
    torch.testing.assert_close(model(STORIES, features).condition, condition, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("family", ["opt", "llama"])
def test_cached_steps_are_those_of_plain_forwards(family):
    model = aligned(family)
    features = torch.randn(2, 4, PICTURE)
    state = model.start(2)
    for t in range(4):
        told = [story[t] for story in STORIES]
        condition, state = model.step(state, told)
        states = torch.stack([by_hand(model, STORIES[b], features[b], t) for b in range(2)])
        expected = model.mapper(states, model.img.rows.expand_as(states))
        torch.testing.assert_close(condition, expected, atol=1e-5, rtol=0)
        state = model.observe(state, features[:, t], told)
