"""Every part of StoryGPT-V at full size, built from configurations alone: nothing is downloaded, no memory is taken.

``storygptv/configs`` holds the true sizes as a pipeline folder would (one folder a part): Stable Diffusion 1.5, CLIP
ViT-L/14, OPT-6.7B and Llama-2-7B. Parts are made on torch's meta device, where tensors have shapes and no values, so
that counts and shapes are proven in seconds. The shipped miniature is read from its own folder by the same code.

    python -m storygptv.assembly [name=sd15-opt67b] [format=json]

e width of the language model, D width and L length of the conditioning embedding, R [IMG] tokens, m visual tokens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from storybench.errors import ConfigError, StorybenchError, unknown
from storygptv.weights import SHIPPED

CONFIGS = Path(__file__).parent / "configs"
ASSEMBLIES: Mapping[str, tuple[Path, ...]] = {  # where the folders of the parts lie
    "sd15-opt67b": (CONFIGS / "sd15", CONFIGS / "opt67b"),
    "sd15-llama2": (CONFIGS / "sd15", CONFIGS / "llama2"),
    "miniature": (SHIPPED,),
}
PARTS = ("text_encoder", "image_encoder", "fusion", "unet", "vae", "llm", "aligner")
STAGES = ("char_ldm", "aligner")


class Trained(NamedTuple):
    """What stage ``char_ldm`` trains: parts, and of the image encoder the last so many layers alone (None: all)."""

    parts: tuple[str, ...]
    image_encoder_layers: int | None = None


PAPER_STAGE_1 = Trained(("unet", "fusion", "image_encoder"), 2)  # paper section 3.2, storygptv.md section 2
STAGE_1: Mapping[str, Trained] = {
    "sd15-opt67b": PAPER_STAGE_1,
    "sd15-llama2": PAPER_STAGE_1,
    "miniature": Trained(("unet", "text_encoder", "fusion")),  # its vision tower has a stage of its own
}


class Count(NamedTuple):
    """Parameters of one part: all, and those that a stage trains."""

    part: str
    parameters: int
    trained: int
    stage: str  # the stage that trains them; "" for a frozen part


def meta_parts(name: str) -> dict[str, nn.Module]:
    """Return the parts of an assembly by their name in the pipeline, on the meta device.

    Args:
        name: ``sd15-opt67b``, ``sd15-llama2`` or ``miniature``.

    Raises:
        ConfigError: If there is no such assembly.
    """
    if name not in ASSEMBLIES:
        raise unknown("assembly", name, ASSEMBLIES)
    with torch.device("meta"):
        return {part: _build(part, _config(name, part)).eval() for part in PARTS}


def trained_modules(name: str, parts: Mapping[str, nn.Module], stage: str) -> dict[str, list[nn.Module]]:
    """Return part -> the modules of it that a stage trains.

    Stage ``char_ldm`` of the paper: U-Net, fusion, the last two layers of the image encoder; its final norm and
    projection, the text encoder and the autoencoder stay frozen. Stage ``aligner``: visual projection, [IMG] rows and
    mapper; the language model stays frozen.

    Raises:
        ConfigError: If there is no such assembly or stage.
    """
    if name not in STAGE_1:
        raise unknown("assembly", name, STAGE_1)
    if stage == "char_ldm":
        trained = STAGE_1[name]
        found: dict[str, list[nn.Module]] = {part: [parts[part]] for part in trained.parts}
        if trained.image_encoder_layers is not None:
            layers = parts["image_encoder"].vision_model.encoder.layers
            found["image_encoder"] = list(layers[-trained.image_encoder_layers :])
        return found
    if stage == "aligner":
        heads = parts["aligner"]
        return {"aligner": [heads.visual_embeddings, heads.img, heads.mapper]}
    raise unknown("stage", stage, STAGES)


def parameter_counts(name: str) -> list[Count]:
    """Return the parameters of every part; the aligner as its three (visual projection, mapper, [IMG] rows)."""
    parts = meta_parts(name)
    trained = {
        part: (sum(map(size, modules)), stage)
        for stage in STAGES
        for part, modules in trained_modules(name, parts, stage).items()
    }
    counts = [Count(part, size(parts[part]), *trained.get(part, (0, ""))) for part in PARTS if part != "aligner"]
    heads = parts["aligner"]
    for label, module in (("aligner.v2t", heads.visual_embeddings), ("aligner.mapper", heads.mapper)):
        counts.append(Count(label, size(module), size(module), "aligner"))
    return [*counts, Count("aligner.img", size(heads.img), size(heads.img), "aligner")]


def size(module: nn.Module) -> int:
    """Return the number of parameters, tied ones once."""
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def frame_shapes(parts: Mapping[str, nn.Module]) -> dict[str, tuple[int, ...]]:
    """Return the shapes on the way of one frame through all parts: the proof that their widths fit together.

    Caption -> text states -> (fusion) -> conditioning; picture -> features -> visual tokens -> LLM -> [IMG] states ->
    mapper -> U-Net -> autoencoder. Run on the meta device: every layer is called, nothing is computed.

    Raises:
        RuntimeError: If two parts do not fit, from torch.
    """
    text, heads, unet, vae = parts["text_encoder"], parts["aligner"], parts["unet"], parts["vae"]
    vision = parts["image_encoder"].config
    with torch.device("meta"):
        ids = torch.zeros(1, text.config.max_position_embeddings, dtype=torch.long)  # (1, L)
        picture = torch.zeros(1, 3, vision.image_size, vision.image_size)
        latents = torch.zeros(1, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
        time = torch.zeros(1)
    states = text(ids).last_hidden_state  # (1, L, D)
    portrait = parts["image_encoder"](picture).image_embeds  # (1, D)
    fused = _fuse(parts["fusion"], states[:, 0], portrait)  # (1, D), one name token
    tokens = heads.visual_tokens(parts["image_encoder"].vision_model(picture).pooler_output)  # (1, m, e)
    rows = heads.img.rows[None]  # (1, R, e)
    embeds = torch.cat([tokens, rows], dim=1)  # (1, m + R, e)
    places = torch.arange(embeds.shape[1], device="meta")
    seen_by = torch.zeros(1, 1, len(places), len(places), device="meta")  # an additive mask, as the aligner gives
    hidden = (
        parts["llm"]
        .base_model(inputs_embeds=embeds, attention_mask=seen_by, position_ids=places[None], use_cache=False)
        .last_hidden_state
    )  # (1, m + R, e)
    condition = heads.condition(hidden[:, -rows.shape[1] :], rows)  # (1, Q, D)
    for embedding in (states, condition):  # stage 1 and stage 2 speak to the same U-Net
        noise = unet(latents, time, embedding).sample  # (1, C, h, w)
    return {
        name: tuple(tensor.shape)
        for name, tensor in {
            "text": states,
            "character": portrait,
            "fused": fused,
            "visual_tokens": tokens,
            "img_states": hidden[:, -rows.shape[1] :],
            "condition": condition,
            "noise": noise,
            "frame": vae.decode(latents).sample,
        }.items()
    }


def _fuse(fusion: nn.Module, token: Tensor, portrait: Tensor) -> Tensor:
    """Return the fused name tokens (N, D); the module itself picks them by a mask, which needs values."""
    h = token + fusion.mlp1(torch.cat([token, portrait], dim=-1))
    return fusion.layer_norm(fusion.mlp2(h))


def _config(name: str, part: str) -> dict[str, Any]:
    """Return the configuration of a part."""
    for root in ASSEMBLIES[name]:
        if (path := root / part / "config.json").is_file():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
    raise ConfigError(f"Assembly {name!r} has no configuration of {part}: expected {part}/config.json in its folders.")


def _build(part: str, config: Mapping[str, Any]) -> nn.Module:
    """Return a part with whatever values its class starts from."""
    if "_class_name" in config:  # a diffusers model, theirs or ours
        return _diffusers_class(str(config["_class_name"])).from_config(dict(config))
    import transformers

    builders: Mapping[str, Callable[[Any], nn.Module]] = {
        "text_encoder": transformers.CLIPTextModel,
        "image_encoder": transformers.CLIPVisionModelWithProjection,
        "llm": transformers.AutoModelForCausalLM.from_config,
    }
    options = {key: value for key, value in config.items() if key != "model_type"}
    return builders[part](transformers.AutoConfig.for_model(config["model_type"], **options))


def _diffusers_class(name: str) -> Any:
    """Return a model class by its name."""
    import diffusers

    from storygptv.aligner.heads import AlignerHeads
    from storygptv.char_ldm.autoencoder import PatchAutoencoderKL
    from storygptv.char_ldm.fusion import CharacterFusion

    ours = {kind.__name__: kind for kind in (AlignerHeads, CharacterFusion, PatchAutoencoderKL)}
    return ours[name] if name in ours else getattr(diffusers, name)


def _table(name: str, counts: Sequence[Count]) -> str:
    """Return counts as a table for people, with totals and the size in bfloat16."""
    total = sum(c.parameters for c in counts)
    lines = [name, f"  {'part':<16}{'parameters':>16}{'trained':>16}  by stage"]
    for count in counts:
        trained = f"{count.trained:,}" if count.trained else "-"
        lines.append(f"  {count.part:<16}{count.parameters:>16,}{trained:>16}  {count.stage}".rstrip())
    lines.append(f"  {'all':<16}{total:>16,}{'':>16}  {2 * total / 1e6:,.0f} MB in bfloat16")
    for stage, number in stage_totals(counts).items():
        lines.append(f"  {'stage ' + stage:<16}{'':>16}{number:>16,}")
    return "\n".join(lines)


def stage_totals(counts: Sequence[Count]) -> dict[str, int]:
    """Return stage -> parameters that it trains."""
    return {stage: sum(c.trained for c in counts if c.stage == stage) for stage in STAGES}


def main(arguments: Sequence[str]) -> int:
    """Print the parameters of every assembly, or of ``name=``; ``format=json`` prints them for programs."""
    known = ("name", "format")
    options = dict(word.partition("=")[::2] for word in arguments)
    if surplus := [key for key in options if key not in known]:
        raise unknown("key", surplus[0], known)
    if (style := options.get("format", "table")) not in ("table", "json"):
        raise unknown("format", style, ("table", "json"))
    names = [options["name"]] if "name" in options else list(ASSEMBLIES)
    found = {name: parameter_counts(name) for name in names}
    if style == "json":
        parts = {name: [count._asdict() for count in counts] for name, counts in found.items()}
        print(json.dumps({n: {"parts": parts[n], "stages": stage_totals(c)} for n, c in found.items()}, indent=2))
    else:
        print("\n\n".join(_table(name, counts) for name, counts in found.items()))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StorybenchError as error:
        sys.exit(f"{error}")
