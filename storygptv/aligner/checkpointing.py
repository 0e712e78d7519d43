"""Gradient checkpointing of a frozen language model in evaluation mode: memory for time, the same gradients."""

from __future__ import annotations

from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer


def checkpoint_layers(llm: PreTrainedModel) -> None:
    """Let the layers of ``llm`` be recomputed in the backward pass.

    transformers checkpoints layers in training mode only, where OPT also drops out. So the layers alone are set to
    training mode, with their dropout at zero, and everything within them stays in evaluation mode.
    """
    enable = getattr(llm, "activation_checkpointing_enable", llm.gradient_checkpointing_enable)  # its name since 5.23
    enable()
    for module in llm.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
            if hasattr(module, "dropout"):
                module.dropout = 0.0
