"""One process or three, whatever each was given: every metric says the same, bit for bit (harness.md 2).

The file is its own worker: ``python test_world_size.py FOLDER`` starts three processes that join over gloo as worlds of
3, 2 and 1 in turn, and writes what each process of each world computed.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from storybench import metrics
from storybench.metrics.base import StoryMetric
from storybench.metrics.instruments import FeatureReference, Instruments
from storybench.metrics.record import FrameRecord, Swap
from storybench.perception.observation import Figures, Observation, Reading
from storybench.perception.perceiver import Vocabulary
from storybench.story import Mention

NAMES = ("Ann", "Bob", "Cat")
NET, WIDTH, DRAWS, STORIES = "toy-net-v1", 4, 200, 45
VOCABULARY = Vocabulary(
    NAMES, ("beach", "farm"), ("walk",), ("rain", "sun"), ("red", "blue"), ("red", "blue"), ("ball",), ("red", "blue"),
    ("beach", "farm"),
)  # fmt: skip
LOOK = {name: np.eye(WIDTH)[k] for k, name in enumerate(NAMES)}


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def observed(rng: np.random.Generator, who: tuple[str, ...], place: str, slip: float, captions: int) -> Observation:
    """Everything that networks could see in a picture that should show ``who``; wrong with probability ``slip``."""
    counts = {n: int((n in who) != (rng.random() < slip)) for n in NAMES}
    seen = [n for n in NAMES if counts[n]]
    where = place if rng.random() > slip else VOCABULARY.settings[int(rng.integers(2))]
    details = {f"scarf:{n}": VOCABULARY.scarf_colours[int(rng.integers(2))] for n in seen}
    features = rng.normal(size=WIDTH).astype(np.float32)
    looks = np.array([LOOK[n] + 0.6 * rng.normal(size=WIDTH) for n in seen]).reshape(-1, WIDTH)
    sure = np.array([[0.8 if n == s else 0.1 for n in NAMES] for s in seen], dtype=np.float32).reshape(-1, len(NAMES))
    background = unit(np.eye(WIDTH)[VOCABULARY.settings.index(where)] + 0.5 * rng.normal(size=WIDTH))
    return Observation(
        Reading(counts, where, dict.fromkeys(seen, "walk"), details, features, frozenset({where})),
        Figures(NAMES, np.zeros((len(seen), 4), dtype=np.float32), sure, unit(looks), background),
        f"{' and '.join(seen) or 'nobody'} at the {where} on day {rng.integers(9)}",
        rng.normal(size=captions),
        {NET: features},
    )


@cache
def make_story(k: int) -> list[FrameRecord]:
    """A story of three to six frames; every fifth one shares the cluster of the one before."""
    rng = np.random.default_rng(k)
    frames = int(rng.integers(3, 7))
    place = VOCABULARY.settings[int(rng.integers(2))]
    casts = [tuple(n for n in NAMES if rng.random() < 0.6) or ("Ann",) for _ in range(frames)]
    captions = tuple(f"{' and '.join(c)} walk at the {place}" for c in casts)
    records = []
    for t, cast in enumerate(casts):
        who = cast[: 1 + t % 2]
        mention = Mention(t, 0, 3, "she", who, "referential", distance=int(rng.integers(1, 4)), ambiguous=t % 2 == 0)
        explicit, drawn, true, other = (observed(rng, cast, place, slip, frames) for slip in (0.1, 0.3, 0.02, 0.5))
        new = NAMES[(NAMES.index(who[0]) + 1) % len(NAMES)]
        records.append(
            FrameRecord(
                f"story-{k}", t, f"cluster-{k - (k % 5 == 4)}", cast, place, {f"scarf:{n}": "red" for n in cast},
                (mention,) if t else (), drawn, explicit, true, other,
                Swap(who[0], new, observed(rng, (new,), place, 0.3, frames), bool(rng.random() < 0.8)) if t else None,
                tuple(n for n in cast if n not in who) if t else cast, t % 2 == 0, captions,
            )
        )  # fmt: skip
    return records


def instruments() -> Instruments:
    rng = np.random.default_rng(99)
    reference = FeatureReference("toy", rng.normal(size=(120, WIDTH)), np.arange(120) // 5)
    return Instruments(
        protocols=dict.fromkeys((needed for kind in kinds() for needed in kind.requires), NET),  # one sees everything
        vocabulary=VOCABULARY,
        settings=VOCABULARY.settings,
        pronoun_guess={"she": {"Ann": 0.7, "Cat": 0.3}},
        references={NET: reference},
        features=NET,
    )


def kinds() -> list[type[StoryMetric]]:
    """Every metric that the package offers and that says what it is called."""
    offered = {kind for kind in vars(metrics).values() if inspect.isclass(kind) and issubclass(kind, StoryMetric)}
    return sorted((kind for kind in offered if hasattr(kind, "name")), key=lambda kind: kind.name)


def shares(world: int) -> list[list[int]]:
    """Story numbers of each process: unequal shares in another order than the numbers', one of three empty."""
    every = list(range(STORIES))
    return {1: [every], 2: [every[::-2], every[-2::-2]], 3: [every[30:], [], every[29::-1]]}[world]


def outcome(metric: StoryMetric) -> dict[str, object]:
    """What a metric says of all processes' stories, exactly."""
    value = metric.compute()
    with metric.sync_context():
        score, details = metric.score(seed=3, draws=DRAWS), metric.details()
    return {
        "bits": value.double().numpy().tobytes().hex(),
        "score": json.loads(score.model_dump_json()),
        "details": json.loads(json.dumps(details, sort_keys=True)),
    }


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    for world in (3, 2, 1):
        if rank >= world:
            return
        dist.init_process_group("gloo", init_method=f"file://{folder}/world-{world}", rank=rank, world_size=world)
        found = {}
        for kind in kinds():
            metric = kind.build(instruments())
            for k in shares(world)[rank]:
                metric.update(make_story(k))
            found[kind.name] = outcome(metric)
        Path(folder, f"{world}-{rank}.json").write_text(json.dumps(found))
        dist.barrier()
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, object]]:
    """What one process says that never heard of others."""
    found = {}
    for kind in kinds():
        metric = kind.build(instruments())
        for k in range(STORIES):
            metric.update(make_story(k))
        found[kind.name] = outcome(metric)
    return found


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, object]]]:
    """What each process of each world says."""
    folder = tmp_path_factory.mktemp("worlds")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def differences(a: object, b: object, where: str = "") -> Iterator[str]:
    """Say where two nested results differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(a.get(key), b.get(key), f"{where}/{key}")
    elif json.dumps(a) != json.dumps(b):  # NaN equals itself here
        yield f"{where}: {a} != {b}"


def test_worlds_of_one_two_and_three_processes_say_the_same_bit_for_bit(alone, together):
    assert sorted(together) == ["1-0", "2-0", "2-1", "3-0", "3-1", "3-2"]
    for name, found in together.items():
        assert list(differences(alone, found, f"world and rank {name}")) == []


def test_the_stories_give_every_metric_something_to_measure(alone):
    """Else equality would be that of two blanks."""
    blank = {name for name, found in alone.items() if found["score"]["value"] is None}
    assert blank == set()
    assert len(alone) >= 10


def test_an_empty_share_is_an_empty_share():
    assert [len(share) for share in shares(3)].count(0) == 1
    for world in (1, 2, 3):
        assert sorted(k for share in shares(world) for k in share) == list(range(STORIES))


if __name__ == "__main__":
    mp.start_processes(worker, (sys.argv[1],), nprocs=3, start_method="fork")  # one import of everything, not four
