"""L_reg from few columns: the same number and the same gradients as from the full softmax maps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from safetensors.torch import load_file

from storybench.errors import ConfigError
from storygptv.char_ldm import attention
from storygptv.char_ldm.attention import (
    CharacterAttnProcessor,
    CharacterColumns,
    attention_loss,
    record_character_columns,
)
from storygptv.char_ldm.fusion import CharacterFusion

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT.parent / "shared" / "golden" / "attention_loss.safetensors"
PUBLISHED_BLOCKS = ["down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.1", "up_blocks.2"]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}
L, D = 13, 16


def sd15_shaped(dtype: torch.dtype = torch.float64, **changes) -> UNet2DConditionModel:
    """The blocks of Stable Diffusion 1.5, narrow: the defaults of the class but for the widths."""
    torch.manual_seed(0)
    widths = {"block_out_channels": (8, 16, 24, 24), "attention_head_dim": 4, "norm_num_groups": 4}
    return UNet2DConditionModel(sample_size=16, cross_attention_dim=D, **widths, **changes).to(dtype)


class FullMaps:
    """The published way: plain attention that hands out its whole softmax."""

    def __init__(self, store, layer):
        self.store, self.layer = store, layer

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        batch = len(hidden_states)
        q, k, v = (
            attn.head_to_batch_dim(x)
            for x in (attn.to_q(hidden_states), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states))
        )
        mask = attn.prepare_attention_mask(attention_mask, encoder_hidden_states.shape[1], batch)
        maps = attn.get_attention_scores(q, k, mask)  # (B*h, N, L)
        self.store[self.layer] = maps.unflatten(0, (batch, attn.heads))
        return attn.to_out[0](attn.batch_to_head_dim(maps @ v))


def example(dtype=torch.float64, batch=2):
    """Inputs of a U-Net, and masks of three characters; the second sample has one, and one padded."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 4, 16, 16, generator=draw, dtype=dtype)
    context = torch.randn(batch, L, D, generator=draw, dtype=dtype)
    token_idx = torch.tensor([[2, 5, 9], [4, 0, -1]])
    masks = (torch.rand(batch, 3, 64, 64, generator=draw) > 0.6).to(dtype)
    masks[1, 1:] = 0
    valid = torch.tensor([[True, True, True], [True, False, False]])
    return x, context, token_idx, masks, valid


def full_map_loss(unet, x, context, token_idx, masks, valid, **kwargs):
    """L_reg as published, from the whole maps of the published blocks, and the U-Net's output."""
    store, processors = {}, {}
    for name, present in unet.attn_processors.items():
        supervised = ".attn2." in name and any(name.startswith(f"{b}.") for b in PUBLISHED_BLOCKS)
        processors[name] = FullMaps(store, name) if supervised else present
    unet.set_attn_processor(processors)
    out = unet(x, 500, context, **kwargs).sample
    where = token_idx.clamp(min=0)[:, None, None]
    columns = {k: v.gather(-1, where.expand(-1, *v.shape[1:3], -1)) for k, v in store.items()}
    return out, attention_loss(columns, masks, valid)


def column_loss(unet, x, context, token_idx, masks, valid, **kwargs):
    columns = record_character_columns(unet, PUBLISHED_BLOCKS)
    columns.supervise(token_idx, masks, valid)
    out = unet(x, 500, context, **kwargs).sample
    return out, columns.loss()


def gradients(unet, leaves, out, loss):
    """Gradients of a training loss, in which L_reg weighs enough to show, for all weights and ``leaves``."""
    unet.zero_grad()
    (out.square().mean() + loss).backward()
    found = {name: p.grad.clone() for name, p in unet.named_parameters()}
    for i, leaf in enumerate(leaves):
        found[f"leaf {i}"], leaf.grad = leaf.grad, None
    return found


@pytest.mark.parametrize("masked_text", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_loss_and_all_gradients_equal_those_of_the_full_maps(dtype, masked_text):
    unet = sd15_shaped(dtype)
    x, context, token_idx, masks, valid = example(dtype)
    context.requires_grad_()
    masks.requires_grad_()
    kwargs = {}
    if masked_text:
        kwargs["encoder_attention_mask"] = torch.arange(L)[None] < torch.tensor([[11], [6]])
    results = []
    for way in (full_map_loss, column_loss):
        out, loss = way(unet, x, context, token_idx, masks, valid, **kwargs)
        results.append((loss.detach(), gradients(unet, (context, masks), out, loss)))
    (full, full_gradients), (ours, our_gradients) = results
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(ours, full, atol=tolerance, rtol=tolerance)
    for name, expected in full_gradients.items():
        torch.testing.assert_close(our_gradients[name], expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_gradients_of_the_loss_alone_are_equal_beside_their_own_size(dtype, tolerance):
    unet = sd15_shaped(dtype)
    x, context, token_idx, masks, valid = example(dtype)
    context.requires_grad_()
    masks.requires_grad_()
    found = []
    for way in (full_map_loss, column_loss):
        _, loss = way(unet, x, context, token_idx, masks, valid)
        leaves = {"context": context, "masks": masks, **dict(unet.named_parameters())}
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        found.append({n: g for n, g in zip(leaves, gradients, strict=True) if g is not None})
    full, ours = found
    assert full.keys() == ours.keys()
    assert sum(".attn2.to_q" in name or ".attn2.to_k" in name for name in full) >= 22
    for name, expected in full.items():
        size = max(expected.abs().max(), 1e-8)  # some are 0 but for rounding: biases before a normalisation
        torch.testing.assert_close(ours[name] / size, expected / size, atol=tolerance, rtol=0)


def test_published_blocks_are_eleven_layers_and_only_they_change():
    unet = sd15_shaped()
    columns = record_character_columns(unet, PUBLISHED_BLOCKS)
    assert len(columns.layers) == 11
    counts = [sum(layer.startswith(f"{block}.") for layer in columns.layers) for block in PUBLISHED_BLOCKS]
    assert counts == [2, 2, 1, 3, 3]
    ours = {n.removesuffix(".processor") for n, p in unet.attn_processors.items() if type(p) is CharacterAttnProcessor}
    assert ours == set(columns.layers)
    assert sum(type(p) is AttnProcessor2_0 for p in unet.attn_processors.values()) == 32 - 11
    x, context, *targets = example()
    columns.supervise(*targets)
    unet(x, 1, context)
    sides = [int(maps.shape[2] ** 0.5) for maps in columns.probabilities().values()]
    assert sorted(sides) == [2] * 1 + [4] * 5 + [8] * 5  # of 16: at 64 these are 8, 16 and 32, without 64
    again = record_character_columns(unet, ["mid_block"])
    assert again.layers == ("mid_block.attentions.0.transformer_blocks.0.attn2",)
    assert sum(type(p) is CharacterAttnProcessor for p in unet.attn_processors.values()) == 1


def test_a_block_without_cross_attention_is_named():
    with pytest.raises(ConfigError, match=r"'down_blocks\.3' has no cross-attention.*mid_block, up_blocks\.1"):
        record_character_columns(sd15_shaped(), ["mid_block", "down_blocks.3"])


def test_no_supervised_block_means_no_loss():
    unet = sd15_shaped()
    x, context, *targets = example()
    columns = record_character_columns(unet, [])
    columns.supervise(*targets)
    unet(x, 1, context)
    assert columns.loss() == 0


def test_the_processor_draws_what_the_library_draws():
    unet = sd15_shaped()
    x, context, *_ = example()
    mask = torch.arange(L)[None] < torch.tensor([[11], [6]])
    with torch.no_grad():
        expected = unet(x, 10, context, encoder_attention_mask=mask).sample
        record_character_columns(unet, PUBLISHED_BLOCKS)
        ours = unet(x, 10, context, encoder_attention_mask=mask).sample
    torch.testing.assert_close(ours, expected, atol=1e-13, rtol=0)


def test_probabilities_are_columns_of_the_softmax():
    unet = sd15_shaped()
    x, context, _, masks, _ = example()
    columns = record_character_columns(unet, ["up_blocks.1"])
    columns.supervise(torch.arange(L).expand(2, L), masks[:, :1].expand(2, L, 64, 64), torch.ones(2, L))
    unet(x, 10, context)
    found = columns.probabilities()
    assert len(found) == 3
    for maps in found.values():
        assert maps.shape == (2, 4, 16, L)
        assert not maps.requires_grad
        torch.testing.assert_close(maps.sum(-1), torch.ones(2, 4, 16, dtype=maps.dtype))


def test_gradient_checkpointing_changes_nothing_and_counts_once():
    unet = sd15_shaped()
    inputs = example()
    whole = column_loss(unet, *inputs)
    expected = gradients(unet, (), *whole)
    unet.enable_gradient_checkpointing()
    unet.train()
    for ask_between in (False, True):
        columns = record_character_columns(unet, PUBLISHED_BLOCKS)
        columns.supervise(*inputs[2:])
        out = unet(inputs[0], 500, inputs[1]).sample
        loss = columns.loss()
        if ask_between:
            columns.clear()
        torch.testing.assert_close(loss, whole[1], atol=1e-10, rtol=0)
        found = gradients(unet, (), out, loss)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-10, rtol=1e-10)
        assert not columns._attended  # the forward repeated in backward left nothing behind
        with pytest.raises(RuntimeError, match="supervise"):
            columns.loss()


def test_reentrant_checkpointing_is_refused_instead_of_training_without_the_loss():
    unet = sd15_shaped()
    x, context, *targets = example()
    unet.enable_gradient_checkpointing(
        lambda module, *args: torch.utils.checkpoint.checkpoint(module.__call__, *args, use_reentrant=True)
    )
    columns = record_character_columns(unet.train(), ["mid_block"])
    columns.supervise(*targets)
    with pytest.raises(ConfigError, match="use_reentrant=False"):
        unet(x.requires_grad_(), 1, context)


def attended(dtype=torch.float64, batch=3, heads=2, pixels=16, width=4, bias=True):
    draw = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()

    q, k = normal(batch, heads, pixels, width), normal(batch, heads, L, width)
    b = normal(batch, heads, 1, L) if bias else None
    return q, k, b


def step(q, k, bias, token_idx, masks, valid, scale=0.5):
    """One layer's loss through the public interface."""
    columns = CharacterColumns(["layer"])
    columns.supervise(token_idx, masks, valid)
    columns.keep("layer", attention._Attended(q, k, bias, scale))
    return columns.loss()


def targets(batch=3, characters=3, side=8):
    draw = torch.Generator().manual_seed(4)
    token_idx = torch.randint(L, (batch, characters), generator=draw)
    token_idx[0, 1] = token_idx[0, 0]  # two characters of one name
    masks = torch.rand(batch, characters, side, side, generator=draw, dtype=torch.float64)
    return token_idx, masks, torch.rand(batch, characters, generator=draw) > 0.3


def test_gradients_are_those_of_finite_differences():
    q, k, bias = attended(batch=2, pixels=4)
    token_idx, masks, valid = targets(batch=2)
    masks.requires_grad_()
    torch.autograd.gradcheck(lambda *a: step(*a[:3], token_idx, a[3], valid), (q, k, bias, masks))


def test_taking_samples_in_turn_changes_nothing(monkeypatch):
    token_idx, masks, valid = targets()
    whole = attended()
    together = step(*whole, token_idx, masks, valid)
    expected = torch.autograd.grad(together, whole)
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", 2 * 2 * 16 * L)  # two of the three samples
    torch.testing.assert_close(step(*whole, token_idx, masks, valid), together, atol=1e-14, rtol=0)
    for ours, theirs in zip(torch.autograd.grad(step(*whole, token_idx, masks, valid), whole), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-14, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype):
    q, k, _ = attended(dtype, pixels=256, bias=False)
    token_idx, masks, valid = targets()
    wide = [x.detach().float().requires_grad_() for x in (q, k)]
    with torch.autocast("cpu", torch.bfloat16):
        ours = step(q, k, None, token_idx, masks.float(), valid)
    expected = step(*wide, None, token_idx, masks.float(), valid)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
    for half, full in zip(torch.autograd.grad(ours, (q, k)), torch.autograd.grad(expected, wide), strict=True):
        assert half.dtype == dtype
        assert torch.equal(half, full.to(dtype))  # rounded once, at the end


def test_padding_and_objects_without_mask_count_nothing():
    q, k, bias = attended()
    token_idx, masks, valid = targets()
    valid[:] = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]])
    loss = step(q, k, bias, token_idx, masks, valid)
    other_idx, other_masks = token_idx.clone(), masks.clone()
    other_idx[1, 1:], other_masks[1, 1:] = -100, 7.0
    other_idx[2] = 10_000
    assert torch.equal(step(q, k, bias, other_idx, other_masks, valid), loss)
    alone = [
        step(*(x[i : i + 1] for x in (q, k, bias)), token_idx[i : i + 1], masks[i : i + 1], valid[i : i + 1])
        for i in range(3)
    ]
    assert alone[2] == 0
    torch.testing.assert_close(loss, sum(alone) / 3, atol=1e-12, rtol=0)
    nobody = step(q, k, bias, token_idx[:, :0], masks[:, :0], valid[:, :0])
    assert nobody == 0
    assert torch.equal(torch.autograd.grad(nobody, q)[0], torch.zeros_like(q))


def test_masks_of_a_wide_picture_lie_as_its_pixels_do():
    masks = torch.zeros(1, 1, 8, 16)
    masks[..., :4] = 1  # the left quarter
    k = torch.zeros(1, 1, L, 1)
    k[0, 0, 5] = 100.0  # token 5 gets all attention of the pixels whose query is 1, none of the others
    q = (masks * 2 - 1).view(1, 1, 128, 1)
    args = k, None, torch.tensor([[5]]), masks, torch.ones(1, 1)
    assert step(q, *args) < -0.99
    assert step(-q, *args) > 0.99
    with pytest.raises(ValueError, match="100 latent pixels"):
        step(q[:, :, :100], *args)


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden vectors lie outside the repository")
def test_columns_reproduce_the_published_loss():
    golden = load_file(GOLDEN)
    names = [k for k in golden if k.startswith("attention.")]
    columns = CharacterColumns(names)
    columns.supervise(golden["character_token_idx"], golden["masks"], golden["character_token_valid"])
    queries = {}
    for name in names:
        maps = golden[name].unflatten(0, (2, -1))  # (B, h, N, L); its logarithm has it as softmax
        queries[name] = maps.log().requires_grad_()
        keys = torch.eye(maps.shape[-1], dtype=maps.dtype).expand(*maps.shape[:2], -1, -1)
        columns.keep(name, attention._Attended(queries[name], keys, None, 1.0))
    loss = columns.loss()
    loss.backward()
    torch.testing.assert_close(loss, golden["expected_loss"][0], atol=1e-10, rtol=0)
    for name in names:
        by_map = golden[name.replace("attention", "expected_grad")] * golden[name]  # (B*h, N, L)
        by_score = by_map - golden[name] * by_map.sum(-1, keepdim=True)
        torch.testing.assert_close(queries[name].grad.flatten(0, 1), by_score, atol=1e-10, rtol=0)


def test_nothing_as_large_as_a_map_is_kept_for_backward():
    unet = sd15_shaped(torch.float32)
    kept = []

    def pack(tensor):
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        column_loss(unet, *example(torch.float32))
    maps = {(2, 4, n, L) for n in (64, 16, 4)} | {(8, n, L) for n in (64, 16, 4)}
    assert kept
    assert not maps & set(kept)
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        full_map_loss(unet, *example(torch.float32))
    assert maps & set(kept)  # the way of looking does find them


def test_training_on_it_moves_attention_into_the_mask():
    unet = sd15_shaped(torch.float32).requires_grad_(False)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(".attn2.to_q" in name or ".attn2.to_k" in name)
    trained = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-2)
    x, context, token_idx, _, valid = example(torch.float32)
    masks = torch.zeros(2, 3, 64, 64)
    for j in range(3):
        masks[:, j, :, 20 * j : 20 * j + 20] = 1
    columns = record_character_columns(unet, PUBLISHED_BLOCKS)
    seen = []
    for _ in range(12):
        columns.supervise(token_idx, masks, valid)
        unet(x, 500, context)
        loss = columns.loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < seen[0] - 0.02


def test_steps_out_of_order_are_refused():
    unet = sd15_shaped()
    x, context, token_idx, masks, valid = example()
    columns = record_character_columns(unet, ["mid_block"])
    with pytest.raises(RuntimeError, match="supervise"):
        columns.loss()
    with pytest.raises(ValueError, match=r"\(B, K\)"):
        columns.supervise(token_idx, masks, valid[:, :2])
    columns.supervise(token_idx, masks, valid)
    with pytest.raises(RuntimeError, match="supervise"):
        columns.loss()
    unet(x, 1, context)
    with pytest.raises(RuntimeError, match="ran twice"):
        unet(x, 1, context)
    columns.supervise(token_idx[:1], masks[:1], valid[:1])
    unet(x, 1, context)
    with pytest.raises(ValueError, match="2 samples"):
        columns.loss()
    columns.clear()
    unet(x, 1, context)
    unet(x, 1, context)  # unsupervised, as often as one likes


def test_fusion_refuses_pictures_that_would_reach_another_captions_names():
    fusion = CharacterFusion(4)
    names = torch.tensor([[False, True, True], [False, False, False]])
    with pytest.raises(ValueError, match="as many tokens of each row"):
        fusion(torch.zeros(2, 3, 4), torch.zeros(2, 2, 4), names, torch.tensor([1, 1]))


@pytest.mark.slow
def test_the_benchmark_runs_and_its_ways_agree():
    command = [sys.executable, str(ROOT / "benchmarks" / "attention_loss.py"), "--tiny", "--rounds=2", "--threads=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    result = json.loads(done.stdout)
    assert set(result["seconds"]) == set(result["peak_mb"]) == {"plain", "column", "full"}
    assert abs(result["l_reg_difference"]) < 1e-6
    assert done.returncode == 0, done.stderr
