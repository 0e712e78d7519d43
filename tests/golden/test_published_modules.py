"""Vectors that the published modules produced on random weights. They are not redistributed: absent, the tests skip."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from storygptv.char_ldm.attention import attention_loss
from storygptv.char_ldm.fusion import CharacterFusion

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden vectors lie outside the repository")


@needs_golden
def test_fusion_reproduces_the_published_module():
    golden = load_file(GOLDEN / "character_fusion.safetensors")
    fusion = CharacterFusion(16).double()
    fusion.load_state_dict({k.removeprefix("params."): v for k, v in golden.items() if k.startswith("params.")})
    fused = fusion(
        golden["text_embeds"], golden["character_embeds"], golden["character_token_mask"], golden["num_characters"]
    )
    torch.testing.assert_close(fused, golden["expected"], atol=1e-10, rtol=0)


@needs_golden
def test_attention_loss_and_its_gradient_reproduce_the_published_ones():
    golden = load_file(GOLDEN / "attention_loss.safetensors")
    index = golden["character_token_idx"]  # (B, K)
    maps = {
        k.removeprefix("attention."): v.clone().requires_grad_() for k, v in golden.items() if k[:10] == "attention."
    }
    columns = {}
    for layer, full in maps.items():
        per_head = full.view(len(index), -1, *full.shape[1:])  # (B, heads, N, L)
        where = index[:, None, None].expand(-1, per_head.shape[1], per_head.shape[2], -1)
        columns[layer] = per_head.gather(-1, where)
    loss = attention_loss(columns, golden["masks"], golden["character_token_valid"])
    loss.backward()
    torch.testing.assert_close(loss, golden["expected_loss"][0], atol=1e-10, rtol=0)
    for layer, full in maps.items():
        torch.testing.assert_close(full.grad, golden[f"expected_grad.{layer}"], atol=1e-10, rtol=0)
