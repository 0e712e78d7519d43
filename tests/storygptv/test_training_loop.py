"""The training loop: exact resume, schedule, averaging."""

import json

import pytest
import torch
from torch import nn

from storygptv.training import Ema, FitConfig, fit, learning_rate


class Interrupted(Exception):
    pass


def run(folder, stop_at=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def batches(step):
        if step == stop_at:
            raise Interrupted
        return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))

    def loss_fn(x, generator):
        noise = torch.randn(16, 1, generator=generator) + torch.randn(16, 1)  # of the step, and of the global generator
        return (model(x) - x.sum(1, keepdim=True) - 0.1 * noise).square().mean(), {}

    config = FitConfig(str(folder), 12, 1e-2, warmup=2, ema=0.9, log_every=1, checkpoint_seconds=0.0)
    try:
        fit(model, loss_fn, batches, config)
    except Interrupted:
        return None
    losses = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    return losses, [p.detach().clone() for p in model.parameters()]


def test_interrupted_training_repeats_the_uninterrupted_run_bit_by_bit(tmp_path):
    losses, weights = run(tmp_path / "whole")
    assert run(tmp_path / "cut", stop_at=5) is None
    again, resumed = run(tmp_path / "cut")
    assert again == losses
    assert all(torch.equal(a, b) for a, b in zip(weights, resumed, strict=True))
    assert losses[-1] < losses[0]


def test_learning_rate_rises_stays_and_falls_to_zero():
    config = FitConfig("", 100, 2.0, warmup=10, cooldown=0.3)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[10:70] == [2.0] * 60
    assert rates[85] == pytest.approx(1.0)
    assert rates[100] == 0


def test_average_of_constant_weights_is_the_weights():
    p = nn.Parameter(torch.ones(3))
    ema = Ema({"p": p}, 0.99)
    with torch.no_grad():
        p.fill_(2.0)
    for step in range(2000):
        ema.update({"p": p}, step)
    torch.testing.assert_close(ema.shadow["p"], torch.full((3,), 2.0))
