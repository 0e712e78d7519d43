"""The conversion of published files: a folder that draws, or one sentence; nothing in a file is run."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from storybench.errors import AssetError
from storygptv.aligner.heads import AlignerHeads
from storygptv.char_ldm.model import CharLDM
from storygptv.checkpoints import convert_second_stage
from storygptv.checkpoints.__main__ import main
from storygptv.checkpoints.parts import empty_parts
from storygptv.pipeline import StoryGPTVPipeline

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


@pytest.fixture(scope="module")
def source(tmp_path_factory, parts) -> Path:
    """A folder with everything that a conversion reads."""
    folder = tmp_path_factory.mktemp("published")
    published.write_base(folder / "base", parts)
    (folder / "first").mkdir()
    torch.save(published.published_first_stage(parts), folder / "first" / "pytorch_model.bin")
    published.write_second_stage(folder / "second")
    published.write_llm(folder / "llm")
    return folder


def words(source: Path, to: Path, **changes: object) -> list[str]:
    given = {
        "first-stage": source / "first", "base": source / "base", "image-encoder": source / "base" / "image_encoder",
        "second-stage": source / "second", "llm": source / "llm", "out": to,
    }  # fmt: skip
    given |= {key.replace("_", "-"): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in given.items() if value is not None]


# The command


def test_the_command_writes_a_folder_that_loads_and_says_what_it_used(source, tmp_path, parts, capsys):
    out = tmp_path / "pipeline"
    assert main(words(source, out)) == 0
    said = capsys.readouterr().out
    assert "132 tensors used, 5 left out" in said
    assert "124 left out: frozen" in said
    report = json.loads((out / "conversion.json").read_text())
    assert report["first_stage"]["used"] == sum(len(parts[p].state_dict()) for p in parts if p != "vae")
    assert str(tmp_path) not in (out / "conversion.json").read_text()
    assert not list(tmp_path.glob("*.partial*"))

    char_ldm = CharLDM.from_pretrained(out)
    assert char_ldm.image_statistics == "clip"
    for name in ("unet", "image_encoder", "fusion", "vae"):
        for key, tensor in getattr(char_ldm, name).state_dict().items():
            assert torch.equal(tensor, parts[name].state_dict()[key]), (name, key)
    for key, tensor in char_ldm.text_encoder.state_dict().items():
        assert torch.equal(tensor, parts["text_encoder"].state_dict()[key].bfloat16().float())
    heads = AlignerHeads.from_pretrained(out / "aligner")
    state = torch.load(source / "second" / "pretrained_ckpt.pth.tar", weights_only=True)["state_dict"]
    assert torch.equal(heads.img.rows, state["model.input_embeddings.weight"].float())
    assert torch.equal(heads.visual_embeddings.weight, state["model.visual_embeddings.weight"].float())
    assert heads.prompt.image_open == " Image: <img>"
    assert (heads.prompt.max_length, heads.prompt.longest(inference=True)) == (160, 300)


def test_the_published_mapper_and_the_written_one_agree(source, tmp_path):
    assert main(words(source, tmp_path / "out")) == 0
    state = torch.load(source / "second" / "pretrained_ckpt.pth.tar", weights_only=True)["state_dict"]
    theirs = published.PublishedMapper(published.LLM, published.WIDTH, published.LENGTH, 16, 24).eval()
    theirs.load_state_dict({k.removeprefix(PREFIX): t for k, t in state.items() if k.startswith(PREFIX)})
    heads = AlignerHeads.from_pretrained(tmp_path / "out" / "aligner").eval()
    hidden, embeds = torch.randn(2, 3, published.LLM), torch.randn(2, 3, published.LLM)
    with torch.no_grad():
        torch.testing.assert_close(heads.condition(hidden, embeds), theirs(hidden, embeds), atol=1e-5, rtol=1e-5)


def test_a_first_stage_alone_with_its_own_autoencoder_in_half_precision(source, tmp_path, parts):
    out = tmp_path / "char_ldm"
    given = words(source, out, second_stage=None, llm=None, vae="published", dtype="float16")
    assert main(given) == 0
    assert not (out / "aligner").exists()
    vae = load_file(out / "vae" / "diffusion_pytorch_model.safetensors")
    assert all(t.dtype == torch.float16 for t in vae.values())
    key = "decoder.conv_in.weight"
    assert torch.equal(vae[key], parts["vae"].state_dict()[key].bfloat16().half())
    assert json.loads((out / "model_index.json").read_text())["llm"] == [None, None]
    pipeline = StoryGPTVPipeline.from_pretrained(out)
    assert pipeline.aligned_llm is None
    assert pipeline.config.image_statistics == "clip"


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_the_written_pipeline_draws_as_its_parts_do(tmp_path, source, parts, family):
    llm = published.write_llm(tmp_path / "llm", family)
    out = tmp_path / "out"
    assert main(words(source, out, llm=llm)) == 0
    pipeline = StoryGPTVPipeline.from_pretrained(out)
    heads = AlignerHeads(**{k: v for k, v in pipeline.aligner.config.items() if not k.startswith("_")})
    state = torch.load(source / "second" / "pretrained_ckpt.pth.tar", weights_only=True)["state_dict"]
    second = convert_second_stage(state, heads).heads
    heads.load_state_dict({key: tensor.float() for key, tensor in second.items()})
    text = copy.deepcopy(parts["text_encoder"]).bfloat16().float()
    by_hand = StoryGPTVPipeline(
        vae=parts["vae"], text_encoder=text, tokenizer=pipeline.tokenizer, unet=parts["unet"],
        scheduler=pipeline.scheduler, image_encoder=parts["image_encoder"], fusion=parts["fusion"],
        llm=published.tiny_llm(family), llm_tokenizer=pipeline.llm_tokenizer, aligner=heads, image_statistics="clip",
    )  # fmt: skip
    stories = [("a", ["Fred walks in the kitchen.", "He runs.", "Wilma walks."])]
    call = {"stories": stories, "seed": 3, "num_inference_steps": 2, "output_type": "pt"}
    drawn, expected = pipeline(**call).frames[0], by_hand(**call).frames[0]
    assert drawn.shape == (3, 3, 16, 16)
    torch.testing.assert_close(drawn, expected, atol=1e-5, rtol=0)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3


def test_the_llm_sees_frames_through_the_original_tower_if_it_is_given(tmp_path, source, parts):
    torch.manual_seed(5)
    original = type(parts["image_encoder"])(parts["image_encoder"].config)  # another tower than stage 1's
    original.save_pretrained(tmp_path / "clip")
    out = tmp_path / "out"
    assert main(words(source, out, frame_encoder=tmp_path / "clip")) == 0
    pipeline = StoryGPTVPipeline.from_pretrained(out)
    pixels = torch.rand(2, 3, 16, 16) * 2 - 1
    seen = pipeline.char_ldm.encode_frames(pixels)
    assert "note" not in json.loads((out / "conversion.json").read_text())
    pipeline.register_modules(image_encoder=original.eval(), frame_encoder=None)
    torch.testing.assert_close(seen, pipeline.char_ldm.encode_frames(pixels))
    pipeline.register_modules(image_encoder=parts["image_encoder"])
    assert (seen - pipeline.char_ldm.encode_frames(pixels)).abs().max() > 1e-3


@pytest.mark.parametrize("layout", ["safetensors", "bin", "shards"])
def test_language_models_arrive_as_safetensors(source, tmp_path, layout):
    llm = published.tiny_llm()
    folder = published.write_llm(tmp_path / "llm")
    if layout != "safetensors":
        state = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        names = sorted(state)
        shards = [names] if layout == "bin" else [names[:9], names[9:]]
        files = ["pytorch_model.bin"] if layout == "bin" else [f"pytorch_model-{i}-of-2.bin" for i in (1, 2)]
        for file, keys in zip(files, shards, strict=True):
            torch.save({key: state[key] for key in keys}, folder / file)
        if layout == "shards":
            places = {key: file for file, keys in zip(files, shards, strict=True) for key in keys}
            index = {"metadata": {"total_size": 1}, "weight_map": places}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert main(words(source, tmp_path / "out", llm=folder)) == 0
    assert not list((tmp_path / "out").rglob("*.bin"))
    again = type(llm).from_pretrained(tmp_path / "out" / "llm")
    for key, tensor in again.state_dict().items():
        assert torch.equal(tensor, llm.state_dict()[key]), key


# Mistakes: one sentence, status 2, nothing written


class Malice:
    """Leaves a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def one_sentence(arguments: list[str], capsys) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle"])
@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_malicious_file_runs_nothing(source, tmp_path, capsys, form, stage):
    trace, folder = tmp_path / "trace", tmp_path / stage
    folder.mkdir()
    file = folder / ("pytorch_model.bin" if stage == "first" else "pretrained_ckpt.pth.tar")
    content = {"state_dict": {"model.logit_scale": torch.zeros(()), "x": Malice(trace)}}
    if form == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "torch")
    (folder / "model_args.json").write_text(json.dumps(published.model_args()))
    said = one_sentence(words(source, tmp_path / "out", **{f"{stage}_stage": folder}), capsys)
    assert "system" in said or form == "pickle"  # torch stops at an earlier word of a newer pickle
    assert "was not opened" in said
    assert not trace.exists()
    assert not (tmp_path / "out").exists()
    torch.load(file, weights_only=False) if form != "pickle" else pickle.loads(file.read_bytes())
    assert trace.exists()  # it was armed


def damaged(kind: str, file: Path) -> None:
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-5000])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("<html>404 Not Found</html>")
    elif kind == "a list":
        torch.save([torch.zeros(1)], file)
    elif kind == "numbers":
        torch.save({"epoch": 3, "state_dict": {"a": torch.zeros(1)}}, file)
    elif kind == "meta":
        torch.save({"a": torch.zeros(1, device="meta")}, file)
    else:
        file.unlink()


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "a list", "numbers", "meta", "gone"])
def test_a_damaged_first_stage_is_one_sentence(source, tmp_path, capsys, kind):
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes((source / "first" / "pytorch_model.bin").read_bytes())
    damaged(kind, file)
    assert str(file) in one_sentence(words(source, tmp_path / "out", first_stage=file), capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_tokens": 4}, "num_tokens=4 and 3 ids"),
        ({"num_tokens": 4, "gen_token_idx": [1, 2, 3, 4]}, "model.input_embeddings.weight (3, 40), not (4, 40)"),
        ({"n_visual_tokens": "two"}, "n_visual_tokens='two'"),
        ({"text_fc_mode": "linear"}, "text_fc_mode='linear'"),
        ({"gen_emb_dim": 768}, "conditions on 16 x 768"),
    ],
)
def test_model_args_that_do_not_fit(source, tmp_path, capsys, changes, expected):
    published.write_second_stage(tmp_path / "second")
    (tmp_path / "second" / "model_args.json").write_text(json.dumps(published.model_args(**changes)))
    assert expected in one_sentence(words(source, tmp_path / "out", second_stage=tmp_path / "second"), capsys)


def test_numbers_that_half_precision_cannot_hold_leave_nothing_behind(source, tmp_path, capsys, parts):
    state = published.published_first_stage(parts)
    state["unet.conv_out.bias"] = torch.full((4,), 1e6)
    torch.save(state, tmp_path / "pytorch_model.bin")
    given = words(source, tmp_path / "out", first_stage=tmp_path, dtype="float16")
    assert "unet/conv_out.bias has values that are not finite in float16:" in one_sentence(given, capsys)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pytorch_model.bin"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base": "nowhere"}, "base=nowhere is not a folder"),
        ({"second_stage": "second-stage-opt.zip"}, "unpack the archive first"),
        ({"llm": None}, "give llm=FOLDER"),
        ({"second_stage": None}, "give both or neither"),
        ({"out": None}, "out needs a value"),
        ({"dtype": "int8"}, "dtype=int8 is none of float32"),
        ({"vae": "mine"}, "vae=mine"),
        ({"bass": "x"}, "Did you mean: base?"),
    ],
)
def test_mistakes_in_the_words(source, tmp_path, capsys, changes, expected):
    assert expected in one_sentence(words(source, tmp_path / "out", **changes), capsys)


def test_a_language_model_of_another_width(source, tmp_path, capsys):
    folder = published.write_llm(tmp_path / "llm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"word_embed_proj_dim": 48, "hidden_size": 48}))
    capsys.readouterr()  # the library that wrote it says so
    said = one_sentence(words(source, tmp_path / "out", llm=folder), capsys)
    assert "width 40 (facebook/opt-6.7b)" in said


def test_a_folder_that_holds_something_is_left_alone(source, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    assert "holds something already" in one_sentence(words(source, tmp_path / "out"), capsys)
    assert (tmp_path / "out" / "mine.txt").read_text() == "kept"


@pytest.mark.slow
def test_the_module_is_a_command(source, tmp_path):
    code = [sys.executable, "-m", "storygptv.checkpoints"]
    ran = subprocess.run([*code, *words(source, tmp_path / "out")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "model.weights=" in ran.stdout
    ran = subprocess.run([*code, "first-stage=x"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)


def test_the_vision_configuration_inside_a_whole_clip_folder(source, tmp_path):
    vision = json.loads((source / "base" / "image_encoder" / "config.json").read_text())
    width = vision.pop("projection_dim")
    (tmp_path / "config.json").write_text(json.dumps({"projection_dim": width, "vision_config": vision}))
    part = empty_parts(source / "base", tmp_path)["image_encoder"]
    assert part.visual_projection.weight.shape == (published.WIDTH, published.PICTURE)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": "wide"}))
    with pytest.raises(AssetError, match="configuration of image_encoder"):
        empty_parts(source / "base", tmp_path)
