"""``python -m storygptv.checkpoints``: published StoryGPT-V checkpoints -> a pipeline's folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from storybench.errors import ConfigError, StorybenchError, unknown
from storygptv.weights import quiet_loading

USAGE = """usage: python -m storygptv.checkpoints first-stage=FILE base=FOLDER out=FOLDER [key=value ...]

  first-stage    pytorch_model.bin, or the folder that holds it
  base           Stable Diffusion v1-5 as diffusers lays it out: sizes, tokenizer, scheduler, autoencoder
  out            new folder to write
  second-stage   folder with model_args.json and pretrained_ckpt.pth.tar; needs llm
  llm            folder of the language model that it was trained with (OPT-6.7B, Llama-2-7b-chat)
  image-encoder  folder with the configuration of the CLIP vision model; by default ViT-L/14
  frame-encoder  folder of the original CLIP ViT-L/14, which published stage 2 saw frames through
  vae            base (default), or published: the frozen copy in the first stage
  dtype          float32 (default), float16, bfloat16

Files are read without running anything in them. Every tensor is used, known to be dead and said so, or an error."""
AS_PUBLISHED = "model.num_inference_steps=30 model.guidance_scale=5 'model.guidance_interval=[0,1]'"
REQUIRED = ("first-stage", "base", "out")


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, print what became of every tensor, and return the exit status: 0 done, 2 a mistake of the user."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or {"-h", "--help", "help"} & set(words):
        print(USAGE)
        return 0
    try:
        with quiet_loading():
            _say(*_run(words))
    except StorybenchError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _run(words: Sequence[str]) -> tuple[dict[str, Any], Path]:
    from storygptv.checkpoints.converting import Sources, convert

    known = {field.name.replace("_", "-"): field.name for field in fields(Sources)}
    values: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        key = key.replace("_", "-")
        if key not in known:
            raise unknown("key", key, known)
        if not sign or not value:
            raise ConfigError(f"{key} needs a value: give {key}=...")
        values[known[key]] = value if key in ("vae", "dtype") else Path(value)
    if lost := [key for key in REQUIRED if known[key] not in values]:
        raise ConfigError(f"{lost[0]} needs a value: give {lost[0]}=... (--help lists all keys).")
    sources = Sources(**values)
    return convert(sources), sources.out


def _say(report: dict[str, Any], out: Path) -> None:
    for stage in ("first_stage", "second_stage"):
        if entry := report.get(stage):
            print(f"{entry['file']}: {entry['used']} tensors used, {len(entry['left_out'])} left out")
            for why, count in Counter(entry["left_out"].values()).items():
                print(f"  {count} left out: {why}")
    for part, size in report["parameters"].items():
        print(f"  {part:<14}{size:>15,}")
    if "note" in report:
        print(report["note"])
    model = "storygptv" if "second_stage" in report else "char_ldm"
    print(f"Written to {out}. Draw as published with model={model} model.weights={out} {AS_PUBLISHED}")


if __name__ == "__main__":
    sys.exit(main())
