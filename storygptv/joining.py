"""Stage ``join``: what stage 1 and stage 2 trained, and the language model between them, as one pipeline folder.

Nothing is trained. The folder is what ``model.weights=DIR`` takes; at paper scale the LLM is a published one, and the
stage ``aligner`` saves the trained heads alone.
"""

from __future__ import annotations

from pathlib import Path

import torch

from storybench.errors import AssetError, ConfigError, unknown

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def join(char_ldm: str, aligner: str, save_to: str, llm: str | None = None, llm_dtype: str = "bf16") -> Path:
    """Write the pipeline and return its folder.

    Args:
        char_ldm: Folder that a stage ``char_ldm`` saved.
        aligner: Folder that a stage ``aligner`` saved.
        save_to: Where the pipeline goes; a folder that holds one already is refused.
        llm: Folder or hub name of the language model; None: the one in ``aligner`` (the miniature's, or one with LoRA).
        llm_dtype: Type that its weights are saved in: fp32, bf16 or fp16.

    Raises:
        AssetError: If a folder lacks what its stage saves, or the parts do not fit.
        ConfigError: If ``llm_dtype`` is unknown, ``save_to`` is taken, or the two stages do not fit each other.
    """
    from storygptv.aligner.model import HEADS, LLM, AlignedLLM
    from storygptv.pipeline import StoryGPTVPipeline
    from storygptv.weights import INDEX

    if llm_dtype not in DTYPES:
        raise unknown("llm_dtype", llm_dtype, DTYPES)
    wanted = [(char_ldm, INDEX, "char_ldm"), (aligner, f"{HEADS}/config.json", "aligner")]
    if llm is None:
        wanted.append((aligner, f"{LLM}/config.json", "aligner with save_llm=true, or llm=DIR of a published one"))
    for folder, file, stage in wanted:
        if not (Path(folder) / file).is_file():
            raise AssetError(f"No {file} in '{folder}': expected what the stage {stage} saves.")
    target = Path(save_to)
    if (target / INDEX).exists():
        raise ConfigError(f"'{save_to}' holds a pipeline already: give another save_to.")
    stage_2 = AlignedLLM.from_pretrained(aligner, llm, dtype=DTYPES[llm_dtype])
    pipeline = StoryGPTVPipeline.from_pretrained(
        char_ldm, llm=stage_2.llm, llm_tokenizer=stage_2.tokenizer, aligner=stage_2.heads
    )
    pipeline.save_pretrained(target)
    print(f"pipeline in {target}: give model.weights={target}")
    return target
