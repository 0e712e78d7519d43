"""Training on two processes, and after kill -9: `accelerate launch` as a person starts it, on the CPU.

The file is its own worker: ``python test_distributed.py WHAT FOLDER`` is what the launched processes run.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from storygptv.features import build_features
from storygptv.shares import is_main_process
from storygptv.training import FitConfig, fit

STEPS = 24
ENV = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "CUDA_VISIBLE_DEVICES": "",
}


class Net(nn.Module):
    """Two roads, of which a sample takes one: with small shares, one of them lies idle on some process."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(4, 8), nn.Linear(4, 8)
        self.never = nn.Linear(4, 4)
        self.out = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 1) for x (n, 4)."""
        goes_left = x[:, :1] > 0
        hidden = self.out.weight.new_zeros(len(x), 8)
        for road, taken in ((self.left, goes_left), (self.right, ~goes_left)):
            if taken.any():
                hidden = hidden + torch.where(taken, road(x), 0)
        return self.out(hidden.tanh())


def train(folder: Path, noisy: bool, pause: float = 0.0, **options: object) -> Net:
    """Fit the network on a batch of four samples a step."""
    model = Net()
    if not is_main_process():  # the engine gives all processes the weights of the first
        for p in model.parameters():
            nn.init.zeros_(p)

    def batches(step: int) -> torch.Tensor:
        time.sleep(pause)
        return torch.randn(4, 4, generator=torch.Generator().manual_seed(step))

    def loss_fn(x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        noise = torch.randn(len(x), 1, generator=generator) + torch.rand(len(x), 1)
        loss = (model(x) - x.sum(1, keepdim=True) - (noise if noisy else 0)).square().mean()
        return loss, {"left": float((x[:, 0] > 0).float().mean())}

    settings = {"warmup": 2, "ema": 0.9, "log_every": 1, "checkpoint_seconds": 1e9, "tensorboard": False, **options}
    fit(model, loss_fn, batches, FitConfig(str(folder), STEPS, 1e-2, **settings))
    return model


def worker(what: str, folder: Path) -> None:
    """Do in one process what the test named ``what`` launched."""
    (folder / f"pid-{os.getpid()}").touch()
    if what == "compare":
        torch.save(train(folder / "plain", noisy=False).state_dict(), folder / f"plain-{os.environ['RANK']}.pt")
        torch.save(train(folder / "noisy", noisy=True).state_dict(), folder / f"noisy-{os.environ['RANK']}.pt")
        cache = build_features(folder / "features", list("0123456789"), features, {}, chunk=3)
        torch.save(cache.read("row", list("9250")), folder / f"rows-{os.environ['RANK']}.pt")
    else:
        pause = 0.1 if what == "slowly" else 0.0
        train(folder, noisy=True, pause=pause, log_every=3, checkpoint_steps=4, grad_accumulation=2)


def features(keys: list[str]) -> dict[str, torch.Tensor]:
    return {"row": torch.tensor([[float(key), float(os.getpid())] for key in keys])}


def launched(processes: int, *module_or_script: str) -> list[str]:
    """Return the command line that runs a program on ``processes`` processes."""
    if processes == 1:
        return [sys.executable, *module_or_script]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes),
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port),
        *module_or_script,
    ]  # fmt: skip


def launch(processes: int, what: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = launched(processes, __file__, what, str(folder))
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kill_once(command: list[str], log: Path, step: int) -> None:
    """Start ``command`` and kill -9 all its processes as soon as ``log`` has a line of ``step`` or later."""
    process = subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 300
        while last_step(log) < step:
            assert process.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < limit
            time.sleep(0.02)
    finally:
        for pid in [*children(process.pid), process.pid]:
            os.kill(pid, signal.SIGKILL)
        process.wait()


def children(pid: int) -> list[int]:
    """Return the processes that ``pid`` started, and theirs."""
    own = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [grandchild for child in own for grandchild in children(child)] + own


def last_step(log: Path) -> int:
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")] if log.exists() else []
    return json.loads(lines[-1])["step"] if lines else -1


def curve(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines())]


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


@pytest.mark.slow
def test_two_processes_train_what_one_process_trains(tmp_path: Path) -> None:
    launch(2, "compare", tmp_path)
    one = train(tmp_path / "one", noisy=False).state_dict()  # a batch of 4, as 2 + 2
    passes = train(tmp_path / "passes", noisy=True, grad_accumulation=2).state_dict()
    for name, want in (("plain", one), ("noisy", passes)):
        first, second = (tensors(tmp_path / f"{name}-{rank}.pt") for rank in (0, 1))
        for key, value in want.items():
            torch.testing.assert_close(first[key], value, rtol=0, atol=1e-6)
            assert torch.equal(first[key], second[key])
    for launched_run, alone in (("plain", "one"), ("noisy", "passes")):
        losses, wanted = dict(curve(tmp_path / launched_run)), dict(curve(tmp_path / alone))
        assert losses == pytest.approx(wanted, rel=1e-6)
        assert len(losses) == STEPS
    assert torch.equal(one["never.weight"], Net().never.weight)  # idle everywhere: not even decayed
    rows, same = (torch.load(tmp_path / f"rows-{rank}.pt") for rank in (0, 1))
    assert torch.equal(rows, same)
    assert rows[:, 0].tolist() == [9, 2, 5, 0]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_training_resumes_to_the_same_curve(tmp_path: Path, processes: int) -> None:
    launch(processes, "whole", tmp_path / "whole")
    cut = tmp_path / "cut"
    cut.mkdir()
    kill_once(launched(processes, __file__, "slowly", str(cut)), cut / "log.jsonl", step=9)
    saved = tensors(cut / "checkpoint.pt")
    assert 8 <= saved["step"] < STEPS
    assert last_step(cut / "log.jsonl") < STEPS
    launch(processes, "whole", cut)
    assert curve(cut) == curve(tmp_path / "whole")
    assert len(curve(cut)) == STEPS // 3
    whole, resumed = (tensors(folder / "checkpoint.pt") for folder in (tmp_path / "whole", cut))
    for part in ("model", "ema"):
        assert all(torch.equal(resumed[part][key], value) for key, value in whole[part].items())


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_stage_of_the_miniature_resumes_to_the_same_curve(tmp_path: Path, processes: int) -> None:
    def command(folder: Path) -> list[str]:
        return launched(
            processes, "-m", "storybench.cli.main", "train", "model=storygptv", "stage=vae", "batch_size=2",
            f"save_to={folder}", f"fit_config.out={folder}", "fit_config.steps=12", "fit_config.log_every=1",
            "+fit_config.checkpoint_steps=2", "fit_config.checkpoint_seconds=1000", "vae.block_out_channels=[16,16]",
        )  # fmt: skip

    whole = subprocess.run(
        command(tmp_path / "whole"), env=ENV, capture_output=True, text=True, timeout=300, check=False
    )
    assert whole.returncode == 0, whole.stdout + whole.stderr
    kill_once(command(tmp_path / "cut"), tmp_path / "cut" / "log.jsonl", step=5)
    assert 4 <= tensors(tmp_path / "cut" / "checkpoint.pt")["step"] < 12
    again = subprocess.run(command(tmp_path / "cut"), env=ENV, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "resumed at step" in again.stdout
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert len(curve(tmp_path / "cut")) == 12


@pytest.mark.slow
def test_a_mistake_is_said_once_however_many_processes_make_it() -> None:
    command = launched(2, "-m", "storybench.cli.main", "train", "model=storygptv", "stage=nothing")
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert done.stderr.count("Unknown stage 'nothing' of model storygptv.") == 1


if __name__ == "__main__":
    worker(sys.argv[1], Path(sys.argv[2]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
