"""Cost of L_reg in a training step of Char-LDM at Stable Diffusion 1.5 shape: none, from columns, from full maps.

A step is forward and backward of the U-Net, for gradients of all weights, one sample of 64 x 64 latents, 77 tokens,
float32, random weights, no optimiser. ``plain`` has no L_reg; ``column`` is ours; ``full`` keeps the softmax maps of
the 11 published layers and takes the loss from them. Memory is measured in a process for each, time in one process that
takes the three by turns, so that all see the same machine; beside it stand the processor's seconds, which the work of
others touches less. Prints one JSON object and exits with status 1 if
``column`` costs more than 1.10x the plain step's time or 1.15x its memory. Linux only (/proc). Run on a machine that
does nothing else: ``python benchmarks/attention_loss.py``.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.utils import logging
from torch import Tensor

from storygptv.char_ldm.attention import attention_loss, record_character_columns

WAYS = ("plain", "column", "full")
BLOCKS = ("down_blocks.1", "down_blocks.2", "mid_block", "up_blocks.1", "up_blocks.2")
TIME_LIMIT, MEMORY_LIMIT = 1.10, 1.15
CHARACTERS, TOKENS, REG_WEIGHT = 2, 77, 1e-3
TINY = {"block_out_channels": (32, 64, 64, 64), "attention_head_dim": 4, "norm_num_groups": 8}


class FullMapProcessor:
    """Attention that keeps its softmax for the loss, as published."""

    def __init__(self, layer: str, maps: dict[str, Tensor]) -> None:
        self.layer, self.maps = layer, maps

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        q = attn.head_to_batch_dim(attn.to_q(hidden_states))
        k = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        v = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        maps = attn.get_attention_scores(q, k, attention_mask)  # (B*h, N, L)
        self.maps[self.layer] = maps.unflatten(0, (len(hidden_states), attn.heads))
        return attn.to_out[0](attn.batch_to_head_dim(maps @ v))


class Cost(NamedTuple):
    """What a step took, and the L_reg it found (0 for ``plain``)."""

    seconds: float
    cpu_seconds: float  # of all threads
    reg: float


class Step:
    """A training step in any of the three ways, on one U-Net and one sample."""

    def __init__(self, tiny: bool) -> None:
        torch.manual_seed(0)
        shape = TINY if tiny else {}  # what is not given is Stable Diffusion 1.5's
        self.unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, **shape)
        side = 32 if tiny else 64
        self.x, self.noise = torch.randn(1, 4, side, side), torch.randn(1, 4, side, side)
        self.context = 10 * torch.randn(1, TOKENS, 768)  # far from uniform attention, so that L_reg is not about 0
        self.token_idx, self.valid = torch.tensor([[3, 9]]), torch.ones(1, CHARACTERS)
        self.masks = torch.zeros(1, CHARACTERS, 512, 512)
        self.masks[0, 0, 100:400, 50:200] = self.masks[0, 1, 150:500, 300:450] = 1

    def run(self, way: str) -> Cost:
        """Take a step. Setting processors is not counted."""
        self.unet.set_attn_processor(AttnProcessor2_0())
        maps: dict[str, Tensor] = {}
        columns = record_character_columns(self.unet, BLOCKS if way == "column" else [])
        if way == "full":
            for name, layer in self.unet.named_modules():
                if name.endswith(".attn2") and any(name.startswith(f"{block}.") for block in BLOCKS):
                    layer.set_processor(FullMapProcessor(name, maps))
        self.unet.zero_grad(set_to_none=True)
        start, cpu_start = time.perf_counter(), time.process_time()
        if way == "column":
            columns.supervise(self.token_idx, self.masks, self.valid)
        out = self.unet(self.x, 500, self.context).sample
        loss, reg = (out - self.noise).square().mean(), torch.zeros(())
        if way == "column":
            reg = columns.loss()
        elif way == "full":
            at = self.token_idx[:, None, None]
            taken = {k: v.gather(-1, at.expand(-1, *v.shape[1:3], -1)) for k, v in maps.items()}
            reg = attention_loss(taken, self.masks, self.valid)
        (loss + REG_WEIGHT * reg).backward()
        return Cost(time.perf_counter() - start, time.process_time() - cpu_start, float(reg.detach()))


def resident_mb(key: str) -> float:
    """Return a memory field of this process: ``VmRSS`` now or ``VmHWM``, the highest since it was last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


def measure_memory(way: str, tiny: bool) -> dict[str, float]:
    """Return the highest resident memory of two steps above that of the model at rest, and L_reg."""
    step = Step(tiny)
    before = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew, without what building took
    for _ in range(2):
        reg = step.run(way).reg
    return {"peak_mb": resident_mb("VmHWM") - before, "reg": reg}


def measure_time(rounds: int, tiny: bool) -> dict[str, list[Cost]]:
    """Return costs of each way, one a round, after a warm-up; who goes first changes from round to round."""
    step = Step(tiny)
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for i in range(-1, rounds):
        for way in WAYS[i % 3 :] + WAYS[: i % 3]:
            cost = step.run(way)
            if i >= 0:
                costs[way].append(cost)
    return costs


def child(*arguments: str) -> dict:
    """Run this script with ``arguments`` in a process of its own and return what it prints."""
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def compare(options: argparse.Namespace) -> int:
    """Measure all, print, and return the exit status."""
    passed = [f"--threads={options.threads}", f"--rounds={options.rounds}", *(["--tiny"] if options.tiny else [])]
    memory = {way: child("--memory-of", way, *passed) for way in WAYS}
    costs = {way: [Cost(*each) for each in rounds] for way, rounds in child("--time", *passed).items()}

    def ratio(way: str) -> dict[str, float]:
        pairs = list(zip(costs[way], costs["plain"], strict=True))  # one round's steps ran one after another
        return {
            "time": round(statistics.median(a.seconds / b.seconds for a, b in pairs), 3),
            "cpu_time": round(statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in pairs), 3),
            "memory": round(memory[way]["peak_mb"] / memory["plain"]["peak_mb"], 3),
        }

    result = {
        "shape": "tiny" if options.tiny else "Stable Diffusion 1.5",
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": {way: round(statistics.median(c.seconds for c in costs[way]), 3) for way in WAYS},
        "cpu_seconds": {way: round(statistics.median(c.cpu_seconds for c in costs[way]), 3) for way in WAYS},
        "peak_mb": {way: round(memory[way]["peak_mb"], 1) for way in WAYS},
        "column_to_plain": ratio("column"),
        "full_to_plain": ratio("full"),
        "limits": {"time": TIME_LIMIT, "memory": MEMORY_LIMIT},
        "l_reg": memory["column"]["reg"],
        "l_reg_difference": memory["column"]["reg"] - memory["full"]["reg"],
    }
    print(json.dumps(result, indent=2))
    if options.tiny:  # fixed costs weigh as much as the work there: it shows that all three run, not what they cost
        return 0
    ours = result["column_to_plain"]
    return int(ours["time"] > TIME_LIMIT or ours["memory"] > MEMORY_LIMIT)


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a narrow U-Net at half the side; no limits")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each way")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--time", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(measure_memory(options.memory_of, options.tiny)))
    elif options.time:
        print(json.dumps(measure_time(options.rounds, options.tiny)))
    else:
        return compare(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
