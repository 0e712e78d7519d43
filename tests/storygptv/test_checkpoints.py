"""Published checkpoints as state dicts: every key accounted for, and outputs those of the published modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

import storygptv
from storybench.errors import AssetError
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.mapper import LDMMapper
from storygptv.checkpoints import convert_first_stage, convert_mapper, convert_second_stage, read_state_dict
from storygptv.checkpoints.parts import apart, empty_parts

SD15 = Path(storygptv.__file__).parent / "configs" / "sd15"
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # PyTorch on the published module
PREFIX = "model.gen_text_hidden_fcs.0."


def load_writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_checkpoints", Path(__file__).with_name("write_checkpoints.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


published = load_writer()


@pytest.fixture(scope="module")
def parts():
    return published.tiny_parts()


# The mapper


@pytest.mark.parametrize("prefix", ["", PREFIX, "module." + PREFIX])
def test_converted_mapper_gives_the_published_output_at_published_size(prefix):
    torch.manual_seed(0)
    theirs = published.PublishedMapper(64).eval()
    ours = LDMMapper(64).eval()
    ours.load_state_dict(convert_mapper({prefix + key: t for key, t in theirs.state_dict().items()}), strict=True)
    hidden, embeds = torch.randn(3, 8, 64), torch.randn(3, 8, 64)
    with torch.no_grad():
        expected = theirs(hidden, embeds)
        assert expected.shape == (3, 77, 768)
        torch.testing.assert_close(ours(hidden, embeds), expected, atol=1e-6, rtol=0)
        expected = theirs.double()(hidden.double(), embeds.double())
        torch.testing.assert_close(ours.double()(hidden.double(), embeds.double()), expected, atol=1e-10, rtol=0)


def test_convert_mapper_keeps_precision_and_memory():
    state = published.PublishedMapper(12, 10, 5, 16, 24).double().state_dict()
    converted = convert_mapper(state)
    assert len(converted) == 129
    assert all(converted[key] is tensor for key, tensor in state.items())
    assert converted["query_embs"].dtype == torch.float64


def test_a_mapper_without_its_last_layer_is_no_smaller_mapper():
    state = published.PublishedMapper(12, 10, 5, 16, 24).state_dict()
    lost = sorted(key for key in state if ".layers.3." in key)
    cut = {key: tensor for key, tensor in state.items() if key not in lost}
    with pytest.raises(AssetError) as caught:
        convert_mapper(cut | {"tfm.extra": torch.zeros(2, 3), "fc.bias": torch.zeros(7)})
    text = str(caught.value)
    assert "30 missing" in text
    assert all(key in text for key in lost)
    assert "1 unexpected: tfm.extra (2, 3)" in text
    assert "1 of another shape: fc.bias (7,), not (16,)" in text


@pytest.mark.parametrize("state", [{}, {"fc.weight": torch.zeros(3)}, {"fc.weight": torch.zeros(7, 2)}])
def test_what_is_no_mapper_is_said_in_one_error(state):
    with pytest.raises(AssetError, match=r"query_embs \(1, 77, 512\)"):
        convert_mapper(state)


# Stage 2


def test_the_137_tensors_of_opt_67b(tmp_path):
    shapes = published.second_stage_shapes(4096)
    assert len(shapes) == 137
    # one stored number a tensor: a true file of the true keys and shapes in some kilobytes
    state = {f"module.{key}": torch.zeros(()).bfloat16().expand(shape) for key, shape in shapes.items()}
    torch.save({"state_dict": state}, tmp_path / "pretrained_ckpt.pth.tar")
    with torch.device("meta"):
        heads = AlignerHeads()
    second = convert_second_stage(read_state_dict(tmp_path / "pretrained_ckpt.pth.tar"), heads)
    assert (len(second.accounts.used), len(second.accounts.dead)) == (132, 5)
    assert {key: t.shape for key, t in second.heads.items()} == {k: t.shape for k, t in heads.state_dict().items()}
    assert sum(t.numel() for k, t in second.heads.items() if k.startswith("mapper.")) == 31_958_784
    assert second.accounts.used["model.input_embeddings.weight"] == "img/rows"
    assert second.heads["img.rows"].shape == (8, 4096)


def test_a_second_stage_that_does_not_fit_is_listed_whole():
    state = {key: torch.zeros(()).expand(shape) for key, shape in published.second_stage_shapes(4096).items()}
    del state["model.visual_embeddings.bias"], state["model.logit_scale"]  # the second one is dead and not missed
    state |= {"model.lm.weight": torch.zeros(2), "model.input_embeddings.weight": torch.zeros(1).expand(50274, 4096)}
    with torch.device("meta"):
        heads = AlignerHeads()
    with pytest.raises(AssetError) as caught:
        convert_second_stage(state, heads)
    text = str(caught.value)
    assert "1 missing: model.visual_embeddings.bias (16384,)" in text
    assert "1 unexpected: model.lm.weight (2,)" in text
    assert "model.input_embeddings.weight (50274, 4096), not (8, 4096)" in text


# Stage 1


def test_the_true_keys_of_stable_diffusion_and_vit_l(tmp_path):
    modules = empty_parts(SD15, vae=True)
    state = published.published_first_stage(modules, old_vae=True)
    file = tmp_path / "pytorch_model.bin"
    torch.save({f"module.{k}": torch.zeros((), dtype=t.dtype).expand(t.shape) for k, t in state.items()}, file)
    assert file.stat().st_size < 2e6
    first = convert_first_stage(read_state_dict(file), modules)
    counts = {name: len(part) for name, part in first.parts.items()}
    assert counts == {"text_encoder": 196, "image_encoder": 392, "vae": 248, "unet": 686, "fusion": 14}
    assert sum(t.numel() for t in first.parts["unet"].values()) == 859_520_964
    assert sum(t.numel() for t in first.parts["fusion"].values()) == 2_958_336
    assert sum(t.numel() for t in first.parts["text_encoder"].values()) == 123_060_480
    assert len(first.accounts.used) + len(first.accounts.dead) == len(state)
    typed = {  # from the specification's table
        "text_encoder.embeddings.token_embedding.weight": (49408, 768),
        "text_encoder.embeddings.position_embedding.weight": (77, 768),
        "text_encoder.final_layer_norm.bias": (768,),
        "image_encoder.vision_model.embeddings.class_embedding": (1024,),
        "image_encoder.vision_model.embeddings.patch_embedding.weight": (1024, 3, 14, 14),
        "image_encoder.vision_model.embeddings.position_embedding.weight": (257, 1024),
        "image_encoder.vision_model.pre_layrnorm.weight": (1024,),
        "image_encoder.vision_model.encoder.layers.23.mlp.fc1.weight": (4096, 1024),
        "image_encoder.visual_projection.weight": (768, 1024),
        "vae.decoder.mid_block.attentions.0.proj_attn.weight": (512, 512),
        "unet.up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "postfuse_module.mlp1.layernorm.weight": (1536,),
        "postfuse_module.mlp1.fc1.weight": (768, 1536),
        "postfuse_module.mlp2.fc2.bias": (768,),
        "postfuse_module.layer_norm.weight": (768,),
    }
    assert {key: tuple(state[key].shape) for key in typed} == typed
    assert set(typed) <= set(first.accounts.used)


@pytest.mark.parametrize("old_vae", [False, True])
def test_first_stage_comes_back_equal_in_every_spelling(parts, old_vae):
    state = published.published_first_stage(parts, old_vae)
    assert ("vae.encoder.mid_block.attentions.0.query.weight" in state) == old_vae
    first = convert_first_stage({f"module.{key}": tensor for key, tensor in state.items()}, parts)
    for name, module in parts.items():
        expected = module.state_dict()
        assert set(first.parts[name]) == set(expected)
        rounded = name in ("vae", "text_encoder")
        for key, tensor in first.parts[name].items():
            assert torch.equal(tensor, expected[key].bfloat16() if rounded else expected[key])
    assert len(first.accounts.dead) == 2  # position_ids of two encoders


def test_text_encoders_of_either_transformers_release(parts):
    """The wrapper ``text_model.`` is there or not, in the file and in our class."""
    state = published.published_first_stage(parts)
    wrapped = {k.replace("text_encoder.", "text_encoder.text_model."): t for k, t in state.items()}
    ours = {k: t for k, t in parts.items() if k != "vae"}
    inner = torch.nn.Module()
    inner.text_model = parts["text_encoder"]
    for given, module in ((wrapped, parts["text_encoder"]), (state, inner), (wrapped, inner)):
        first = convert_first_stage(given, {**ours, "text_encoder": module})
        assert set(first.parts["text_encoder"]) == set(module.state_dict())


def test_a_first_stage_that_does_not_fit_is_listed_whole(parts):
    state = published.published_first_stage(parts)
    del state["unet.conv_in.weight"], state["postfuse_module.layer_norm.bias"]
    again = "vae.encoder.mid_block.attentions.0."
    state |= {
        "ema.decay": torch.zeros(()),
        "unet.conv_in.bias": torch.zeros(5),
        f"{again}query.weight": state[f"{again}to_q.weight"],  # the same tensor under both spellings
    }
    with pytest.raises(AssetError) as caught:
        convert_first_stage(state, parts, "first.bin")
    text = str(caught.value)
    assert text.startswith("first.bin does not fit")
    assert "2 missing: postfuse_module.layer_norm.bias (32,), unet.conv_in.weight (16, 4, 3, 3)" in text
    assert f"2 unexpected: ema.decay (), {again}query.weight (16, 16)" in text
    assert "1 of another shape: unet.conv_in.bias (5,), not (16,)" in text
    assert "\n" not in text


def test_files_of_an_old_pytorch_and_shared_memory_are_read(tmp_path):
    whole = torch.arange(12.0)
    torch.save({"a": whole[:6], "b": whole[6:]}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    save_file({"a": whole}, tmp_path / "new.safetensors")
    read = read_state_dict(tmp_path / "old.bin")
    views = {**read, "c": read["a"], "d": whole.view(3, 4).T}
    save_file(apart(views), tmp_path / "apart.safetensors")  # refuses shared memory
    again = load_file(tmp_path / "apart.safetensors")
    assert all(torch.equal(again[key], tensor) for key, tensor in views.items())
    assert apart({"whole": whole})["whole"].data_ptr() == whole.data_ptr()
    assert apart({"whole": whole}, torch.float16)["whole"].dtype == torch.float16
    assert read_state_dict(tmp_path / "old.bin")["b"].tolist() == list(range(6, 12))
    assert read_state_dict(tmp_path / "new.safetensors")["a"].tolist() == list(range(12))
