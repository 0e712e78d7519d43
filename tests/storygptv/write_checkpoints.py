"""Files of exactly the published formats, with random or empty tensors (storygptv.md section 8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from torch import Tensor, nn
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

from storygptv.char_ldm.fusion import CharacterFusion
from storygptv.tokenizer import build_tokenizer

WORDS = ["Fred", "Wilma", "She", "He", "walks", "runs", "in", "the", "kitchen", ".", ":", "Image", "Caption", "<", ">"]
WIDTH, LENGTH, PICTURE, LLM = 32, 16, 24, 40  # tiny D, L, V and e
PREFIXES = {
    "text_encoder": "text_encoder.", "image_encoder": "image_encoder.", "vae": "vae.", "unet": "unet.",
    "fusion": "postfuse_module.",
}  # fmt: skip
OLD_VAE = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


def tiny_parts() -> dict[str, nn.Module]:
    """The parts of stage 1 in the shape of Stable Diffusion, tiny and random."""
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=LENGTH, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=PICTURE, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=28,
        patch_size=14, projection_dim=WIDTH,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, attention_head_dim=2, norm_num_groups=8,
        cross_attention_dim=WIDTH, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4, sample_size=16,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    return {
        "text_encoder": CLIPTextModel(text), "image_encoder": CLIPVisionModelWithProjection(vision), "vae": vae,
        "unet": unet, "fusion": CharacterFusion(WIDTH),
    }  # fmt: skip


def write_base(folder: Path, parts: Mapping[str, nn.Module]) -> Path:
    """A Stable Diffusion folder, and beside its parts the vision model's, which it does not have."""
    for name in ("text_encoder", "unet", "vae", "image_encoder"):
        parts[name].save_pretrained(folder / name)
    PNDMScheduler(skip_prk_steps=True, steps_offset=1).save_pretrained(folder / "scheduler")
    build_tokenizer(WORDS, LENGTH).save_pretrained(folder / "tokenizer")
    return folder


def published_first_stage(parts: Mapping[str, nn.Module], old_vae: bool = False) -> dict[str, Tensor]:
    """The flat state dict of the published ``StoryModel``: frozen parts in bf16, position_ids, its own prefixes."""
    state: dict[str, Tensor] = {}
    for name, prefix in PREFIXES.items():
        for key, tensor in parts[name].state_dict().items():
            published = key.removeprefix("text_model.") if name == "text_encoder" else key
            if name == "vae" and old_vae and ".attentions." in key:
                for new, old in OLD_VAE.items():
                    published = published.replace(new, old)
            state[prefix + published] = tensor.bfloat16() if name in ("vae", "text_encoder") else tensor
    state["text_encoder.embeddings.position_ids"] = torch.arange(LENGTH)[None]
    state["image_encoder.vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    return state


class PublishedMapper(nn.Module):
    """The published mapper as storygptv.md section 4 describes it, out of PyTorch's own parts."""

    def __init__(self, llm_dim: int, out_dim: int = 768, queries: int = 77, hidden: int = 512, ff: int = 2048) -> None:
        super().__init__()
        self.fc = nn.Linear(llm_dim, hidden)
        self.tfm = nn.Transformer(
            d_model=hidden, nhead=4, num_encoder_layers=4, num_decoder_layers=4, dim_feedforward=ff, dropout=0.0,
            activation="relu", norm_first=True, batch_first=True,
        )  # fmt: skip
        self.model = nn.Linear(hidden, out_dim)
        self.query_embs = nn.Parameter(torch.randn(1, queries, hidden))

    def forward(self, hidden: Tensor, img_embeds: Tensor) -> Tensor:
        return self.model(self.tfm(self.fc(hidden + img_embeds), self.query_embs.repeat(len(hidden), 1, 1)))


def second_stage_shapes(
    e: int, rows: int = 8, visual: int = 4, picture: int = 1024, out: int = 768, queries: int = 77, hidden: int = 512,
    ff: int = 2048,
) -> dict[str, tuple[int, ...]]:  # fmt: skip
    """The keys and shapes of ``pretrained_ckpt.pth.tar``, typed from the specification's table."""
    table: dict[str, tuple[int, ...]] = {
        "model.input_embeddings.weight": (rows, e),
        "model.visual_embeddings.weight": (visual * e, picture),
        "model.visual_embeddings.bias": (visual * e,),
        "model.ret_text_hidden_fcs.0.model.weight": (256, e),
        "model.ret_text_hidden_fcs.0.model.bias": (256,),
        "model.visual_fc.weight": (256, picture),
        "model.visual_fc.bias": (256,),
        "model.logit_scale": (),
    }
    mapper: dict[str, tuple[int, ...]] = {
        "query_embs": (1, queries, hidden), "fc.weight": (hidden, e), "fc.bias": (hidden,),
        "model.weight": (out, hidden), "model.bias": (out,),
    }  # fmt: skip
    for side, attentions, norms in (("encoder", ["self_attn"], 2), ("decoder", ["self_attn", "multihead_attn"], 3)):
        for layer in range(4):
            at = f"tfm.{side}.layers.{layer}."
            for name in attentions:
                mapper |= {
                    f"{at}{name}.in_proj_weight": (3 * hidden, hidden), f"{at}{name}.in_proj_bias": (3 * hidden,),
                    f"{at}{name}.out_proj.weight": (hidden, hidden), f"{at}{name}.out_proj.bias": (hidden,),
                }  # fmt: skip
            mapper |= {f"{at}linear1.weight": (ff, hidden), f"{at}linear1.bias": (ff,)}
            mapper |= {f"{at}linear2.weight": (hidden, ff), f"{at}linear2.bias": (hidden,)}
            for n in range(1, norms + 1):
                mapper |= {f"{at}norm{n}.weight": (hidden,), f"{at}norm{n}.bias": (hidden,)}
        mapper |= {f"tfm.{side}.norm.weight": (hidden,), f"tfm.{side}.norm.bias": (hidden,)}
    return table | {f"model.gen_text_hidden_fcs.0.{key}": shape for key, shape in mapper.items()}


def model_args(**changes: object) -> dict[str, object]:
    """``model_args.json`` as published, at tiny sizes."""
    args: dict[str, object] = {
        "llm_model": "facebook/opt-6.7b", "visual_encoder": "openai/clip-vit-large-patch14", "freeze_lm": True,
        "freeze_vm": True, "n_visual_tokens": 2, "ret_emb_dim": 256, "gen_emb_dim": WIDTH, "interleave": True,
        "text_fc_mode": "gill_mapper", "ret_text_fc_mode": "linear", "num_tokens": 3, "num_clip_tokens": LENGTH,
        "text_emb_layers": [-1], "max_len": 160, "retrieval_token_idx": [50266, 50267, 50268],
        "gen_token_idx": [50266, 50267, 50268],
    }  # fmt: skip
    return args | changes


def write_second_stage(folder: Path, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """A published second-stage folder at tiny sizes; return its tensors."""
    generator = torch.Generator().manual_seed(1)
    shapes = second_stage_shapes(LLM, 3, 2, PICTURE, WIDTH, LENGTH, hidden=16, ff=24)
    state = {key: torch.randn(shape, generator=generator).to(dtype) / 4 for key, shape in shapes.items()}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state}, folder / "pretrained_ckpt.pth.tar")
    (folder / "model_args.json").write_text(json.dumps(model_args()))
    (folder / "args.json").write_text(json.dumps({"batch_size": 64, "lr": 1e-3}))
    return state


def tiny_llm(family: str = "opt") -> OPTForCausalLM | LlamaForCausalLM:
    """A random language model of either family."""
    torch.manual_seed(2)
    if family == "opt":
        config = OPTConfig(
            vocab_size=64, hidden_size=LLM, word_embed_proj_dim=LLM, num_hidden_layers=2, num_attention_heads=4,
            ffn_dim=48, max_position_embeddings=300, dropout=0.0, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            init_std=0.3,
        )  # fmt: skip
        return OPTForCausalLM(config).eval()
    config = LlamaConfig(
        vocab_size=64, hidden_size=LLM, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=300, pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def write_llm(folder: Path, family: str = "opt") -> Path:
    """The folder of a language model with its tokenizer."""
    tiny_llm(family).save_pretrained(folder)
    build_tokenizer(WORDS, 300).save_pretrained(folder)
    return folder
