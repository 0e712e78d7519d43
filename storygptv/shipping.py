"""Stage ``ship``: gather what the stages trained into one folder of fp16 weights with a manifest."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file, save_file

import storygptv
from storybench.errors import AssetError
from storygptv.weights import INDEX, MANIFEST

RUN_ONLY = {
    "fit",
    "pool",
    "warm_up",
    "fit.json",
    "metrics.json",
    "samples.json",
    "validation",
    "tensorboard",
    "wandb",
    "wandb_id",
}  # what a run leaves behind beside its weights
COMPONENTS = (
    "vae",
    "text_encoder",
    "tokenizer",
    "unet",
    "scheduler",
    "image_encoder",
    "fusion",
    "llm",
    "llm_tokenizer",
    "aligner",
    "frame_encoder",
)
TOKENIZER_FILES = ("tokenizer", "special_tokens", "vocab", "merges", "added_tokens")


def commit() -> str | None:
    """Return the commit of the working tree, or None outside a repository."""
    result = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def stage_history(folder: Path) -> dict[str, Any]:
    """Return configuration, steps and seconds of a stage from what its run left in ``folder``."""
    fit = folder / "fit.json"
    history: dict[str, Any] = {"config": json.loads(fit.read_text()) if fit.exists() else None}
    log = folder / "log.jsonl"
    if log.exists():
        last = json.loads(log.read_text().splitlines()[-1])
        history |= {"steps": last["step"], "seconds": last["seconds"], "last": last}
    return history


def to_half(source: Path, target: Path) -> None:
    """Copy a safetensors file with its floating-point tensors in fp16."""
    tensors = load_file(source)
    small = {k: v.half().contiguous() if v.is_floating_point() else v.contiguous() for k, v in tensors.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(small, target, {"format": "pt"})


def drop_encoder(folder: Path) -> None:
    """Leave out the autoencoder's encoder: drawing never uses it, and training starts with stage ``vae`` anyway."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "decoder_only": True}, indent=2) + "\n")
    weights = folder / "diffusion_pytorch_model.safetensors"
    tensors = {k: v for k, v in load_file(weights).items() if not k.startswith(("encoder.", "quant_conv."))}
    save_file(tensors, weights, {"format": "pt"})


def component(folder: Path) -> list[str]:
    """Return library and class of a saved component from its configuration alone.

    Raises:
        AssetError: If no file in the folder says its class.
    """
    for name, key in (
        ("scheduler_config.json", "_class_name"),
        ("tokenizer_config.json", "tokenizer_class"),
        ("config.json", "_class_name"),  # diffusers
        ("config.json", "architectures"),  # transformers
    ):
        found = json.loads((folder / name).read_text()).get(key) if (folder / name).is_file() else None
        if found and key == "_class_name":
            return ["storygptv" if found in storygptv.__all__ else "diffusers", found]
        if found:
            return ["transformers", found if isinstance(found, str) else found[0]]
    raise AssetError(f"No configuration in {folder} says its class: give a folder that save_pretrained wrote.")


def write_index(folder: Path, image_statistics: str = "symmetric", sampler: dict[str, Any] | None = None) -> None:
    """Write what makes ``folder`` a saved :class:`~storygptv.pipeline.StoryGPTVPipeline`; no weights are read."""
    index: dict[str, Any] = {"_class_name": "StoryGPTVPipeline", "_diffusers_version": diffusers.__version__}
    for part in COMPONENTS:
        index[part] = component(folder / part) if (folder / part).is_dir() else [None, None]
    index |= {"image_statistics": image_statistics, "sampler": sampler or {}}
    (folder / INDEX).write_text(json.dumps(dict(sorted(index.items())), indent=2) + "\n")


def ship(
    parts: dict[str, str],
    stages: dict[str, str],
    save_to: str,
    seed: int = 0,
    hardware: str = "",
    score: dict[str, Any] | None = None,
    sampler: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``save_to`` anew from ``parts``: a saved pipeline with a manifest.

    Args:
        parts: Name of a sub-folder -> folder to copy it from; of a ``*tokenizer``, only the tokenizer's files.
        stages: Name of a stage -> folder of its run, for the manifest.
        save_to: Folder of the shipped weights.
        seed: Seed of the stages.
        hardware: What they were trained on.
        score: What the weights reach, with the record it comes from.
        sampler: Settings that suit the weights, for calls of the pipeline that do not say them.
    """
    target = Path(save_to)
    shutil.rmtree(target, ignore_errors=True)
    for name, folder in parts.items():
        for source in sorted(Path(folder).rglob("*")):
            inner = source.relative_to(folder)
            if source.is_dir() or RUN_ONLY & set(inner.parts):
                continue
            if name.endswith("tokenizer") != inner.name.startswith(TOKENIZER_FILES):
                continue
            if source.suffix == ".safetensors":
                to_half(source, target / name / inner)
            elif source.suffix in (".json", ".txt", ".model"):
                (target / name / inner).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / name / inner)
    drop_encoder(target / "vae")
    write_index(target, sampler=sampler)
    files = {
        f.relative_to(target).as_posix(): {
            "sha256": hashlib.sha256(f.read_bytes()).hexdigest(),
            "bytes": f.stat().st_size,
        }
        for f in sorted(target.rglob("*.safetensors"))
    }
    manifest = {
        "name": "storygptv-miniature",
        "licence": "Apache-2.0",
        "training_data": "ToonSV train split, drawn fresh from seeds",
        "seed": seed,
        "commit": commit(),
        "hardware": hardware or f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "stages": {name: stage_history(Path(folder)) for name, folder in stages.items()},
        "score": score or {},
        "files": files,
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    total = sum(entry["bytes"] for entry in files.values())
    print(f"{len(files)} files, {total / 1e6:.1f} MB in {target}")
    return manifest
