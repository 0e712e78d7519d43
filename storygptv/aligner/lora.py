"""LoRA on the language model, an option that the paper does not use: it keeps the language model frozen.

Adapters are put into the attention projections by peft, trained beside the heads, and merged into the weights before
the model is saved, so that a pipeline needs no peft.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from storybench.errors import ConfigError


def add_lora(llm: PreTrainedModel, rank: int, alpha: float, modules: Sequence[str] = ("q_proj", "v_proj")) -> None:
    """Put trainable adapters into ``llm``, whose own weights stay frozen; they start as no change (Hu et al. 2021).

    Args:
        llm: OPT or Llama.
        rank: Rank of the adapters.
        alpha: Their scale is ``alpha / rank``.
        modules: Names of the linear layers that get one.

    Raises:
        ConfigError: If peft is not installed, or a value does not fit.
    """
    try:
        from peft import LoraConfig
    except ImportError:
        raise ConfigError("lora_rank needs peft, which is not installed: pip install 'storybench[lora]'.") from None
    if rank < 1 or alpha <= 0:
        raise ConfigError(f"lora_rank is {rank} and lora_alpha {alpha}: expected both above 0.")
    llm.requires_grad_(False)
    try:
        llm.add_adapter(
            LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(modules), lora_dropout=0.0, bias="none")
        )
    except ValueError as error:
        if "arget modules" not in str(error):
            raise
        raise ConfigError(f"The language model has no layers named {', '.join(modules)}: mend lora_modules.") from error


def merge_lora(llm: PreTrainedModel) -> None:
    """Add the adapters to the weights they belong to and take them out; a model without any is left as it is."""
    if not getattr(llm, "_hf_peft_config_loaded", False):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, module) for name, module in llm.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in adapted:
        module.merge()
        parent, _, child = name.rpartition(".")
        base: nn.Module = module.get_base_layer()
        setattr(llm.get_submodule(parent), child, base)
    llm.requires_grad_(False)
    llm._hf_peft_config_loaded = False
    del llm.peft_config
