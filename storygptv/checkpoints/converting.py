"""From published files to a pipeline's folder: everything is checked first, and the folder appears whole or not at all.

The fused parts come from stage 1, the heads from stage 2; tokenizer, scheduler and, since stage 1 holds it frozen and
rounded, the autoencoder come from the Stable Diffusion folder that stage 1 was trained from.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from storybench.errors import AssetError, ConfigError
from storygptv.aligner.heads import AlignerHeads
from storygptv.checkpoints.accounts import Accounts
from storygptv.checkpoints.first_stage import convert_first_stage
from storygptv.checkpoints.language_model import bring_llm, embedding_width, llm_config
from storygptv.checkpoints.parts import empty_parts, write_part
from storygptv.checkpoints.reading import first_line, read_json_object, read_state_dict
from storygptv.checkpoints.second_stage import (
    MAPPER_HEADS,
    MAPPER_LAYERS,
    WEIGHTS,
    convert_second_stage,
    published_widths,
    read_model_args,
)

FIRST_STAGE, REPORT = "pytorch_model.bin", "conversion.json"
PROMPT = {"image_open": " Image: <img>", "image_close": "</img>", "caption": " Caption: {caption}", "target": " Image:"}
ENCODER_NOTE = (
    "The published second stage saw frames through the original CLIP ViT-L/14; the image encoder here is the first "
    "stage's, whose last two layers were trained further. Give frame-encoder=FOLDER of the original to follow it."
)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Sources:
    """What to convert; see ``python -m storygptv.checkpoints --help``."""

    first_stage: Path
    base: Path
    out: Path
    second_stage: Path | None = None
    llm: Path | None = None
    image_encoder: Path | None = None
    frame_encoder: Path | None = None
    vae: Literal["base", "published"] = "base"
    dtype: str = "float32"


def convert(sources: Sources) -> dict[str, Any]:
    """Write the pipeline's folder ``sources.out`` and return its report, which ``conversion.json`` holds too.

    Without a second stage the folder holds the parts of Char-LDM, for the model ``char_ldm``.

    Raises:
        ConfigError: If a folder that is needed is not given or not there, or ``out`` holds something.
        AssetError: If a file is missing or damaged, or a key is missing, unexpected or of another shape.
    """
    _check(sources)
    dtype = DTYPES[sources.dtype]
    file = sources.first_stage / FIRST_STAGE if sources.first_stage.is_dir() else sources.first_stage
    modules = empty_parts(sources.base, sources.image_encoder, vae=sources.vae == "published")
    first = convert_first_stage(read_state_dict(file), modules, str(file))
    if sources.vae == "published" and "vae" not in first.parts:
        raise AssetError(f"{file} holds no autoencoder: use vae=base.")
    report: dict[str, Any] = {"dtype": sources.dtype, "first_stage": _entry(file, first.accounts)}
    heads, tensors = None, {}
    if sources.second_stage and sources.llm:
        heads, tensors, accounts = _heads(sources.second_stage, sources.llm, modules)
        report["second_stage"] = _entry(sources.second_stage / WEIGHTS, accounts)

    sources.out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{sources.out.name}.partial-", dir=sources.out.parent))
    partial.chmod(0o755)  # a temporary folder is its owner's alone
    try:
        sizes = {name: write_part(modules[name], part, partial / name, dtype) for name, part in first.parts.items()}
        _bring_base(sources.base, partial, with_vae="vae" not in first.parts, dtype=dtype)
        if heads is not None and sources.llm:
            sizes["aligner"] = write_part(heads, tensors, partial / "aligner", dtype)
            bring_llm(sources.llm, partial / "llm", partial / "llm_tokenizer")
            if sources.frame_encoder is None:
                report["note"] = ENCODER_NOTE
            else:
                sizes["frame_encoder"] = _bring_frame_encoder(sources.frame_encoder, partial, dtype)
        (partial / "model_index.json").write_text(json.dumps(_model_index(partial), indent=2) + "\n")
        report["parameters"] = sizes
        (partial / REPORT).write_text(json.dumps(report, indent=1) + "\n")
        if sources.out.is_dir():
            sources.out.rmdir()
        partial.rename(sources.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _check(sources: Sources) -> None:
    if sources.dtype not in DTYPES:
        raise ConfigError(f"dtype={sources.dtype} is none of {', '.join(DTYPES)}.")
    if sources.vae not in ("base", "published"):
        raise ConfigError(f"vae={sources.vae} is neither base nor published.")
    if sources.second_stage and not sources.llm:
        raise ConfigError("second-stage needs the language model that it was trained with: give llm=FOLDER.")
    if sources.llm and not sources.second_stage:
        raise ConfigError("llm is of use only with second-stage=FOLDER: give both or neither.")
    folders = {"base": sources.base, "second-stage": sources.second_stage, "llm": sources.llm}
    for word, folder in (
        folders | {"image-encoder": sources.image_encoder, "frame-encoder": sources.frame_encoder}
    ).items():
        if folder is not None and not folder.is_dir():
            hint = "; unpack the archive first" if folder.suffix == ".zip" else ""
            raise ConfigError(f"{word}={folder} is not a folder{hint}.")
    if sources.out.exists() and (not sources.out.is_dir() or any(sources.out.iterdir())):
        raise ConfigError(f"out={sources.out} holds something already: give a new folder, or empty this one.")


def _heads(folder: Path, llm: Path, modules: dict[str, Any]) -> tuple[AlignerHeads, dict[str, torch.Tensor], Accounts]:
    """Return empty heads, their tensors and the accounts of a published second stage."""
    args, config = read_model_args(folder), llm_config(llm)
    state = read_state_dict(folder / WEIGHTS)
    widths = published_widths(state)
    if widths["llm_dim"] != embedding_width(config):
        raise AssetError(
            f"{folder / WEIGHTS} was trained with a language model of width {widths['llm_dim']} "
            f"({args.llm_model or 'unnamed'}) and {llm} has {embedding_width(config)}: give llm=FOLDER of that model."
        )
    unet, text = modules["unet"].config.cross_attention_dim, modules["text_encoder"].config.max_position_embeddings
    if (args.num_queries, args.out_dim) != (text, unet):
        raise AssetError(
            f"{folder} conditions on {args.num_queries} x {args.out_dim} numbers and the base on {text} x {unet}: "
            "give first-stage and base of the same model."
        )
    with torch.device("meta"):
        heads = AlignerHeads(
            llm_dim=widths["llm_dim"],
            feature_dim=modules["image_encoder"].config.hidden_size,
            visual_tokens=args.visual_tokens,
            img_tokens=args.img_tokens,
            out_dim=args.out_dim,
            num_queries=args.num_queries,
            mapper_hidden=widths["hidden"],
            mapper_heads=MAPPER_HEADS,
            mapper_layers=MAPPER_LAYERS,
            mapper_feedforward=widths["feedforward"],
            prompt={
                **PROMPT,
                "max_length": args.max_length,
                # published inference never drops history: only the positions of the language model end
                "inference_max_length": int(config.get("max_position_embeddings", 2048)),
            },
        )
    second = convert_second_stage(state, heads, str(folder / WEIGHTS))
    return heads, second.heads, second.accounts


def _bring_base(base: Path, out: Path, with_vae: bool, dtype: torch.dtype) -> None:
    """Copy tokenizer and scheduler, and the autoencoder if stage 1 does not give it."""
    for part in ("tokenizer", "scheduler"):
        files = [file for file in sorted((base / part).glob("*")) if file.suffix in (".json", ".txt")]
        if not files:
            raise AssetError(f"{base} holds no {part}: give a whole Stable Diffusion folder as base.")
        (out / part).mkdir()
        for file in files:
            shutil.copyfile(file, out / part / file.name)
    if with_vae:
        try:
            AutoencoderKL.from_pretrained(base / "vae", torch_dtype=dtype).save_pretrained(out / "vae")
        except (OSError, ValueError) as error:
            raise AssetError(
                f"The autoencoder of {base} cannot be read ({first_line(error)}): give a whole folder."
            ) from error


def _bring_frame_encoder(folder: Path, out: Path, dtype: torch.dtype) -> int:
    """Write the vision tower that the LLM saw frames through; return its number of parameters."""
    try:
        tower = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=dtype)
    except (OSError, ValueError) as error:
        raise AssetError(f"frame-encoder={folder} is no CLIP vision model ({first_line(error)}).") from error
    tower.save_pretrained(out / "frame_encoder")
    return tower.num_parameters()


def _model_index(folder: Path) -> dict[str, Any]:
    """Return diffusers' index of the parts, library and class of each, and what the pipeline's constructor needs."""

    def named(part: str, file: str, key: str) -> list[str | None]:
        if not (folder / part).is_dir():
            return [None, None]  # a pipeline without a language model
        value = read_json_object(folder / part / file).get(key)
        if not value:
            raise AssetError(f"{file} of {part} names no {key}: give a whole folder.")
        return ["diffusers" if part == "scheduler" else "transformers", value[0] if isinstance(value, list) else value]

    return {
        "_class_name": "StoryGPTVPipeline",
        "_diffusers_version": diffusers.__version__,
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": named("tokenizer", "tokenizer_config.json", "tokenizer_class"),
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": named("scheduler", "scheduler_config.json", "_class_name"),
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "fusion": ["storygptv", "CharacterFusion"],
        "llm": named("llm", "config.json", "architectures"),
        "llm_tokenizer": named("llm_tokenizer", "tokenizer_config.json", "tokenizer_class"),
        "aligner": ["storygptv", "AlignerHeads"] if (folder / "aligner").is_dir() else [None, None],
        "frame_encoder": ["transformers", "CLIPVisionModelWithProjection"]
        if (folder / "frame_encoder").is_dir()
        else [None, None],
        "image_statistics": "clip",  # pixels as openai/CLIP takes them
    }


def _entry(file: Path, accounts: Accounts) -> dict[str, Any]:
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"file": file.name, "sha256": digest, "used": len(accounts.used), "left_out": accounts.dead}
