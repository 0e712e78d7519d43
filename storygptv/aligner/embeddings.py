"""Stage ``embeddings``: encode the stories that the stage ``aligner`` reads, once.

Two frozen things are asked of Char-LDM for every frame: the pooled feature of its picture, which becomes visual tokens,
and the fused embedding c of its caption, which is what the aligner aims at (StoryGPT-V Eq. 6). Both lie in
memory-mapped fp16 arrays (:mod:`storygptv.aligner.pool`); at paper scale the published code unpickles 2.9 GB for this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from storybench.data.loading import open_dataset
from storybench.data.toonsv.dataset import full_cast
from storybench.errors import unknown
from storybench.story import Character
from storygptv.aligner.pool import PictureModel, build_pool
from storygptv.aligner.sources import TOONSV, sources, summary
from storygptv.aligner.stories import TargetText
from storygptv.char_ldm.model import CharLDM
from storygptv.shares import process_state
from storygptv.training import is_main_process

TargetSpace = Literal["fused", "text"]  # Emb_fuse and Emb_text of the paper's Table 4


class TextSpace:
    """Char-LDM whose conditions are plain text embeddings: names carry no pictures (Table 4, Emb_text)."""

    def __init__(self, char_ldm: CharLDM) -> None:
        """Wrap ``char_ldm``."""
        self.char_ldm = char_ldm

    def condition(self, captions: list[str]) -> Tensor:
        """Return plain text embeddings (B, Q, D)."""
        return self.char_ldm.condition(captions, [False] * len(captions))

    def encode_frames(self, pixels: Tensor) -> Tensor:
        """Return what Char-LDM returns."""
        return self.char_ldm.encode_frames(pixels)


def load_picture_model(folder: str, cast: Sequence[Character], target_space: TargetSpace = "fused") -> PictureModel:
    """Return Char-LDM from ``folder``, on this process's device, as the embeddings need it.

    Raises:
        ConfigError: If ``target_space`` is unknown.
    """
    if target_space not in get_args(TargetSpace):
        raise unknown("target_space", target_space, get_args(TargetSpace))
    char_ldm = CharLDM.from_pretrained(folder).eval().to(process_state().device)
    if target_space == "text":
        return TextSpace(char_ldm)  # which asks for no portraits
    char_ldm.set_cast(cast)  # after the move: portraits are encoded where the model is
    return char_ldm


def embed(
    dataset: Mapping[str, Any],
    out: str,
    char_ldm: str,
    subsets: Mapping[str, str],
    stories: Mapping[str, int | None],
    text: str = "referential",
    target_text: TargetText = "original",
    target_space: TargetSpace = "fused",
    seed: int = 0,
    chunk: int = 250,
    picture_model: PictureModel | None = None,
) -> dict[str, int]:
    """Encode stories into ``out/train`` and ``out/val``; return the number of pictures in each.

    Args:
        dataset: Configuration of the data set (``configs/dataset``).
        out: Folder of the pools.
        char_ldm: Folder of stage 1.
        subsets: Name of a pool -> subset of the data set.
        stories: Name of a pool -> how many stories, None for all; ToonSV draws as many as asked for.
        text: Text mode that the aligner will read.
        target_text: What targets tell (:mod:`storygptv.aligner.stories`).
        target_space: ``fused`` is the paper's Emb_fuse, ``text`` its Emb_text (Table 4).
        seed: Of drawn stories.
        chunk: Pictures between two saves.
        picture_model: Char-LDM; by default read from ``char_ldm``.

    Raises:
        ConfigError: If an option does not fit the data set.
        DataError: If pictures are missing, or ``out`` holds the embeddings of something else.
    """
    if not is_main_process():  # one process encodes; the others of an accelerate launch have nothing to do
        return {}
    found = sources(dataset, subsets, stories, text, target_text, seed)
    if picture_model is None:
        picture_model = load_picture_model(char_ldm, data_cast(dataset, next(iter(subsets.values()))), target_space)
    for line in summary(found):
        print(line, flush=True)
    pools = {}
    for name, source in found.items():
        source.identity["target_space"] = target_space
        pools[name] = build_pool(source, Path(out) / name, picture_model, chunk)
    return {name: len(pool.targets) for name, pool in pools.items()}


def data_cast(dataset: Mapping[str, Any], subset: str) -> Sequence[Character]:
    """Return the cast of a data set with its portraits."""
    return full_cast() if dataset["name"] == TOONSV else open_dataset(dataset, subset)[0].cast
