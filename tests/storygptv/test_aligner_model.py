"""The aligned language model: packed, separate and cached reading agree; the prompt keeps its target."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from storybench.errors import DataError
from storygptv.aligner.losses import alignment_loss
from storygptv.aligner.mapper import LDMMapper
from storygptv.aligner.model import AlignedLLM, AlignerConfig
from storygptv.aligner.packing import packed_mask, packed_positions, previous_token
from storygptv.aligner.prompt import PromptBuilder, PromptFormat, Slot
from storygptv.aligner.tokens import ImgTokens, mean_norm
from storygptv.tokenizer import build_tokenizer

WORDS = [
    "Zara", "Finn", "She", "He", "they", "and", "walks", "runs", "sings", "there", "on", "the", "beach", "with", "her",
    "him", ".", ",", ":", "Image", "Caption",
]  # fmt: skip
STORIES = [
    ["Zara walks on the beach.", "She runs.", "Finn walks with her there.", "They sings."],
    ["Finn runs and Zara walks.", "He runs with her on the beach.", "She walks.", "He and Zara walks there with him."],
]


def tiny_model(max_length: int = 256) -> AlignedLLM:
    tokenizer = build_tokenizer(WORDS, 512)
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, word_embed_proj_dim=32, num_hidden_layers=2, num_attention_heads=4,
        ffn_dim=64, max_position_embeddings=300, dropout=0.0, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        attn_implementation="eager", init_std=0.3,
    )  # fmt: skip
    sizes = AlignerConfig(
        feature_dim=6, visual_tokens=3, img_tokens=4, out_dim=10, num_queries=5, mapper_hidden=16, mapper_heads=2,
        mapper_layers=1, mapper_feedforward=32, prompt=PromptFormat(max_length=max_length),
    )  # fmt: skip
    return AlignedLLM(OPTForCausalLM(config), tokenizer, sizes).eval()


def picture_features() -> torch.Tensor:
    return torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scope", ["text_and_first_img", "all_img"])
def test_one_packed_row_equals_a_row_for_each_frame(scope: str) -> None:
    model, features = tiny_model(), picture_features()
    packed = model(STORIES, features, scope)
    separate = model(STORIES, features, scope, packed=False)
    assert packed.condition.shape == (8, 5, 10)
    assert (packed.condition - separate.condition).abs().max() < 1e-5  # float32 rounding of two orders of summation
    assert abs(packed.generation_loss - separate.generation_loss) < 1e-5
    assert packed.condition[0].std() > 1e-2


def test_gradients_of_packed_and_separate_rows_agree() -> None:
    model, features = tiny_model(), picture_features()
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


def test_cached_inference_equals_recomputation() -> None:
    model, features = tiny_model(), picture_features()
    whole = model(STORIES, features, packed=False).condition.unflatten(0, (2, 4))
    assert (infer(model, STORIES, features) - whole).abs().max() < 1e-5


def test_cached_inference_equals_recomputation_when_old_frames_are_dropped() -> None:
    model, features = tiny_model(max_length=38), picture_features()
    assert model.prompts.packed(STORIES[1]) is None
    whole = model(STORIES, features).condition.unflatten(0, (2, 4))
    assert (infer(model, STORIES, features) - whole).abs().max() < 1e-5


def test_a_story_alone_equals_the_story_in_a_batch() -> None:
    model, features = tiny_model(), picture_features()
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


def test_prompt_never_loses_its_target() -> None:
    tokenizer = build_tokenizer(WORDS, 512)
    target_length = len(PromptBuilder(tokenizer, PromptFormat(), 3, 4).target(3, STORIES[1][3]))
    for room in range(60):
        builder = PromptBuilder(tokenizer, PromptFormat(max_length=1 + target_length + room), 3, 4)
        row = builder.separate(STORIES[1], 3)
        assert row[0].block.ids == (tokenizer.bos_token_id,)
        assert row[-1].block == builder.target(3, STORIES[1][3])
        assert sum(len(p.block) for p in row) <= builder.prompt.max_length
        assert [p.block.frame for p in row[1:-1]] == list(range(3))[5 - len(row) :]  # the newest are kept
    with pytest.raises(DataError, match="caption of frame 3"):
        PromptBuilder(tokenizer, PromptFormat(max_length=target_length), 3, 4).separate(STORIES[1], 3)
    strict = PromptBuilder(tokenizer, PromptFormat(max_length=target_length + 5, overflow="error"), 3, 4)
    with pytest.raises(DataError, match="earlier frames"):
        strict.separate(STORIES[1], 3)


def test_training_and_inference_write_the_same_prompt() -> None:
    builder = tiny_model().prompts
    row = [p.block for p in builder.separate(STORIES[0], 1)]
    text = [i for b in row for i, slot in zip(b.ids, b.slots, strict=True) if slot == Slot.TEXT]
    words = " ".join(builder.tokenizer.convert_ids_to_tokens(text))
    assert words == "<s> Image : Caption : Zara walks on the beach . Caption : She runs . Image :"
    assert row[-1].slots[-4:] == (Slot.IMG,) * 4


def test_img_rows_start_and_return_to_the_mean_norm() -> None:
    table = torch.randn(50, 16) * 3
    table[0] = 0
    img = ImgTokens(8, table)
    assert torch.allclose(img.rows.norm(dim=-1), torch.full((8,), table[1:].norm(dim=-1).mean().item()))
    img.rows.data.mul_(7)
    img.rescale_(mean_norm(table))
    assert torch.allclose(img.rows.norm(dim=-1).mean(), table[1:].norm(dim=-1).mean())
