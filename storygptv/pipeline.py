"""StoryGPT-V: story in, frames out, each frame drawn on the story's own generated history (storygptv.md section 5).

Every frame, the first one too, goes through the LLM; nothing of the truth is consulted. Stories are batched at the same
frame index, the LLM keeps keys and values of the history, and each generated frame is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from storybench.story import Character
from storygptv.aligner.model import AlignedLLM
from storygptv.char_ldm.model import CharLDM
from storygptv.char_ldm.sampling import SamplerConfig, draw


class StoryGPTVPipeline:
    """Char-LDM and the aligned LLM together."""

    def __init__(self, char_ldm: CharLDM, aligner: AlignedLLM, sampler: SamplerConfig) -> None:
        self.char_ldm = char_ldm.eval()
        self.aligner = aligner.eval()
        self.sampler = sampler

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, sampler: SamplerConfig, cast: Sequence[Character] = ()
    ) -> StoryGPTVPipeline:
        """Load both stages from a folder of weights, in fp32."""
        aligner = AlignedLLM.from_pretrained(Path(folder) / "aligner", dtype=torch.float32).float()
        return cls(CharLDM.from_pretrained(folder, cast), aligner, sampler)

    @torch.inference_mode()
    def __call__(self, stories: Sequence[tuple[str, Sequence[str]]], seed: int) -> list[torch.Tensor]:
        """Return the pictures of each story, (T, 3, H, W) in [-1, 1].

        Args:
            stories: Pairs of story id and captions; lengths may differ.
            seed: Base seed of the noise.
        """
        order = sorted(range(len(stories)), key=lambda i: -len(stories[i][1]))  # the longest first: the rest drops off
        told = [stories[i] for i in order]
        pictures: list[list[torch.Tensor]] = [[] for _ in told]
        state = self.aligner.start(len(told))
        for t in range(len(told[0][1]) if told else 0):
            alive = [i for i, (_, captions) in enumerate(told) if len(captions) > t]
            if len(alive) < len(state.history):
                state = self.aligner.select(state, alive)
            captions = [told[i][1][t] for i in alive]
            condition, state = self.aligner.step(state, captions)  # (B, L, D)
            pixels = draw(self.char_ldm, condition, [(told[i][0], t) for i in alive], seed, self.sampler)
            for i, picture in zip(alive, pixels, strict=True):
                pictures[i].append(picture)
            state = self.aligner.observe(state, self.char_ldm.encode_frames(pixels), captions)
        result: list[torch.Tensor] = [torch.empty(0)] * len(stories)
        for i, frames in zip(order, pictures, strict=True):
            result[i] = torch.stack(frames)
        return result
