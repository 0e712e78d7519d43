"""The aligned language model, OPT and Llama: packed, separate and cached reading agree."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM, PreTrainedModel

from storybench.errors import AssetError, ConfigError, DataError
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.losses import alignment_loss
from storygptv.aligner.mapper import LDMMapper
from storygptv.aligner.model import AlignedLLM, load_llm
from storygptv.aligner.packing import packed_mask, packed_positions, previous_token
from storygptv.aligner.tokens import mean_norm
from storygptv.tokenizer import build_tokenizer

WORDS = [
    "Zara", "Finn", "She", "He", "they", "and", "walks", "runs", "sings", "there", "on", "the", "beach", "with", "her",
    "him", ".", ",", ":", "Image", "Caption",
]  # fmt: skip
STORIES = [
    ["Zara walks on the beach.", "She runs.", "Finn walks with her there.", "They sings."],
    ["Finn runs and Zara walks.", "He runs with her on the beach.", "She walks.", "He and Zara walks there with him."],
]


FAMILIES = ["opt", "opt_projected", "llama", "llama_tied", "opt_sdpa", "llama_sdpa"]


def tiny_llm(family: str, vocabulary: int) -> PreTrainedModel:
    """Return a random model of a family, loud enough that wrong positions or masks move the result."""
    torch.manual_seed(0)
    shared = {
        "vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "attn_implementation": "sdpa" if family.endswith("sdpa") else "eager",
    }  # fmt: skip
    if family.startswith("opt"):
        inner = 24 if family == "opt_projected" else 32  # as in OPT-350m, whose embeddings are narrower than its layers
        return OPTForCausalLM(OPTConfig(**shared, word_embed_proj_dim=inner, ffn_dim=64, dropout=0.1, init_std=0.3))
    config = LlamaConfig(
        **shared, intermediate_size=64, num_key_value_heads=2, initializer_range=0.3,
        tie_word_embeddings=family == "llama_tied",
    )  # fmt: skip
    return LlamaForCausalLM(config)


def tiny_model(
    max_length: int = 256, family: str = "opt", output_rows: str = "shared", visual_tokens: int = 3, **prompt: object
) -> AlignedLLM:
    tokenizer = build_tokenizer(WORDS, 512)
    llm = tiny_llm(family, len(tokenizer))
    table = llm.get_input_embeddings().weight
    heads = AlignerHeads(
        llm_dim=table.shape[1], feature_dim=6, visual_tokens=visual_tokens, img_tokens=4, out_dim=10, num_queries=5,
        mapper_hidden=16, mapper_heads=2, mapper_layers=1, mapper_feedforward=32, output_rows=output_rows,
        prompt={"max_length": max_length, **prompt},
    )  # fmt: skip
    heads.start(table, llm.get_output_embeddings().weight)
    return AlignedLLM(llm, tokenizer, heads).eval()


def picture_features() -> torch.Tensor:
    return torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scope", ["text_and_first_img", "all_img"])
@pytest.mark.parametrize("frames", ["all", "later"])
def test_one_packed_row_equals_a_row_for_each_frame(family: str, scope: str, frames: str) -> None:
    model, features = tiny_model(family=family), picture_features()
    packed = model(STORIES, features, scope, target_frames=frames)
    separate = model(STORIES, features, scope, packed=False, target_frames=frames)
    assert packed.condition.shape == (8 if frames == "all" else 6, 5, 10)
    assert (packed.condition - separate.condition).abs().max() < 1e-5  # float32 rounding of two orders of summation
    assert abs(packed.generation_loss - separate.generation_loss) < 1e-5
    assert packed.condition[0].std() > 1e-2


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_gradients_of_packed_and_separate_rows_agree(family: str) -> None:
    model, features = tiny_model(family=family), picture_features()
    grads = []
    for packed in (True, False):
        model.zero_grad()
        out = model(STORIES, features, packed=packed)
        (out.condition.square().mean() + out.generation_loss).backward()
        grads.append([model.visual_embeddings.weight.grad.clone(), model.img.rows.grad.clone()])
    for a, b in zip(*grads, strict=True):
        assert a.abs().max() > 1e-4
        assert (a - b).abs().max() < 1e-5
    assert all(p.grad is None for p in model.llm.parameters())


def test_later_pictures_and_the_own_picture_are_not_read() -> None:
    model, features = tiny_model(), picture_features()
    changed = features.clone()
    changed[:, 2:] += 5.0
    first, second = (model(STORIES, f).condition.unflatten(0, (2, 4)) for f in (features, changed))
    assert torch.equal(first[:, :3], second[:, :3])
    assert (first[:, 3] - second[:, 3]).abs().max() > 1e-3


def infer(model: AlignedLLM, stories: list[list[str]], features: torch.Tensor) -> torch.Tensor:
    state, seen = model.start(len(stories)), []
    for t in range(len(stories[0])):
        told = [story[t] for story in stories]
        condition, state = model.step(state, told)
        seen.append(condition)
        state = model.observe(state, features[:, t], told)
    return torch.stack(seen, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_inference_equals_recomputation(family: str) -> None:
    model, features = tiny_model(family=family), picture_features()
    whole = model(STORIES, features, packed=False).condition.unflatten(0, (2, 4))
    assert (infer(model, STORIES, features) - whole).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_cached_inference_equals_recomputation_when_old_frames_are_dropped(family: str) -> None:
    model, features = tiny_model(38, family), picture_features()
    assert model.prompts.packed(STORIES[1]) is None
    whole = model(STORIES, features).condition.unflatten(0, (2, 4))
    assert (infer(model, STORIES, features) - whole).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_story_alone_equals_the_story_in_a_batch(family: str) -> None:
    model, features = tiny_model(family=family), picture_features()
    batched = infer(model, STORIES, features)
    assert (infer(model, STORIES[1:], features[1:])[0] - batched[1]).abs().max() < 1e-5


def test_selected_stories_go_on_as_before() -> None:
    model, features = tiny_model(), picture_features()
    state = model.start(2)
    state = model.observe(state, features[:, 0], [s[0] for s in STORIES])
    state = model.select(state, [1])
    condition, _ = model.step(state, [STORIES[1][1]])
    assert (condition[0] - infer(model, STORIES, features)[1, 1]).abs().max() < 1e-5


def test_saved_model_reads_back(tmp_path) -> None:
    model, features = tiny_model(), picture_features()
    model.save_pretrained(tmp_path)
    again = AlignedLLM.from_pretrained(tmp_path)
    assert torch.equal(model(STORIES, features).condition, again(STORIES, features).condition)


def test_packed_positions_and_predecessors_by_hand() -> None:
    branch = torch.tensor([[0, 1, 1, 0, 0, 2, 2, 0]])
    assert packed_positions(branch).tolist() == [[0, 1, 2, 1, 2, 3, 4, 3]]
    assert previous_token(branch).tolist() == [[0, 0, 1, 0, 3, 4, 5, 4]]
    allowed = packed_mask(branch, torch.ones_like(branch, dtype=torch.bool))[0, 0] == 0
    assert allowed[6].tolist() == [True, False, False, True, True, True, True, False]
    assert allowed[7].tolist() == [True, False, False, True, True, False, False, True]


def test_mapper_has_the_published_parameters() -> None:
    with torch.device("meta"):
        mapper = LDMMapper(4096)
    shapes = {name: tuple(p.shape) for name, p in mapper.named_parameters()}
    assert sum(math.prod(s) for s in shapes.values()) == 31_958_784
    assert shapes["query_embs"] == (1, 77, 512)
    assert shapes["fc.weight"] == (512, 4096)
    assert shapes["model.weight"] == (768, 512)
    assert shapes["tfm.encoder.layers.3.linear1.weight"] == (2048, 512)
    assert shapes["tfm.decoder.layers.0.multihead_attn.in_proj_weight"] == (1536, 512)
    assert {"tfm.encoder.norm.weight", "tfm.decoder.norm.bias"} <= set(shapes)


def test_alignment_loss_by_hand() -> None:
    predicted = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    target = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
    assert alignment_loss(predicted, target).item() == pytest.approx((5 + 2) / 2)
    assert alignment_loss(predicted, target, "squared").item() == pytest.approx((25 + 4) / 2)


def test_img_rows_start_and_return_to_the_mean_norm() -> None:
    model = tiny_model()
    table = model.llm.get_input_embeddings().weight
    words = table[table.norm(dim=-1) > 0].norm(dim=-1).mean()  # the padding row is zero
    assert torch.allclose(model.img.rows.norm(dim=-1), words.expand(4))
    model.img.rows.data.mul_(7)
    model.img.rescale_(mean_norm(table))
    assert torch.allclose(model.img.rows.norm(dim=-1), words.expand(4))


@pytest.mark.parametrize("family", ["opt", "llama", "llama_tied"])
@pytest.mark.parametrize("output_rows", ["shared", "own"])
def test_gradients_never_touch_the_vocabulary(family: str, output_rows: str) -> None:
    model, features = tiny_model(family=family, output_rows=output_rows).train(), picture_features()
    before = {name: p.clone() for name, p in model.llm.named_parameters()}
    out = model(STORIES, features)
    (out.condition.square().mean() + out.generation_loss).backward()
    assert all(p.grad is None for p in model.llm.parameters())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.heads.parameters())
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in model.heads.parameters()}
    torch.optim.AdamW(trained, lr=1.0).step()
    assert all(torch.equal(before[name], p) for name, p in model.llm.named_parameters())


def test_own_output_rows_decide_the_logits_and_shared_ones_follow_the_input() -> None:
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    for output_rows, moved in (("shared", True), ("own", False)):
        model = tiny_model(family="llama", output_rows=output_rows)
        head = model.llm.get_output_embeddings()
        before = model.img.logits(hidden, head)
        assert before.shape == (3, head.out_features + 4)
        assert torch.equal(before[:, :-4], head(hidden))
        model.img.rows.data.add_(1.0)
        assert torch.equal(model.img.logits(hidden, head), before) is not moved


def test_generation_loss_by_hand() -> None:
    """Eq. 4 of one frame: the mean of -log p of the R [IMG] tokens, each after the tokens before it."""
    model, features = tiny_model(), picture_features()
    told = ["Zara walks."]
    out = model([told], features[:1, :1], "all_img")
    block = model.prompts.target(0, told[0])
    words = torch.tensor([[model.tokenizer.bos_token_id, *block.ids[:-4]]])
    embeds = torch.cat([model.llm.get_input_embeddings()(words), model.img.rows[None]], 1)
    hidden = model.llm.model(inputs_embeds=embeds).last_hidden_state[0]
    table = torch.cat([model.llm.lm_head.weight, model.img.rows])
    log_p = (hidden @ table.T).log_softmax(-1)
    count = len(model.llm.lm_head.weight)
    expected = -sum(log_p[words.shape[1] - 1 + r, count + r] for r in range(4)) / 4
    assert out.generation_loss.item() == pytest.approx(expected.item(), abs=1e-5)
    first = -log_p[words.shape[1] - 1, count]
    text = -sum(log_p[i - 1, words[0, i]] for i in range(1, words.shape[1]))
    published = model([told], features[:1, :1]).generation_loss.item()
    assert published == pytest.approx(((first + text) / words.shape[1]).item(), abs=1e-5)


def test_published_overflow_reads_the_last_tokens_that_are_left() -> None:
    """The published trainer cuts a long row on the right and takes the last R states for those of [IMG] tokens."""
    model, features = tiny_model(30, overflow="published"), picture_features()
    out = model([STORIES[1]], features[1:], "all_img")
    assert out.condition.shape == (4, 5, 10)
    row = model.prompts.separate(STORIES[1], 3)
    ids, slots, frames = ([x for p in row for x in column(p.block)][:30] for column in (
        lambda b: b.ids, lambda b: b.slots, lambda b: [b.frame] * len(b)
    ))  # fmt: skip
    assert 2 not in slots  # the [IMG] tokens are gone
    visual = model.heads.visual_tokens(features[1])
    table = model.llm.get_input_embeddings().weight
    pairs = zip(ids, slots, frames, strict=True)
    embeds = torch.stack([visual[f, i] if s == 1 else table[i] for i, s, f in pairs])[None]
    hidden = model.llm.model(inputs_embeds=embeds).last_hidden_state
    expected = model.mapper(hidden[:, -4:], embeds[:, -4:])
    assert (out.condition[3] - expected[0]).abs().max() < 1e-5
    fits = tiny_model(overflow="published")
    assert torch.equal(fits(STORIES, features).condition, tiny_model()(STORIES, features).condition)


def test_published_inference_keeps_all_history_and_fails_past_the_positions() -> None:
    model = tiny_model(40, overflow="published")
    features, told = torch.zeros(1, 6), ["Finn runs and Zara walks on the beach with her there."]
    state = model.start(1)
    for _ in range(13):
        _, state = model.step(state, told)
        state = model.observe(state, features, told)
    assert int(state.count) > 240
    for _ in range(2):
        state = model.observe(state, features, told)
    with pytest.raises(DataError, match="300 positions: give overflow=drop_oldest"):
        model.step(state, told)


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_history_at_inference_may_be_longer_than_in_training(family: str) -> None:
    model, features = tiny_model(38, family, inference_max_length=256), picture_features()
    whole = tiny_model(256, family)(STORIES, features).condition.unflatten(0, (2, 4))
    assert (infer(model, STORIES, features) - whole).abs().max() < 1e-5
    assert (model(STORIES, features).condition.unflatten(0, (2, 4)) - whole).abs().max() > 1e-3


def test_without_visual_tokens_history_is_captions_alone(tmp_path) -> None:
    model, features = tiny_model(visual_tokens=0, image_open="", image_close=""), picture_features()
    model.save_pretrained(tmp_path)
    model = AlignedLLM.from_pretrained(tmp_path)
    assert torch.equal(model(STORIES, features).condition, model(STORIES, features + 1).condition)
    cached = infer(model, STORIES, features).flatten(0, 1)
    assert (cached - model(STORIES, features).condition).abs().max() < 1e-5


def test_wrong_sizes_are_told_in_a_sentence() -> None:
    tokenizer = build_tokenizer(WORDS, 512)
    with pytest.raises(ConfigError, match="embeddings of width 16"):
        AlignedLLM(tiny_llm("opt", len(tokenizer)), tokenizer, AlignerHeads(16, 6, 3, 4, 10, 5, 16, 2, 1, 32))
    with pytest.raises(ConfigError, match="300 positions"):
        tiny_model(301)
    with pytest.raises(ConfigError, match="overflow 'cut'"):
        tiny_model(overflow="cut")
    with pytest.raises(ConfigError, match="'max_lenght'"):
        tiny_model(max_lenght=3)


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    file = tmp_path / "aligner" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["img.rows"]
    save_file(tensors, file)
    with pytest.raises(AssetError, match=r"img\.rows"):
        AlignedLLM.from_pretrained(tmp_path)


def test_language_model_keeps_its_evaluation_mode() -> None:
    model = tiny_model().train()  # its dropout is 0.1
    assert model.heads.training
    assert not any(m.training for m in model.llm.modules())


def test_saved_files_have_the_names_of_the_pipeline(tmp_path) -> None:
    tiny_model().save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"aligner", "llm", "llm_tokenizer"}
    names = set(load_file(tmp_path / "aligner" / "diffusion_pytorch_model.safetensors"))
    assert {"visual_embeddings.weight", "img.rows", "mapper.query_embs"} <= names
    llm, tokenizer = load_llm(tmp_path / "llm", tmp_path / "llm_tokenizer", attn_implementation="sdpa")
    assert llm.config._attn_implementation == "sdpa"
    assert tokenizer.bos_token == "<s>"


def test_heads_assemble_on_the_meta_device_with_the_published_sizes() -> None:
    with torch.device("meta"):
        heads = AlignerHeads()
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in heads.named_children()}
    assert count == {"visual_embeddings": 1024 * 16384 + 16384, "img": 8 * 4096, "mapper": 31_958_784}
