"""How networks compute while they look: in float32 as it is meant, the same on every card (metrics.md 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute in float32 and not TF32, deterministically, whatever the process allows elsewhere.

    Torch lets convolutions on a GPU round to TF32 unless it is told not to. Also a decorator: ``@full_precision()``.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
