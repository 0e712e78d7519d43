"""The one training loop of every stage: accelerate, exact resume, EMA, checkpoints, a log.

What happens at step n depends on the seed, n and the weights alone: batches are asked for by number and every random
generator is seeded from (seed, n). So a run that was killed and resumed repeats the uninterrupted run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from storygptv.muon import Muon


@dataclass(frozen=True)
class FitConfig:
    """How long and how hard to train.

    ``cooldown`` is the last fraction of the steps, over which the learning rate falls linearly to zero after a constant
    plateau. ``max_seconds`` ends this call early (with a checkpoint), not the schedule.
    """

    out: str
    steps: int
    learning_rate: float
    warmup: int = 100
    cooldown: float = 0.3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float = 0.0
    seed: int = 0
    threads: int = 0
    checkpoint_seconds: float = 90.0
    log_every: int = 20
    max_seconds: float = float("inf")
    mixed_precision: str = "no"
    muon: float = 0.0  # learning rate of Muon on hidden matrices; 0: AdamW on everything


def learning_rate(config: FitConfig, step: int) -> float:
    """Return the rate of step ``step``: linear warm-up, plateau, linear cool-down."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    cool = max(1.0, config.cooldown * config.steps)
    return config.learning_rate * warm * min(1.0, max(0.0, (config.steps - step) / cool))


def build_optimizers(model: nn.Module, config: FitConfig) -> list[torch.optim.Optimizer]:
    """Return AdamW for all trained parameters, or Muon for hidden matrices and AdamW for the rest.

    A hidden matrix is the weight of a linear layer inside the model; embeddings and output layers are not.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    outer = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    linear |= {id(m.in_proj_weight) for m in model.modules() if isinstance(m, nn.MultiheadAttention)}
    hidden = [p for p in trained.values() if config.muon and id(p) in linear - outer]
    known = {id(p) for p in hidden}
    decayed = [p for p in trained.values() if id(p) not in known and p.ndim >= 2]
    plain = [p for p in trained.values() if id(p) not in known and p.ndim < 2]
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


def atomic_save(value: object, path: Path) -> None:
    """Write ``value`` with ``torch.save`` so that a kill leaves the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    torch.save(value, temporary)
    os.replace(temporary, path)


def fit(
    model: nn.Module,
    loss_fn: Callable[[Any, torch.Generator], tuple[Tensor, Mapping[str, float]]],
    batches: Callable[[int], Any],
    config: FitConfig,
    on_log: Callable[[int], Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """Train the parameters of ``model`` that require gradients; return the state of the run.

    Args:
        model: Holds the trained parameters; frozen ones are left out of optimiser and checkpoint.
        loss_fn: Maps a batch and a generator seeded by the step to the loss and values for the log.
        batches: Maps a step number to its batch.
        config: Schedule and places.
        on_log: Called at every log line with the step, for values that cost too much to compute each step.

    Returns:
        ``{"step", "seconds", "log"}``; the weights of ``model`` are the averaged ones if ``ema`` is set.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizers = build_optimizers(model, config)
    ema = Ema(trained, config.ema) if config.ema else None
    step, spent = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, p in trained.items():
                p.copy_(state["model"][name])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if ema:
            ema.shadow = {name: state["ema"][name].to(p.device) for name, p in trained.items()}
        step, spent = state["step"], state["seconds"]
        accelerator.print(f"resumed at step {step} after {spent:.0f} s")
    model, *optimizers = accelerator.prepare(model, *optimizers)
    (out / "fit.json").write_text(json.dumps(asdict(config), indent=1, default=str))

    def save() -> None:
        if accelerator.is_main_process:
            atomic_save(
                {
                    "model": {name: p.detach() for name, p in trained.items()},
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "ema": ema.shadow if ema else {},
                    "step": step,
                    "seconds": spent + time.monotonic() - start,
                },
                checkpoint,
            )

    start = last_save = time.monotonic()
    sums: dict[str, float] = {}
    count = 0  # steps since the last line
    while step < config.steps and time.monotonic() - start < config.max_seconds:
        torch.manual_seed(config.seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate(config, step) / config.learning_rate
        with accelerator.autocast():
            loss, values = loss_fn(batches(step), generator)
        accelerator.backward(loss)
        if config.clip:
            accelerator.clip_grad_norm_(trained.values(), config.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        if ema:
            ema.update(trained, step)
        count += 1
        for key, value in {"loss": float(loss.detach()), **values}.items():
            sums[key] = sums.get(key, 0.0) + float(value)
        if step % config.log_every == 0 or step == config.steps:
            line = {"step": step, "seconds": round(spent + time.monotonic() - start, 1)}
            line |= {key: round(value / count, 5) for key, value in sums.items()}
            line |= on_log(step) if on_log else {}
            sums, count = {}, 0
            if accelerator.is_main_process:
                with (out / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
            accelerator.print(" ".join(f"{k}={v}" for k, v in line.items()), flush=True)
        if time.monotonic() - last_save > config.checkpoint_seconds:
            save()
            last_save = time.monotonic()
    save()
    seconds = spent + time.monotonic() - start
    if ema:
        ema.copy_to(trained)
    return {"step": step, "seconds": seconds}
