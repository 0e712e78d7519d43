"""Char-LDM alone: stage 1 of StoryGPT-V on the caption as given, frame by frame, without a history.

It has been trained on referential captions too, so what it lacks beside StoryGPT-V is the story, not the words. Of a
folder without fusion and image encoder it draws with the plain latent diffusion model, the paper's "LDM".
"""

from __future__ import annotations

from storygptv.visualizer import PipelineVisualizer


class CharLDMBaseline(PipelineVisualizer):
    """Stage 1 on the given caption; arguments are those of its parent."""

    name = "char_ldm"
