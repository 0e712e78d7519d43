"""How long and how hard to train: one dataclass for every stage, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from storybench.errors import ConfigError, unknown

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class FitConfig:
    """Schedule, precision, places and habits of one call of :func:`storygptv.training.fit`.

    ``cooldown`` is the last fraction of the steps, over which the learning rate falls linearly to zero after a constant
    plateau. ``max_seconds`` ends this call early (with a checkpoint), not the schedule. The size of a batch is that of
    an optimiser step, whatever ``grad_accumulation`` and the number of processes: they only cut it into shares.

    Raises:
        ConfigError: If a value is outside its range.
    """

    out: str
    steps: int
    learning_rate: float
    warmup: int = 100
    cooldown: float = 0.3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0  # largest norm of all gradients together; 0: no limit
    ema: float = 0.0
    seed: int = 0
    threads: int = 0
    checkpoint_seconds: float = 90.0
    log_every: int = 20
    max_seconds: float = float("inf")
    mixed_precision: str = "no"  # no | bf16 | fp16; weights and optimiser stay in the dtype of the parameters
    muon: float = 0.0  # learning rate of Muon on hidden matrices; 0: AdamW on everything
    grad_accumulation: int = 1  # shares of a batch that a process works through before it steps
    checkpoint_steps: int = 0  # also save each so many steps; 0: by the clock alone
    validate_every: int = 0  # steps between pictures; 0: none
    tensorboard: bool = True  # scalars and pictures under out/tensorboard
    wandb: bool = False  # the same to Weights & Biases
    prefetch: int = 0  # batches made ahead in a thread; they may then draw on no global random generator
    decay_every: int = 0  # multiply the rate by ``decay`` after each so many steps past the warm-up; 0: never
    decay: float = 0.1

    def __post_init__(self) -> None:
        """Check every value that a person can mistype."""
        if self.mixed_precision not in PRECISIONS:
            raise unknown("mixed_precision", str(self.mixed_precision), PRECISIONS)
        object.__setattr__(self, "betas", tuple(self.betas))  # YAML gives a list
        ranges = {
            "steps": (0, math.inf), "learning_rate": (0, math.inf), "warmup": (0, math.inf), "cooldown": (0, 1),
            "weight_decay": (0, math.inf), "clip": (0, math.inf), "ema": (0, 1), "threads": (0, math.inf),
            "checkpoint_seconds": (0, math.inf), "log_every": (1, math.inf), "max_seconds": (0, math.inf),
            "muon": (0, math.inf), "grad_accumulation": (1, math.inf), "checkpoint_steps": (0, math.inf),
            "validate_every": (0, math.inf), "prefetch": (0, math.inf), "decay_every": (0, math.inf), "decay": (0, 1),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                limit = f"from {low} to {high}" if high < math.inf else f"of {low} or more"
                raise ConfigError(f"{name} is {value!r}: expected a number {limit}.")
        if not self.learning_rate or math.isinf(self.learning_rate):
            raise ConfigError(f"learning_rate is {self.learning_rate!r}: expected a finite number above 0.")
        if self.ema == 1:
            raise ConfigError("ema is 1, an average that never moves: expected less, such as 0.999, or 0 for none.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas is {list(self.betas)}: expected two numbers from 0 to below 1.")


def learning_rate(config: FitConfig, step: int) -> float:
    """Return the rate of step ``step``: linear warm-up, plateau (in falling stairs if asked for), linear cool-down.

    Stage 2 was published with 2000 steps of warm-up and stairs of 10,000 (storygptv.md section 4): ``warmup=2000,
    cooldown=0, decay_every=10000``.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    cool = max(1.0, config.cooldown * config.steps)
    stairs = max(0, step - config.warmup) // config.decay_every if config.decay_every else 0
    return config.learning_rate * warm * config.decay**stairs * min(1.0, max(0.0, (config.steps - step) / cool))
