"""The one training loop of every stage: accelerate, exact resume, EMA, checkpoints, a log.

What happens at step n depends on the seed, n and the weights alone: batches are asked for by number and every random
generator is seeded from (seed, n, share). So a run that was killed and resumed repeats the uninterrupted run, on one
process or on several. How a step is shared is in :mod:`storygptv.shares`, what is told in :mod:`storygptv.run_log`.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, gather_object
from PIL import Image
from torch import Tensor, nn

from storybench.errors import ConfigError, DataError, NumericalError
from storygptv.fit_config import FitConfig, learning_rate
from storygptv.optimizers import Ema, build_optimizers, restore
from storygptv.run_log import RunLog, require_trackers
from storygptv.shares import average_gradients, is_main_process, process_state, seed_all, share_maker, share_seed

__all__ = ["Ema", "FitConfig", "atomic_save", "build_optimizers", "fit", "is_main_process", "learning_rate"]

Loss = Callable[[Any, torch.Generator], tuple[Tensor, Mapping[str, float]]]
Sums = dict[str, float]
CHECKPOINT = "checkpoint.pt"


def atomic_save(value: object, path: Path) -> None:
    """Write ``value`` with ``torch.save`` so that a kill, or a power cut, leaves the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def fit(
    model: nn.Module,
    loss_fn: Loss,
    batches: Callable[..., Any],
    config: FitConfig,
    on_log: Callable[[int], Mapping[str, float]] | None = None,
    on_validate: Callable[[int], Mapping[str, Image.Image]] | None = None,
) -> dict[str, Any]:
    """Train the parameters of ``model`` that require gradients; return the state of the run.

    Under ``accelerate launch`` every process calls this and takes its share of each batch; the main one alone writes.
    Frozen parameters and buffers are not saved: they must come from where the stage took them.

    Args:
        model: Holds the trained parameters; it is moved to the process's device, and is not wrapped.
        loss_fn: Maps a batch and a CPU generator seeded by step and share to the loss (a mean over the batch's samples)
            and values for the log; it moves the batch to the device.
        batches: ``batches(step)`` gives the whole batch of a step, which is cut into shares;
            ``batches(step, share, shares)`` makes one share alone.
        config: Schedule and places.
        on_log: Called on the main process at every log line with the step, for values that cost too much to compute
            each step.
        on_validate: Called on the main process each ``validate_every`` steps, with the averaged weights in ``model`` if
            ``ema`` is set; gives pictures by name.

    Returns:
        ``{"step", "seconds"}``; the weights of ``model`` are the averaged ones if ``ema`` is set.

    Raises:
        ConfigError: If the precision, a tracker or the number of shares does not fit this machine or batch.
        DataError: If the checkpoint in ``config.out`` is damaged or of another model.
        NumericalError: If loss or gradients are no longer finite; the last checkpoint is from before.
    """
    return _Run(model, loss_fn, batches, config).train(on_log, on_validate)


class _Run:
    """The state of one call of :func:`fit`."""

    def __init__(self, model: nn.Module, loss_fn: Loss, batches: Callable[..., Any], config: FitConfig) -> None:
        self.config, self.loss_fn = config, loss_fn
        if config.threads:
            torch.set_num_threads(config.threads)
        require_trackers(config)
        self.accelerator = _accelerator(config)
        device = self.accelerator.device
        # our own, because accelerate's is void where there is no GPU, and steps once for each optimiser
        self.scaler = torch.amp.GradScaler(device.type) if config.mixed_precision == "fp16" else None
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.make_share = share_maker(batches, self.world * config.grad_accumulation)
        self.out = Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)
        model.to(device)
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not self.trained:
            raise ConfigError("No parameter of the model requires gradients: name at least one part to train.")
        self.optimizers = build_optimizers(model, config)
        self.ema = Ema(self.trained, config.ema) if config.ema else None
        self.step, self.spent = 0, 0.0
        self.sums: Sums = {}
        self.count = 0  # steps since the last line of the log
        self.resume()
        self.agree_on_start()
        self.start = self.last_save = time.monotonic()
        self.saved_step = self.step

    # -- resuming ------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up the checkpoint in ``out``, if there is one."""
        path = self.out / CHECKPOINT
        if not path.exists():
            return
        mend = "remove the folder, or give another one (out)"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            shapes = {name: tuple(p.shape) for name, p in state["model"].items()}
        except (RuntimeError, EOFError, KeyError, AttributeError, pickle.UnpicklingError) as error:
            raise DataError(f"{path} is no readable checkpoint of a training run: {mend}.") from error
        own = {name: tuple(p.shape) for name, p in self.trained.items()}
        if shapes != own:
            odd = sorted(name for name in own.keys() | shapes.keys() if own.get(name) != shapes.get(name))
            raise DataError(f"{path} is of another model, which differs in {len(odd)} tensors ({odd[0]}): {mend}.")
        try:
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                restore(optimizer, saved)
        except ValueError as error:
            raise DataError(f"{path} was made with another optimiser (muon): {mend}.") from error
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(state["model"][name])
        if self.ema:  # an average that begins now begins at the weights of now
            self.ema.shadow = {
                name: state["ema"].get(name, state["model"][name]).to(p.device, copy=True)
                for name, p in self.trained.items()
            }
        if self.scaler and state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.spent = state["step"], state["seconds"]
        self.count, self.sums = state.get("count", 0), own_sums(state.get("sums", []), self.rank, self.world)
        self.accelerator.print(f"resumed at step {self.step} after {self.spent:.0f} s", flush=True)

    def agree_on_start(self) -> None:
        """Give all processes the weights of the first, after a check that they resumed at the same step.

        Raises:
            ConfigError: If machines do not see the same folder.
        """
        if self.world == 1:
            return
        if len(set(gather_object([self.step]))) > 1:
            raise ConfigError(
                f"The processes resume from different steps: out ({self.config.out}) must be on a file system that "
                "every machine shares."
            )
        with torch.no_grad():
            for p in self.trained.values():
                p.copy_(broadcast(p.detach().contiguous()))  # the U-Net may be in channels_last
        if self.ema and not self.step:
            self.ema = Ema(self.trained, self.config.ema)

    def save(self) -> None:
        """Write the checkpoint: on the main process, and not before the others have come to the same step."""
        sums = gather_object([self.sums]) if self.world > 1 else [self.sums]
        if self.accelerator.is_main_process and (self.step > self.saved_step or self.step == 0):
            atomic_save(
                {
                    "model": {name: p.detach() for name, p in self.trained.items()},
                    "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                    "ema": self.ema.shadow if self.ema else {},
                    "scaler": self.scaler.state_dict() if self.scaler else {},
                    "step": self.step,
                    "seconds": self.seconds(),
                    "sums": sums,
                    "count": self.count,
                },
                self.out / CHECKPOINT,
            )
        self.accelerator.wait_for_everyone()
        self.last_save, self.saved_step = time.monotonic(), self.step

    def seconds(self) -> float:
        """Return the seconds of training so far, over all calls."""
        return self.spent + time.monotonic() - self.start

    # -- one step ------------------------------------------------------------------------------------------------------

    def advance(self, shares: Sequence[Any]) -> None:
        """Take one optimiser step from this process's shares of the batch, made by the calls ``shares``."""
        config = self.config
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate(config, self.step) / config.learning_rate
        values: Sums = {}
        scaler = self.scaler
        for number, share in enumerate(shares):
            seed = share_seed(config.seed, self.step, self.rank * config.grad_accumulation + number)
            generator = seed_all(seed)
            batch = share()
            with self.accelerator.autocast():
                loss, told = self.loss_fn(batch, generator)
            part = loss / len(shares)
            (scaler.scale(part) if scaler else part).backward()
            for key, value in {"loss": float(loss.detach()), **told}.items():
                values[key] = values.get(key, 0.0) + float(value) / len(shares)
        parameters = list(self.trained.values())
        average_gradients(parameters)
        if scaler:
            for optimizer in self.optimizers:
                scaler.unscale_(optimizer)
        norm = float(nn.utils.clip_grad_norm_(parameters, config.clip or math.inf))
        if not scaler and not (math.isfinite(norm) and math.isfinite(values["loss"])):
            raise NumericalError(
                f"Step {self.step} has loss {values['loss']:.4g} and gradient norm {norm:.4g}: resume with a lower "
                "learning_rate, or with mixed_precision=no."
            )
        for optimizer in self.optimizers:
            if scaler:
                scaler.step(optimizer)
            else:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if scaler:
            scaler.update()  # once for all optimisers
        self.step += 1
        if self.ema:
            self.ema.update(self.trained, self.step)
        self.count += 1
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value

    # -- the loop ------------------------------------------------------------------------------------------------------

    def train(
        self,
        on_log: Callable[[int], Mapping[str, float]] | None,
        on_validate: Callable[[int], Mapping[str, Image.Image]] | None,
    ) -> dict[str, Any]:
        """Step until the end, the clock or an error; save."""
        config = self.config
        log = RunLog(config, self.step) if self.accelerator.is_main_process else None
        self.last_line = time.monotonic()  # trackers take seconds to start
        try:
            with ahead(self.share_calls, self.step, config.steps, config.prefetch) as calls:
                while self.step < config.steps and not self.due(self.start, config.max_seconds):
                    self.advance(next(calls))
                    if self.step % config.log_every == 0 or self.step == config.steps:
                        self.tell(log, on_log)
                    if on_validate and config.validate_every and self.step % config.validate_every == 0:
                        self.show(log, on_validate)
                    by_count = config.checkpoint_steps and self.step % config.checkpoint_steps == 0
                    if by_count or self.due(self.last_save, config.checkpoint_seconds):
                        self.save()
            self.save()
        finally:
            if log:
                log.close()
        if self.ema:
            self.ema.copy_to(self.trained)
        return {"step": self.step, "seconds": self.seconds()}

    def share_calls(self, step: int) -> list[Callable[[], Any]]:
        """Return the calls that make this process's shares of step ``step``."""
        first = self.rank * self.config.grad_accumulation
        return [
            lambda share=share: self.make_share(step, share)
            for share in range(first, first + self.config.grad_accumulation)
        ]

    def due(self, since: float, limit: float) -> bool:
        """Say whether more than ``limit`` seconds have passed, by the main process's clock on every process."""
        passed = time.monotonic() - since > limit
        if self.world == 1 or math.isinf(limit):
            return passed
        return bool(broadcast(torch.tensor([float(passed)], device=self.accelerator.device)).item())

    def tell(self, log: RunLog | None, on_log: Callable[[int], Mapping[str, float]] | None) -> None:
        """Write one line of the log: means over the steps since the last one and over the processes."""
        everybody = gather_object([self.sums]) if self.world > 1 else [self.sums]
        if log:
            values = {key: value / (self.count * self.world) for key, value in merged(everybody).items()}
            values["lr"] = learning_rate(self.config, self.step - 1)
            values |= on_log(self.step) if on_log else {}
            pace = (time.monotonic() - self.last_line) / self.count
            log.values({"step": self.step, "seconds": round(self.seconds(), 1)}, values, pace)
        self.accelerator.wait_for_everyone()
        self.sums, self.count, self.last_line = {}, 0, time.monotonic()

    def show(self, log: RunLog | None, on_validate: Callable[[int], Mapping[str, Image.Image]]) -> None:
        """Draw the validation pictures with the weights that the run would end with."""
        if log and self.ema:
            with self.ema.applied(self.trained):
                log.pictures(self.step, on_validate(self.step))
        elif log:
            log.pictures(self.step, on_validate(self.step))
        self.accelerator.wait_for_everyone()


def _accelerator(config: FitConfig) -> Accelerator:
    """Return an accelerator of the asked precision.

    Raises:
        ConfigError: If the device has no such precision.
    """
    state = process_state()
    AcceleratorState._reset_state()  # one process may fit twice in different precisions; the process group stays
    try:
        return Accelerator(mixed_precision=config.mixed_precision, cpu=state.device.type == "cpu")
    except ValueError as error:
        if config.mixed_precision not in str(error):
            raise
        raise ConfigError(
            f"mixed_precision={config.mixed_precision} does not work on this device: take bf16 or no."
        ) from error


@contextmanager
def ahead(
    calls: Callable[[int], list[Callable[[], Any]]], first: int, last: int, depth: int
) -> Iterator[Iterator[list[Callable[[], Any]]]]:
    """Give the calls that make the shares of steps ``first`` to ``last``; with ``depth``, made ahead in one thread."""
    if not depth:
        yield (calls(step) for step in range(first, last))
        return
    with ThreadPoolExecutor(1, "batches") as thread:

        def made() -> Iterator[list[Callable[[], Any]]]:
            queue: list[list[Future]] = []
            for step in range(first, last + depth):
                if step < last:
                    queue.append([thread.submit(call) for call in calls(step)])
                if step >= first + depth:
                    yield [future.result for future in queue.pop(0)]

        try:
            yield made()
        finally:
            thread.shutdown(cancel_futures=True)


def merged(sums: Sequence[Sums]) -> Sums:
    """Return the sums of all processes together."""
    return {key: sum(one.get(key, 0.0) for one in sums) for key in dict.fromkeys(k for one in sums for k in one)}


def own_sums(saved: Sequence[Sums], rank: int, world: int) -> Sums:
    """Return what process ``rank`` of ``world`` had summed; if their number changed, the first takes it all."""
    if len(saved) == world:
        return dict(saved[rank])
    return {key: value * world / len(saved) for key, value in merged(saved).items()} if rank == 0 else {}
