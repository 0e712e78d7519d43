"""Paper scale assembles: the sizes of storygptv.md section 1 and of the public models, on the meta device."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open

from storybench.cli.config import compose_tree
from storybench.cli.train import _primary
from storybench.errors import ConfigError
from storygptv.aligner.heads import AlignerHeads
from storygptv.aligner.prompt import PromptFormat
from storygptv.assembly import (
    ASSEMBLIES,
    PARTS,
    frame_shapes,
    main,
    meta_parts,
    parameter_counts,
    size,
    stage_totals,
    trained_modules,
)
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.trained_parts import train_only
from storygptv.weights import SHIPPED

PAPER_SCALE = ("sd15-opt67b", "sd15-llama2")


@pytest.fixture(scope="module")
def parts():
    return {name: meta_parts(name) for name in PAPER_SCALE}


def opt_parameters(vocabulary=50272, width=4096, layers=32, ffn=16384, positions=2048) -> int:
    """Parameters of OPT by arithmetic: tied output, biases everywhere, two rows of positions unused."""
    attention = 4 * (width * width + width)
    norms = 2 * 2 * width
    mlp = width * ffn + ffn + ffn * width + width
    return vocabulary * width + (positions + 2) * width + layers * (attention + norms + mlp) + 2 * width


def llama_parameters(vocabulary=32000, width=4096, layers=32, ffn=11008) -> int:
    """Parameters of Llama by arithmetic: untied output, no biases, gated MLP."""
    return 2 * vocabulary * width + layers * (4 * width * width + 3 * width * ffn + 2 * width) + width


@pytest.mark.parametrize(
    ("name", "llm", "img"),
    [
        ("sd15-opt67b", opt_parameters(), 8 * 4096),  # tied output: one row a token
        ("sd15-llama2", llama_parameters(), 2 * 8 * 4096),  # untied: input rows and output rows
    ],
)
def test_counts_equal_the_published_ones(name, llm, img):
    counts = {count.part: count.parameters for count in parameter_counts(name)}
    assert counts == {
        "text_encoder": 123_060_480,  # CLIP ViT-L/14's text tower without its projection
        "image_encoder": 303_966_208,  # its vision tower with it
        "fusion": 2_958_336,
        "unet": 859_520_964,
        "vae": 83_653_863,
        "llm": llm,
        "aligner.v2t": 1024 * 4 * 4096 + 4 * 4096,  # 16.8 M
        "aligner.mapper": 31_958_784,
        "aligner.img": img,
    }


def test_language_models_have_their_public_totals(parts):
    assert size(parts["sd15-opt67b"]["llm"]) == opt_parameters() == 6_658_473_984
    assert size(parts["sd15-llama2"]["llm"]) == llama_parameters() == 6_738_415_616


@pytest.mark.parametrize("name", PAPER_SCALE)
def test_each_stage_trains_what_the_paper_says(name):
    counts = parameter_counts(name)
    by_part = {count.part: (count.trained, count.stage) for count in counts if count.trained}
    assert by_part["image_encoder"] == (25_192_448, "char_ldm")  # the last two layers, 25.2 M
    assert {part for part, (_, stage) in by_part.items() if stage == "char_ldm"} == {"unet", "fusion", "image_encoder"}
    assert "llm" not in by_part
    assert "text_encoder" not in by_part
    assert "vae" not in by_part
    assert stage_totals(counts) == {
        "char_ldm": 859_520_964 + 2_958_336 + 25_192_448,
        "aligner": 16_793_600 + 31_958_784 + (32_768 if name == "sd15-opt67b" else 65_536),
    }


def test_final_norm_and_projection_of_the_image_encoder_stay_frozen(parts):
    chosen = parts["sd15-opt67b"]
    trained = {
        id(p) for m in trained_modules("sd15-opt67b", chosen, "char_ldm")["image_encoder"] for p in m.parameters()
    }
    names = {name for name, p in chosen["image_encoder"].named_parameters() if id(p) in trained}
    assert {name.rpartition("encoder.layers.")[2].split(".")[0] for name in names} == {"22", "23"}
    assert all("encoder.layers." in name for name in names)


def test_counts_are_those_of_the_training_stage(parts):
    """The stage itself freezes what the table says it freezes."""
    chosen = meta_parts("sd15-opt67b")
    stage = compose_tree(_primary("storygptv", "char_ldm_sd15"), [])
    with torch.device("meta"):
        model = CharLDM(None, *(chosen[p] for p in ("text_encoder", "image_encoder", "fusion", "unet", "vae")), None)
    learning = train_only(model, stage.parts, stage.image_encoder_layers)
    assert learning == {"unet": 859_520_964, "fusion": 2_958_336, "image_encoder": 25_192_448}
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(learning.values())


def test_miniature_is_counted_as_it_was_trained():
    parts = compose_tree(_primary("storygptv", "char_ldm"), []).parts
    counts = parameter_counts("miniature")
    assert {count.part for count in counts if count.stage == "char_ldm"} == set(parts)
    assert all(count.trained == count.parameters for count in counts if count.stage)


@pytest.mark.parametrize(("name", "stage"), [("sd15-opt67b", "aligner_opt67b"), ("sd15-llama2", "aligner_llama2")])
def test_heads_are_those_of_the_training_stage(parts, name, stage):
    config = compose_tree(_primary("storygptv", stage), [])
    heads = parts[name]["aligner"]
    for key in ("visual_tokens", "img_tokens", "output_rows"):
        assert heads.config[key] == config[key]
    assert heads.prompt == PromptFormat(**config.prompt)


@pytest.mark.parametrize("name", PAPER_SCALE)
def test_no_part_takes_memory(parts, name):
    tensors = [t for part in parts[name].values() for t in (*part.parameters(), *part.buffers())]
    assert tensors
    assert {t.device.type for t in tensors} == {"meta"}


@pytest.mark.parametrize("name", PAPER_SCALE)
def test_a_frame_passes_through_all_parts(parts, name):
    assert frame_shapes(parts[name]) == {
        "text": (1, 77, 768),
        "character": (1, 768),
        "fused": (1, 768),
        "visual_tokens": (1, 4, 4096),
        "img_states": (1, 8, 4096),
        "condition": (1, 77, 768),
        "noise": (1, 4, 64, 64),
        "frame": (1, 3, 512, 512),
    }


def test_parts_that_do_not_fit_are_refused(parts):
    """The proof above can fail: these heads speak the width of OPT-1.3B."""
    with torch.device("meta"):
        heads = AlignerHeads(llm_dim=2048)
    with pytest.raises(RuntimeError):
        frame_shapes({**parts["sd15-opt67b"], "aligner": heads})


def test_miniature_is_another_configuration_of_the_same_parts(parts):
    """Every tensor that is shipped has the shape that the configuration gives, under the same name."""
    miniature = meta_parts("miniature")
    assert set(miniature) == set(parts["sd15-opt67b"]) == set(PARTS)
    for part in ("text_encoder", "image_encoder", "fusion", "unet", "llm", "aligner"):
        assert type(miniature[part]) is type(parts["sd15-opt67b"][part])
    assert issubclass(type(miniature["vae"]), type(parts["sd15-opt67b"]["vae"]))
    for part, model in miniature.items():
        expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
        (file,) = (SHIPPED / part).glob("*.safetensors")
        with safe_open(file, "pt") as shipped:
            found = {name: tuple(shipped.get_slice(name).get_shape()) for name in shipped.keys()}  # noqa: SIM118
        assert found
        assert found.items() <= expected.items(), part


@pytest.mark.slow
def test_command_needs_no_memory():
    """As a process of its own: it needs no weights, no GPU and no memory for seven thousand million numbers."""
    limit = 4 * 2**30  # bytes of address space beyond what the libraries map; the models would need 30 GiB
    code = (
        "import resource, storygptv.assembly as a, torch, transformers, diffusers;"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {limit}, used + {limit}));"
        "raise SystemExit(a.main(['name=sd15-llama2', 'format=json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["sd15-llama2"]
    assert {row["part"]: row["parameters"] for row in said["parts"]}["llm"] == 6_738_415_616
    assert said["stages"]["aligner"] == 48_817_920


def test_table_names_every_part(capsys):
    assert main(["name=sd15-opt67b"]) == 0
    out = capsys.readouterr().out
    assert "859,520,964" in out
    assert "31,958,784" in out
    assert "887,671,748" in out


@pytest.mark.parametrize("words", [["name=sd16"], ["nome=sd15-opt67b"], ["format=xml"]])
def test_wrong_words_are_said_in_one_sentence(words):
    with pytest.raises(ConfigError, match=r"^Unknown "):
        main(words)


def test_every_assembly_is_listed_with_its_folders():
    assert {path.is_dir() for folders in ASSEMBLIES.values() for path in folders} == {True}
