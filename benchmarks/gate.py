"""How often the gate cries wolf, and how often it catches a planted loss.

The pair is two seeds of one model on the same stories: what differs between them is noise that a gate must not report.

- Null pairs: stories are drawn with replacement, and within each story it is a coin's choice which run is base. Nothing
  differs in expectation, and all dependence (frames of a story, metrics of a frame, the two seeds) stays. Every alarm
  is false.
- Planted loss: in such a pair, frames of the new side that show exactly the expected characters lose one of them, or
  show a stranger in its place, with a probability that lowers ``char_acc`` by 3 points in expectation.

Everything is computed by the harness itself: ``FrameRecord`` from ``frames.parquet``, the metrics' rows and statistics,
values without each cluster, ``storybench.regression.judged`` under the shipped gate. Conditional resolution needs the
runs on explicit captions with the same seeds (``--base-explicit``, ``--new-explicit``); without them it is left out.
Without runs a synthetic pair is made, with a similar accuracy and discordance.

    python benchmarks/gate.py --base RUN --new RUN [--base-explicit RUN --new-explicit RUN] [--out FILE] [--page FILE]

Prints one JSON object; exits with status 1 if more than 5 % of the null pairs of all stories raise an alarm, or less
than 95 % of the planted losses are caught.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import beta

from storybench.metrics.base import StoryMetric
from storybench.metrics.characters import CharacterAccuracy
from storybench.metrics.record import FrameRecord
from storybench.metrics.reference import ConditionalResolution
from storybench.perception.observation import Observation, Reading
from storybench.records.score import Score
from storybench.records.store import load_record
from storybench.regression.comparing import Compared, judged
from storybench.regression.gate import Gate, load_gate
from storybench.reproduction.tables import KINDS, characters_of, load_frames, records
from storybench.statistics import bootstrap
from storybench.statistics.left_out import LeftOut
from storybench.statistics.power import minimum_detectable_difference
from storybench.statistics.statistic import leave_one_out

SIMULATIONS = 200
SIZES = (32, 100, 200, 500)
LOSS = 0.03  # of char_acc, planted
ALARMS, POWER = 0.05, 0.95
NAMES = ("Ann", "Bob", "Cat", "Dan", "Eve", "Fay", "Gus")  # of the synthetic pair

Story = list[FrameRecord]


class Pair(NamedTuple):
    """Two runs on the same stories, judged."""

    base: list[Story]
    new: list[Story]
    metrics: list[StoryMetric]
    about: dict

    def rows(self, side: list[Story]) -> dict[str, np.ndarray]:
        """Return metric -> sums per story, (n, S)."""
        return {m.name: np.array([m.row(story) for story in side], dtype=np.float64) for m in self.metrics}


def read(run: Path, names: list[str], explicit: Path | None) -> list[Story]:
    """Return the judged frames of a run, with those drawn from explicit captions beside them."""
    stories = list(records(load_frames(run), names))
    if explicit is None:
        return stories
    twins = {story[0].story: story for story in records(load_frames(explicit), names)}
    stories = [story for story in stories if story[0].story in twins]
    return [
        [replace(r, explicit=Observation(twin.reading)) for r, twin in zip(story, twins[story[0].story], strict=True)]
        for story in stories
    ]


def real_pair(base: Path, new: Path, twins: tuple[Path | None, Path | None]) -> Pair:
    """Return the pair of two run folders, on the stories that both have."""
    names = characters_of(load_frames(base), load_frames(new))
    sides = read(base, names, twins[0]), read(new, names, twins[1])
    both = {s[0].story for s in sides[0]} & {s[0].story for s in sides[1]}
    assert both, "the runs are about other stories"
    sides = tuple([s for s in side if s[0].story in both] for side in sides)
    about = {}
    for label, run in {"base": base, "new": new, "base_explicit": twins[0], "new_explicit": twins[1]}.items():
        if run is not None:
            record = load_record(run)
            about[label] = {
                "model": record.model.name,
                "fingerprint": record.fingerprint,
                "dataset": record.dataset.name,
                "subset": record.split,
                "text": record.text,
                "seed": record.seed,
                "stories": record.dataset.stories,
                "data_hash": record.dataset.hash,
            }
    about["stories"] = len(both)
    kinds = [*KINDS, *([ConditionalResolution] if all(twins) else [])]
    return Pair(*sides, [kind() for kind in kinds], about)


def synthetic_pair(stories: int = 500, seed: int = 0) -> Pair:
    """Return two invented seeds: each frame has a chance of its own to go wrong, in both seeds alike."""
    rng = np.random.default_rng(seed)
    hard = rng.beta(
        0.04, 0.43, (stories, 5)
    )  # 8.5 % on average; most frames nearly never go wrong, a few nearly always
    tables: list[list[dict]] = [[], []]
    for i in range(stories):
        cast = rng.choice(NAMES, 3, replace=False)
        for k in range(5):
            expected = sorted(cast[: rng.integers(1, 4)])
            referred = [{"surface": "she", "characters": [expected[0]], "distance": 1, "ambiguous": False}]
            for table in tables:
                seen = list(expected)
                if rng.random() < hard[i, k]:
                    seen = seen[1:] if rng.random() < 0.7 else [*seen[1:], str(rng.choice(NAMES))]
                place = "beach" if rng.random() > hard[i, k] / 4 else "farm"
                table.append(
                    {
                        "story": f"s{i:04d}",
                        "frame": k,
                        "cluster": f"s{i:04d}",
                        "expected": expected,
                        "predicted_counts": json.dumps(dict.fromkeys(seen, 1)),
                        "setting_expected": "beach",
                        "setting_predicted": place,
                        "mentions": json.dumps(referred if k else []),
                    }
                )
    sides = [list(records(pd.DataFrame(table), NAMES)) for table in tables]
    about = {"base": {"model": "synthetic", "seed": 0}, "new": {"model": "synthetic", "seed": 1}}
    return Pair(*sides, [kind() for kind in KINDS], about)


def left_out(rows: np.ndarray, metric: StoryMetric) -> LeftOut:
    """Return what a run whose stories have these sums would keep."""
    units = tuple(f"{i:016x}" for i in range(len(rows)))
    value = bootstrap.point(rows, metric.statistic)
    return LeftOut(value, units, leave_one_out(rows, metric.statistic), np.ones(len(rows)))


def spoilt(story: Story, rng: np.random.Generator, chance: float) -> Story | None:
    """Return a story in which right frames go wrong with the given chance; None if none did."""
    out, changed = [], False
    for r in story:
        right = r.expected_set == r.reading.characters and bool(r.expected)
        if not (right and rng.random() < chance):
            out.append(r)
            continue
        changed = True
        counts = dict(r.reading.counts)
        counts[str(rng.choice(sorted(r.expected_set)))] = 0
        strangers = sorted(set(counts) - r.expected_set)
        if strangers and rng.random() < 0.5:
            counts[str(rng.choice(strangers))] = 1
        out.append(replace(r, seen=Observation(Reading(counts, r.reading.setting))))
    return out if changed else None


def simulate(pair: Pair, gate: Gate, size: int, loss: float, simulations: int, seed: int) -> dict:
    """Return how often the gate raises an alarm, and the verdicts of each metric."""
    rng = np.random.default_rng([seed, size, round(loss * 10_000)])
    sides, whole = (pair.base, pair.new), [pair.rows(pair.base), pair.rows(pair.new)]
    scores = {m.name: described(m) for m in pair.metrics}
    accuracy = np.mean([bootstrap.point(rows["char_acc"], CharacterAccuracy().statistic) for rows in whole])
    shown = [
        [r.expected_set == r.reading.characters and bool(r.expected) for r in story] for side in sides for story in side
    ]
    chance = loss / np.mean([right for story in shown for right in story]) if loss else 0.0  # of frames with somebody
    alarms, verdicts, moved = 0, {name: Counter() for name in gate.metrics}, Counter()
    for _ in range(simulations):
        index = rng.integers(0, len(pair.base), size)
        coin = rng.integers(0, 2, size)
        kept = {m.name: [np.stack([whole[c ^ s][m.name][i] for i, c in zip(index, coin, strict=True)]) for s in (0, 1)]
                for m in pair.metrics}  # fmt: skip
        if loss:
            for at, (i, c) in enumerate(zip(index, coin, strict=True)):
                story = spoilt(sides[c ^ 1][i], rng, chance)
                if story is not None:
                    for m in pair.metrics:
                        kept[m.name][1][at] = m.row(story)
        found = judged(*({m.name: left_out(kept[m.name][s], m) for m in pair.metrics} for s in (0, 1)), gate, scores)
        gated = [each for each in found if each.margin is not None]
        for each in gated:
            moved[each.metric] += each.difference.value / simulations
            verdicts[each.metric][str(each.verdict)] += 1
        alarms += any(each.verdict == "regression" for each in gated)
    low, high = binomial(alarms, simulations)
    return {
        "stories": size,
        "loss": loss,
        "simulations": simulations,
        "alarms": alarms,
        "rate": alarms / simulations,
        "low": low,
        "high": high,
        "mean_difference": dict(moved),
        "verdicts": {name: dict(sorted(count.items())) for name, count in verdicts.items() if count},
        "char_acc": float(accuracy),
    }


def described(metric: StoryMetric) -> Score:
    """Return what the gate needs to know of a metric."""
    return metric.absent("").model_copy(update={"value": 0.0})


def binomial(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of Clopper and Pearson."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def observed(pair: Pair, gate: Gate, stories: int) -> dict:
    """Return the pair as it is: difference, standard error, and the least loss that so many stories show."""
    sides = [{m.name: left_out(rows[m.name], m) for m in pair.metrics} for rows in map(pair.rows, pair[:2])]
    found = judged(*sides, gate, {m.name: described(m) for m in pair.metrics})
    return {each.metric: noise(each, stories / len(pair.base)) for each in found if each.margin is not None}


def noise(each: Compared, scale: float) -> dict:
    """Return how noisy the difference of one metric is, with ``scale`` times as many stories as the pair has."""
    error = (each.difference.standard_error or 0.0) / scale**0.5
    units = round(each.difference.units * scale)
    least = minimum_detectable_difference(error, units, alpha=1 - each.level) if error else 0.0
    return {
        "base": each.base,
        "new": each.new,
        "difference": each.difference.value,
        "standard_error": error,
        "minimum_detectable_difference": least,
        "margin": each.margin,
        "units": units,
        "verdict": each.verdict,
    }


def tables(result: dict) -> dict[str, str]:
    """Return the Markdown tables that docs/gate.md shows, by the name of their marks."""
    margins = ["| metric | seed 0 | seed 1 | standard error of the difference | least detectable loss | margin |"]
    margins += ["|---|--:|--:|--:|--:|--:|"]
    for metric, m in result["pair"].items():
        keys = ("base", "new", "standard_error", "minimum_detectable_difference", "margin")
        cells = [f"{100 * m[key]:.{1 if key in ('base', 'new') else 2}f}" for key in keys]
        margins.append(f"| `{metric}` | {' | '.join(cells)} |")
    loss = f"{100 * result['planted'][0]['loss']:g}"
    power = [f"| stories | alarms without a difference | {loss} points of `char_acc` lost: caught |", "|--:|--:|--:|"]
    for null, planted in zip(result["null"], result["planted"], strict=True):
        cells = (f"{100 * r['rate']:.1f} % [{100 * r['low']:.1f}, {100 * r['high']:.1f}]" for r in (null, planted))
        power.append(f"| {null['stories']} | {' | '.join(cells)} |")
    return {"pair": told(result), "margins": "\n".join(margins), "power": "\n".join(power)}


def told(result: dict) -> str:
    """Return in a sentence which pair was measured."""
    base, new = (result["inputs"][side] for side in ("base", "new"))
    largest = max(run["stories"] for run in result["null"])
    said = f"Pair: `{base['model']}`, seeds {base['seed']} and {new['seed']}"
    if "stories" in base:
        said += f", {result['inputs']['stories']} stories of {base['dataset']} {base['subset']}"
        said += f" (fingerprints `{base['fingerprint']}` and `{new['fingerprint']}`)"
        if result["inputs"]["stories"] != largest:
            said += f"; standard errors are scaled to {largest} stories"
    if result["inputs"].get("base_explicit") == result["inputs"].get("new_explicit", {}):
        said += "; both are conditioned on one run on explicit text"
    return said + "."


def write_page(page: Path, result: dict) -> None:
    """Write the tables between the marks of a page anew."""
    text = page.read_text()
    for name, table in tables(result).items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"{page} has no {begin} ... {end}"
        text = f"{before}{begin}\n{table}\n{end}{after}"
    page.write_text(text)


def main() -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("base", "new", "base-explicit", "new-explicit"):
        parser.add_argument(f"--{side}", type=Path, help="run folder")
    parser.add_argument("--gate", default="default")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--loss", type=float, default=LOSS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path, help="Markdown page whose tables are written anew")
    asked = parser.parse_args()
    if (asked.base is None) != (asked.new is None):
        parser.error("give --base and --new, or neither")
    started = time.perf_counter()
    twins = asked.base_explicit, asked.new_explicit
    pair = synthetic_pair(seed=asked.seed) if asked.base is None else real_pair(asked.base, asked.new, twins)
    gate = load_gate(asked.gate)
    runs = [
        simulate(pair, gate, size, loss, asked.simulations, asked.seed)
        for loss in (0.0, asked.loss)
        for size in asked.sizes
    ]
    largest = max(asked.sizes)
    null, planted = (next(r for r in runs if r["stories"] == largest and r["loss"] == x) for x in (0.0, asked.loss))
    result = {
        "inputs": pair.about,
        "gate": gate.model_dump(mode="json"),
        "seed": asked.seed,
        "pair": observed(pair, gate, max(asked.sizes)),
        "null": [r for r in runs if not r["loss"]],
        "planted": [r for r in runs if r["loss"]],
        "passed": null["rate"] <= ALARMS and planted["rate"] >= POWER,
        "seconds": round(time.perf_counter() - started, 1),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")
    if asked.page is not None:
        write_page(asked.page, result)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
