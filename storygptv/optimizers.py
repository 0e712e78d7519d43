"""Which optimiser moves which parameter, and the moving average of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from storygptv.fit_config import FitConfig
from storygptv.muon import Muon


def build_optimizers(model: nn.Module, config: FitConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW for all trained parameters, or Muon for hidden matrices and AdamW for the rest.

    A hidden matrix is the weight of a linear layer inside the model; embeddings and output layers are not. Weight decay
    is for matrices; a parameter whose attribute ``no_decay`` is true (the [IMG] rows, say) is spared.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    outer = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    linear |= {id(m.in_proj_weight) for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    hidden = [p for p in trained.values() if config.muon and id(p) in linear - outer]
    known = {id(p) for p in hidden}
    rest = [p for p in trained.values() if id(p) not in known]
    decayed = [p for p in rest if p.ndim >= 2 and not getattr(p, "no_decay", False)]
    known |= {id(p) for p in decayed}
    plain = [p for p in rest if id(p) not in known]
    rate = config.learning_rate
    adamw = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay, "peak": rate},
            {"params": plain, "weight_decay": 0.0, "peak": rate},
        ],
        lr=rate,
        betas=config.betas,
    )
    if not hidden:
        return [adamw]
    group = {"params": hidden, "peak": config.muon}
    return [Muon([group], lr=config.muon, weight_decay=config.weight_decay), adamw]


def restore(optimizer: torch.optim.Optimizer, saved: dict) -> None:
    """Give ``optimizer`` its moments back; rates, decay and betas stay as the configuration of now says.

    Raises:
        ValueError: If ``saved`` belongs to other parameters.
    """
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, values in zip(optimizer.param_groups, own, strict=True):
        group.update(values)


class Ema:
    """An exponential moving average of the trained tensors, with a short memory at first."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, nn.Parameter], step: int) -> None:
        """Move the average towards ``parameters``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, p in parameters.items():
            self.shadow[name].lerp_(p.detach(), 1 - decay)

    @torch.no_grad()
    def copy_to(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Write the average into ``parameters``."""
        for name, p in parameters.items():
            p.copy_(self.shadow[name])

    @contextmanager
    def applied(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
        """Hold the average in ``parameters`` for the length of a block, and the exact weights of before after it."""
        before = {name: p.detach().clone() for name, p in parameters.items()}
        self.copy_to(parameters)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, p in parameters.items():
                    p.copy_(before[name])
