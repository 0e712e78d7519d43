"""How one optimiser step is divided: between processes, and between the passes of one process.

A step has ``processes x grad_accumulation`` shares, numbered ``process x grad_accumulation + pass``. A share of a batch
and its random numbers follow from the seed, the step and the share's number alone. So two processes repeat what one
process does in two passes, and a loss without chance that is a mean over samples has the gradient of the whole batch.

Gradients are averaged here, once a step, and not by hooks of DistributedDataParallel: loss functions call parts of a
model, of which some may lie idle in a step (a mask loss that was not drawn), and shares are accumulated first.
"""

from __future__ import annotations

import inspect
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env, reduce
from torch import Tensor, nn

from storybench.errors import ConfigError

BUCKET = 1 << 25  # numbers averaged in one message
PATIENCE = timedelta(hours=2)  # of those that wait while the main process validates or saves


def process_state() -> PartialState:
    """Return accelerate's view of the processes of this run, after joining them.

    Raises:
        ConfigError: If this process belongs to several but does not find the others.
    """
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    # accelerate looks for other processes on CPUs only if told that there is nothing but CPUs
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    if state.num_processes != int(os.environ.get("WORLD_SIZE", "1")):
        raise ConfigError(
            f"This is one of {os.environ['WORLD_SIZE']} processes and sees {state.num_processes}: nothing before "
            "training may make an accelerate state of its own."
        )
    return state


def is_main_process() -> bool:
    """Say whether this process is the one that writes: the only one, or number 0 of ``accelerate launch``."""
    return bool(process_state().is_main_process)


def share_seed(seed: int, step: int, share: int) -> int:
    """Return the seed of everything random in one share of one step; share 0 has that of an undivided step.

    It has 32 bits because torch's CPU generator ignores the others.
    """
    return (seed * 1_000_003 + step + share * 2_654_435_761) % (1 << 32)


def seed_all(seed: int) -> torch.Generator:
    """Seed the global generators of torch, Python and NumPy; return a CPU generator of the same seed."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that draw on it, ours do not
    return torch.Generator().manual_seed(seed)


def share_maker(batches: Callable[..., Any], shares: int) -> Callable[[int, int], Any]:
    """Return a function from (step, share) to the share's samples.

    Args:
        batches: Either ``batches(step)``, which gives the whole batch of a step, to be cut here, or
            ``batches(step, share, shares)``, which makes one share and nothing else. What it gives follows from these
            numbers alone.
        shares: Shares of a step.
    """
    needed = [
        p
        for p in inspect.signature(batches).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) == 3:
        return lambda step, share: batches(step, share, shares)
    whole: dict[int, Any] = {}  # the batch of the step at hand, for the passes that follow

    def cut(step: int, share: int) -> Any:
        if step not in whole:
            whole.clear()
            whole[step] = batches(step)
        return shard(whole[step], share, shares)

    return cut


def shard(batch: Any, share: int, shares: int) -> Any:
    """Return part ``share`` of ``shares`` equal parts of a batch.

    A tuple, dataclass or mapping holds columns; a column is a tensor, an array or a list with one entry a sample, and a
    tuple inside one of these as well. Numbers, strings and None belong to all parts.

    Raises:
        ConfigError: If columns differ in length, or the length cannot be divided.
    """
    if shares == 1:
        return batch
    lengths = sorted({len(column) for column in _columns(batch)})
    if len(lengths) != 1 or lengths[0] % shares:
        found = f"{lengths[0]} samples" if len(lengths) == 1 else f"columns of {lengths} entries"
        raise ConfigError(
            f"A batch of {found} cannot be cut into {shares} equal shares (processes x grad_accumulation): choose "
            f"batch_size as a multiple of {shares}."
        )
    size = lengths[0] // shares
    return _cut(batch, slice(share * size, (share + 1) * size))


def _is_column(value: Any, inside: bool) -> bool:
    """Say whether ``value`` has one entry a sample."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.ndim > 0
    named = hasattr(value, "_fields")
    return isinstance(value, list) or (isinstance(value, tuple) and inside and not named)


def _parts(value: Any) -> dict[Any, Any]:
    """Return what a record holds, by name; nothing if ``value`` is no record."""
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return dict(enumerate(value)) if isinstance(value, tuple) else {}


def _columns(value: Any, inside: bool = False) -> Iterator[Sequence]:
    if _is_column(value, inside):
        yield value
        return
    for part in _parts(value).values():
        yield from _columns(part, inside=True)


def _cut(value: Any, piece: slice, inside: bool = False) -> Any:
    if _is_column(value, inside):
        return value[piece]
    cut = {name: _cut(part, piece, inside=True) for name, part in _parts(value).items()}
    if isinstance(value, Mapping):
        return cut
    if isinstance(value, tuple):
        return type(value)(*cut.values()) if hasattr(value, "_fields") else tuple(cut.values())
    return replace(value, **cut) if cut else value


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; a parameter idle in all of them keeps none.

    An idle parameter counts as a gradient of zero where others used it, as in the sum of their losses.
    """
    if process_state().num_processes == 1 or not parameters:
        return
    device = parameters[0].device
    used = reduce(torch.tensor([float(p.grad is not None) for p in parameters], device=device), "sum").tolist()
    alive = [p for p, count in zip(parameters, used, strict=True) if count]
    for p in alive:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    for bucket in _buckets(alive):
        flat = torch.cat([p.grad.flatten() for p in bucket if p.grad is not None])  # (n,)
        pieces = reduce(flat, "mean").split([p.numel() for p in bucket])
        for p, piece in zip(bucket, pieces, strict=True):
            assert p.grad is not None
            p.grad.copy_(piece.view(p.shape))


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield neighbours of one dtype, together about ``BUCKET`` numbers."""
    bucket: list[nn.Parameter] = []
    for p in parameters:
        if bucket and (p.dtype != bucket[0].dtype or sum(q.numel() for q in bucket) + p.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket
