"""The training loop on one process: exact resume, shares, schedule, averaging, what it tells."""

import json
import math
import os
import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from storybench.errors import ConfigError, DataError, NumericalError
from storygptv.features import FeatureCache, build_features, module_hash
from storygptv.optimizers import build_optimizers
from storygptv.run_log import lines_until
from storygptv.shares import is_main_process, seed_all, shard, share_seed
from storygptv.training import Ema, FitConfig, fit, learning_rate


class Interrupted(Exception):
    pass


def log_of(folder):
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def run(folder, stop_at=None, noisy=True, model=None, **options):
    """Fit a small network to a sum; return its log and weights, or None if it was stopped."""
    model = model or network()

    def batches(step):
        if step == stop_at:
            raise Interrupted
        return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))

    def loss_fn(x, generator):
        noise = torch.randn(len(x), 1, generator=generator) + torch.randn(len(x), 1)  # of the share, and global
        noise = noise * random.random() * np.random.rand()  # noqa: NPY002
        return (model(x) - x.sum(1, keepdim=True) - noisy * noise).square().mean(), {"twice": 2.0}

    settings = {"warmup": 2, "ema": 0.9, "log_every": 1, "checkpoint_seconds": 0.0, "tensorboard": False, **options}
    try:
        fit(model, loss_fn, batches, FitConfig(str(folder), 12, 1e-2, **settings))
    except Interrupted:
        return None
    return [line["loss"] for line in log_of(folder)], [p.detach().clone() for p in model.parameters()]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"muon": 0.01},
        {"grad_accumulation": 4},
        {"prefetch": 3},
        {"log_every": 3, "checkpoint_steps": 4, "checkpoint_seconds": 1e9},  # the kill falls between lines
    ],
    ids=str,
)
def test_interrupted_training_repeats_the_uninterrupted_run_bit_by_bit(tmp_path, options):
    losses, weights = run(tmp_path / "whole", **options)
    assert run(tmp_path / "cut", stop_at=5, **options) is None
    again, resumed = run(tmp_path / "cut", **options)
    assert again == losses
    assert equal(weights, resumed)
    assert losses[-1] < losses[0]
    assert [line["step"] for line in log_of(tmp_path / "cut")] == [line["step"] for line in log_of(tmp_path / "whole")]


def test_batches_made_ahead_change_nothing(tmp_path):
    assert run(tmp_path / "a", prefetch=4)[0] == run(tmp_path / "b")[0]


@pytest.mark.parametrize("parts", [2, 4, 16])
def test_accumulated_steps_equal_a_big_batch(tmp_path, parts):
    losses, weights = run(tmp_path / "big", noisy=False)
    again, accumulated = run(tmp_path / "parts", noisy=False, grad_accumulation=parts)
    assert again == pytest.approx(losses, rel=1e-6)
    for a, b in zip(weights, accumulated, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_every_share_has_its_own_random_numbers_on_the_cpu():
    drawn = set()
    for step in range(3):
        for share in range(4):
            generator = seed_all(share_seed(7, step, share))
            drawn.add((float(torch.rand(1, generator=generator)), float(torch.rand(1)), np.random.rand()))  # noqa: NPY002
    assert len(drawn) == 12


def test_a_callable_of_three_arguments_makes_its_own_shares(tmp_path):
    asked = []

    def batches(step, share, shares):
        asked.append((step, share, shares))
        return torch.ones(2, 1)

    model = nn.Linear(1, 1)
    config = FitConfig(str(tmp_path), 2, 1e-2, grad_accumulation=3, tensorboard=False)
    fit(model, lambda x, g: (model(x).square().mean(), {}), batches, config)
    assert asked == [(step, share, 3) for step in range(2) for share in range(3)]


class Named(NamedTuple):
    captions: list[str]
    features: Tensor


@dataclass(frozen=True)
class Held:
    latents: Tensor
    frames: tuple[str, ...]
    scale: float


def test_shards_of_all_kinds_of_batches_put_together_are_the_batch():
    x = torch.arange(12.0).reshape(6, 2)
    words = list("abcdef")
    batches = [x, words, (x, x.numpy()), {"x": x, "words": words}, Named(words, x), Held(x, tuple(words), 0.5)]
    batches.append((Named(words, x), {"note": "shared", "none": None}))
    for batch in batches:
        parts = [shard(batch, i, 3) for i in range(3)]
        assert {type(part) for part in parts} == {type(batch)}
        shown = [str(part) for part in parts]
        for letter in "abcdef" if "a'" in str(batch) else "":
            assert sum(f"'{letter}'" in s for s in shown) == 1
    assert torch.equal(torch.cat([shard(Held(x, tuple(words), 0.5), i, 3).latents for i in range(3)]), x)
    assert shard(Named(words, x), 2, 3).captions == ["e", "f"]
    with pytest.raises(ConfigError, match=r"6 samples cannot be cut into 4 equal shares .* multiple of 4\.$"):
        shard(x, 0, 4)
    with pytest.raises(ConfigError, match=r"columns of \[2, 6\] entries"):
        shard((x, x[:2]), 0, 2)


def test_learning_rate_rises_stays_and_falls_to_zero():
    config = FitConfig("", 100, 2.0, warmup=10, cooldown=0.3)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[10:70] == [2.0] * 60
    assert rates[85] == pytest.approx(1.0)
    assert rates[100] == 0


def test_published_schedule_of_stage_two_falls_in_stairs():
    config = FitConfig("", 40_000, 1e-3, warmup=2000, cooldown=0.0, decay_every=10_000)
    wanted = {0: 5e-7, 999: 5e-4, 1999: 1e-3, 11_999: 1e-3, 12_000: 1e-4, 21_999: 1e-4, 22_000: 1e-5, 39_999: 1e-6}
    assert {step: learning_rate(config, step) for step in wanted} == pytest.approx(wanted)


def test_average_of_constant_weights_is_the_weights():
    p = nn.Parameter(torch.ones(3))
    ema = Ema({"p": p}, 0.99)
    with torch.no_grad():
        p.fill_(2.0)
    for step in range(2000):
        ema.update({"p": p}, step)
    torch.testing.assert_close(ema.shadow["p"], torch.full((3,), 2.0))


def test_average_follows_its_recursion_and_lends_itself_to_validation(tmp_path):
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    history, seen = [], []

    def loss_fn(x, generator):
        history.append(float(model.weight.detach()))
        return (model(x) - 1).square().mean(), {}

    def on_validate(step):
        seen.append(float(model.weight.detach()))
        return {}

    config = FitConfig(str(tmp_path), 6, 0.1, warmup=0, ema=0.5, validate_every=3, tensorboard=False)
    fit(model, loss_fn, lambda step: torch.ones(1, 1), config, on_validate=on_validate)
    raw = [*history[1:], torch.load(tmp_path / "checkpoint.pt")["model"]["weight"].item()]
    average, wanted = 0.0, []
    for step, value in enumerate(raw, start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * value
        wanted.append(average)
    assert seen == pytest.approx([wanted[2], wanted[5]], abs=1e-6)
    assert float(model.weight.detach()) == pytest.approx(wanted[5], abs=1e-6)
    assert len(set(history)) == 6  # validation gave the exact weights back


def test_parameters_may_be_spared_decay():
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "rows": nn.ParameterList([nn.Parameter(torch.ones(2, 2))])})
    model["rows"][0].no_decay = True
    (adamw,) = build_optimizers(model, FitConfig("", 1, 1.0))
    decayed, plain = adamw.param_groups
    assert [p is model["a"].weight for p in decayed["params"]] == [True]
    assert len(plain["params"]) == 2


def test_scalars_and_pictures_reach_tensorboard_once_each_though_resumed(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = nn.Linear(1, 1)
    options = {"log_every": 1, "checkpoint_steps": 2, "checkpoint_seconds": 1e9, "validate_every": 2}

    def attempt(stop_at):
        def batches(step):
            if step == stop_at:
                raise Interrupted
            return torch.full((2, 1), float(step))

        fit(
            model, lambda x, g: (model(x).square().mean(), {"batch": x[0, 0]}), batches,
            FitConfig(str(tmp_path), 4, 1e-2, **options), lambda step: {"val/ten": 10.0},
            lambda step: {"Fred & Wilma": Image.new("RGB", (8, 4), (step, 20, 30))},
        )  # fmt: skip

    with pytest.raises(Interrupted):
        attempt(3)
    attempt(None)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss", "lr", "batch", "val/ten"} <= set(events.Tags()["scalars"])
    assert [(e.step, e.value) for e in events.Scalars("batch")] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert [e.step for e in events.Images("validation/Fred & Wilma")] == [2, 4]
    strip = Image.open(tmp_path / "validation" / "Fred_Wilma-0000004.png")
    assert (strip.size, strip.getpixel((0, 0))) == ((8, 4), (4, 20, 30))
    assert [line["val/ten"] for line in log_of(tmp_path)] == [10.0] * 4


def test_the_log_of_a_killed_run_is_taken_back_to_the_checkpoint():
    text = '{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st'
    assert lines_until(text, 2) == ['{"step": 1}\n', '{"step": 2}\n']


def test_a_resumed_run_follows_the_rates_of_its_new_configuration(tmp_path):
    run(tmp_path, max_seconds=0.0, checkpoint_steps=1)
    saved = torch.load(tmp_path / "checkpoint.pt")
    assert saved["step"] == 0
    run(tmp_path, weight_decay=0.5)
    groups = torch.load(tmp_path / "checkpoint.pt")["optimizers"][0]["param_groups"]
    assert groups[0]["weight_decay"] == 0.5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mixed_precision": "bf17"}, "Unknown mixed_precision 'bf17'"),
        ({"steps": -1}, "steps is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"cooldown": 1.5}, "cooldown is 1.5: expected a number from 0 to 1"),
        ({"grad_accumulation": 0}, "grad_accumulation is 0: expected a number of 1 or more"),
        ({"ema": 1.0}, "ema is 1"),
        ({"betas": [0.9]}, "betas is"),
        ({"log_every": 0}, "log_every is 0"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(values, said):
    with pytest.raises(ConfigError, match=said) as raised:
        FitConfig(**{"out": "", "steps": 1, "learning_rate": 1.0, **values})
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_missing_tracker_is_named(tmp_path, monkeypatch):
    real = __import__("importlib").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else real(name))
    with pytest.raises(ConfigError, match="pip install wandb, or set wandb=false"):
        run(tmp_path, wandb=True)


def test_fp16_scales_its_loss_and_resumes_with_the_scale_it_had(tmp_path):
    losses, weights = run(tmp_path / "whole", mixed_precision="fp16", muon=0.01)
    assert run(tmp_path / "cut", stop_at=5, mixed_precision="fp16", muon=0.01) is None
    assert torch.load(tmp_path / "cut" / "checkpoint.pt")["scaler"]["_growth_tracker"] == 5
    again, resumed = run(tmp_path / "cut", mixed_precision="fp16", muon=0.01)
    assert again == losses
    assert equal(weights, resumed)


def test_a_process_that_does_not_find_the_others_says_so(tmp_path, monkeypatch):
    is_main_process()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="This is one of 2 processes and sees 1"):
        run(tmp_path)


def test_bf16_trains_float32_weights(tmp_path):
    seen = []
    model = nn.Linear(4, 4)

    def loss_fn(x, generator):
        y = model(x)
        seen.append(y.dtype)
        return y.float().square().mean(), {}

    fit(model, loss_fn, lambda s: torch.ones(2, 4), FitConfig(str(tmp_path), 2, 1e-2, mixed_precision="bf16"))
    assert seen == [torch.bfloat16] * 2
    assert model.weight.dtype == torch.float32


def test_a_checkpoint_of_another_model_or_optimiser_or_a_broken_one_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(DataError, match=r"is of another model, which differs in 3 tensors \(0\.bias\)"):
        run(tmp_path, model=nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 1)))
    with pytest.raises(DataError, match="made with another optimiser"):
        run(tmp_path, muon=0.1)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="is no readable checkpoint"):
        run(tmp_path)


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(tmp_path):
    model = nn.Linear(1, 1)
    config = FitConfig(str(tmp_path), 9, 1e-2, checkpoint_steps=1, tensorboard=False)

    def batches(step):
        return torch.full((1, 1), math.nan if step == 3 else 1.0)

    with pytest.raises(NumericalError, match="Step 3 has loss nan"):
        fit(model, lambda x, g: (model(x).square().mean(), {}), batches, config)
    saved = torch.load(tmp_path / "checkpoint.pt")
    assert saved["step"] == 3
    assert torch.isfinite(saved["model"]["weight"]).all()


def test_no_time_left_saves_and_returns(tmp_path):
    losses, _ = run(tmp_path, max_seconds=0.0)
    assert losses == []
    assert torch.load(tmp_path / "checkpoint.pt")["step"] == 0
    assert run(tmp_path)[0] == run(tmp_path / "whole")[0]


class Features:
    """A frozen layer that counts what it is asked for, and can break down."""

    def __init__(self, broken_at=None):
        self.asked, self.broken_at = [], broken_at

    def __call__(self, keys):
        if len(self.asked) == self.broken_at:
            raise Interrupted
        self.asked.append(list(keys))
        values = torch.tensor([float(key) for key in keys])
        return {"row": values[:, None] * torch.ones(3), "scalar": values / 3}


def test_features_are_computed_once_continue_after_a_stop_and_are_mapped(tmp_path):
    keys = [str(i) for i in range(10)]
    broken, rest = Features(broken_at=2), Features()
    with pytest.raises(Interrupted):
        build_features(tmp_path, keys, broken, {"weights": "a"}, chunk=4)
    cache = build_features(tmp_path, keys, rest, {"weights": "a"}, chunk=4)
    assert broken.asked + rest.asked == [keys[:4], keys[4:8], keys[8:]]
    again = Features()
    build_features(tmp_path, keys, again, {"weights": "a"}, chunk=4)
    assert again.asked == []
    other = Features()
    build_features(tmp_path, keys, other, {"weights": "b"}, chunk=4)
    assert len(other.asked) == 3  # other weights, other features
    rows = cache[["9", "0", "4", "9"]]
    assert rows["row"].dtype == torch.float16
    assert rows["row"].tolist() == [[9.0] * 3, [0.0] * 3, [4.0] * 3, [9.0] * 3]
    torch.testing.assert_close(rows["scalar"], torch.tensor([9, 0, 4, 9]).div(3).half())
    assert (len(cache), cache.shape("row"), cache.names) == (10, (3,), ["row", "scalar"])
    assert all(isinstance(array, np.memmap) for array in cache._arrays["row"])
    assert not list(cache.folder.glob("*.tmp"))


def test_a_damaged_or_unfinished_feature_cache_is_refused(tmp_path):
    keys = ["1", "2", "3"]
    cache = build_features(tmp_path, keys, Features(), {}, chunk=2)
    cache.verify()
    with pytest.raises(DataError, match="lacks 1 of 2 keys, such as '7'"):
        cache.read("row", ["1", "7"])
    file = cache.folder / "row-00001.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"\x7f")
    with pytest.raises(DataError, match="is not what was written"):
        cache.verify()
    file.write_bytes(content[:-1])
    with pytest.raises(DataError, match="is missing or cut short"):
        FeatureCache(cache.folder)
    os.remove(cache.folder / "index.json")
    with pytest.raises(DataError, match="No finished feature cache"):
        FeatureCache(cache.folder)
    with pytest.raises(DataError, match="keys of a feature cache repeat"):
        build_features(tmp_path, ["1", "1"], Features(), {})
    with pytest.raises(DataError, match="'row' of '70000' is not finite in fp16"):
        build_features(tmp_path, ["1", "70000"], Features(), {})


def test_module_hash_follows_the_weights_and_nothing_else():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    assert module_hash(a) != module_hash(b)
    b.load_state_dict(a.state_dict())
    assert module_hash(a) == module_hash(b)
    assert module_hash(a) != module_hash(b.half())
