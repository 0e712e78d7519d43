"""Parts that are offloaded to the CPU (``enable_model_cpu_offload``) and called from within."""

from __future__ import annotations

from torch import nn


def onload(module: nn.Module) -> None:
    """Bring an offloaded module to its device.

    The hook runs by itself before ``module(...)``; this is for calls that go to an inner part of the module.
    """
    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        hook.pre_forward(module)
