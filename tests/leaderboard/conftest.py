"""Small boards with known numbers: real files in the real schema, written by the harness's own functions."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from storybench.board.entry import Entry, ModelCard, Verification
from storybench.board.filling import write_row
from storybench.board.row import FRAMES, THUMBS, row_name
from storybench.data.toonsv.dataset import ToonSV
from storybench.records.left_out import save_left_out
from storybench.records.record import Coverage, DatasetInfo, Environment, ModelInfo, RunRecord
from storybench.records.score import Score
from storybench.statistics.left_out import LeftOut

MINI = "toonsv-mini-v1"
HASHES = {  # configs/benchmark/toonsv-mini-v1.yaml
    "referential": "1dc1b2fcacaf2186fbdd61bd2c518f1c29dd665149ec8741023c38c54a9fc6b8",
    "explicit": "e84a0caf2946e77f203d2248a5094ecaef691d33602f0ec4b3624cc04722bf64",
}
STORIES = 32


@dataclass
class Maker:
    """Adds rows to one board."""

    root: Path
    benchmark: str = MINI
    stories: list = field(default_factory=lambda: list(ToonSV("mini")))

    def add(
        self,
        name,
        *,
        chance=0.5,
        seed=0,
        text="referential",
        seconds=0.5,
        oracle=False,
        missing=(),
        thumbs=False,
        **more,
    ):
        """Write a row whose frames are right with probability ``chance``; returns its folder.

        Args:
            name: Of the model.
            chance: Of a frame to be right; the values of all metrics follow.
            seed: Of the draws.
            text: Text mode.
            seconds: A frame.
            oracle: Whether it is shown the truth.
            missing: Metrics that were not run.
            thumbs: Whether to write strips.
            more: Fields of the card or the entry, and ``level``.
        """
        right = np.random.default_rng(seed).random((STORIES, 5)) < chance
        per_story = right.mean(1)
        scores, kept = {}, {}
        for metric, sign in (("char_acc", 1), ("antecedent_acc", 1), ("frechet", -1)):
            values = per_story if sign > 0 else 3 - 2 * per_story
            protocol = more.get("protocol", f"{metric}/v1@test")
            if metric in missing:
                scores[metric] = _absent(protocol, sign > 0)
                continue
            scores[metric] = _score(values, protocol, sign > 0)
            kept[metric] = _left_out(values)
        scores["lpips"] = _absent("lpips/v1@none", False)
        folder = self.root / self.benchmark / row_name(name, text)
        folder.mkdir(parents=True, exist_ok=True)
        write_row(folder, _entry(self.benchmark, name, more), _record(name, text, scores, seconds, oracle))
        save_left_out(kept, folder)
        self.frames(right).to_parquet(folder / FRAMES)
        if thumbs:
            _thumbs(folder / THUMBS, [s.id for s in self.stories])
        return folder

    def frames(self, right):
        """Return the frames table: a wrong frame shows nobody."""
        rows = []
        for s, story in enumerate(self.stories):
            for k, frame in enumerate(story.frames):
                mentions = [m for m in frame.captions["referential"].mentions if m.kind == "referential"]
                names = sorted(set(frame.characters))
                seen = names if right[s, k] else []
                told = [
                    {
                        "surface": m.surface,
                        "characters": list(m.characters),
                        "distance": m.distance,
                        "ambiguous": m.ambiguous,
                        "resolved": set(m.characters) <= set(seen),
                    }
                    for m in mentions
                ]
                rows.append(
                    {
                        "story": story.id,
                        "frame": k,
                        "cluster": story.id,
                        "expected": names,
                        "predicted": seen,
                        "correct": bool(right[s, k]) or not names,
                        "setting_correct": bool(right[s, k]),
                        "mentions": json.dumps(told),
                        "mentions_total": len(told),
                        "mentions_resolved": sum(m["resolved"] for m in told),
                        "reason": "" if right[s, k] or not names else f"expected {' and '.join(names)}, found nobody",
                    }
                )
        return pd.DataFrame(rows)


@pytest.fixture
def maker(tmp_path):
    """An empty board to add rows to."""
    return Maker(tmp_path / "board")


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    """A board with everything that a row can be; nobody changes it."""
    made = Maker(tmp_path_factory.mktemp("session") / "board")
    made.add("ground_truth", chance=1.0, oracle=True, pinned="ceiling", title="True frames", level="regenerated")
    made.add("shuffled", chance=0.05, oracle=True, pinned="floor", title="Strangers", level="regenerated")
    made.add("alpha", chance=0.9, seed=1, title="Alpha", authors=["Ada Lovelace"], level="regenerated", thumbs=True)
    made.add("beta", chance=0.6, seed=2, title="Beta", licence="MIT", seconds=0.1, level="re-scored", thumbs=True)
    made.add("gamma", chance=0.58, seed=3, title="Gamma", seconds=2.0, missing=("antecedent_acc",), thumbs=True)
    made.add("gone", chance=0.99, seed=4, title="Gone", withdrawn="its authors asked for it")
    made.add("alpha", chance=0.95, seed=5, title="Alpha", text="explicit", level="regenerated", thumbs=True)
    return made.root


def _score(values, protocol, higher):
    value, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return Score(
        value=value,
        low=value - 2 * error,
        high=value + 2 * error,
        standard_error=error,
        floor=0.1,
        ceiling=1.0,
        clusters=len(values),
        unit="frames",
        fraction=higher,
        n=5 * len(values),
        higher_is_better=higher,
        protocol=protocol,
    )


def _absent(protocol, higher):
    return Score(value=None, n=0, higher_is_better=higher, protocol=protocol, reason="its network is not here")


def _left_out(values):
    k = len(values)
    return LeftOut(
        float(values.mean()), tuple(f"{i:04d}" for i in range(k)), (values.sum() - values) / (k - 1), np.ones(k)
    )


def _entry(benchmark, name, more):
    card = {"authors": ["Somebody"], "licence": "Apache-2.0", "training_data": "train", "saw_test_stories": False}
    card |= {k: v for k, v in more.items() if k in ModelCard.model_fields}
    checked = Verification(
        level=more.get("level", "self-reported"), sampled_by="them", scored_by="us", date="2026-01-02T03:04:05+00:00"
    )
    extra = {k: v for k, v in more.items() if k in ("pinned", "withdrawn", "warnings")}
    return Entry(benchmark=benchmark, card=ModelCard(name=name, **card), verification=checked, **extra)


def _record(name, text, scores, seconds, oracle):
    distance = {str(d): {"value": 0.9 - d / 20, "low": 0.8 - d / 20, "high": 0.95, "n": 30} for d in (1, 2, 3)}
    return RunRecord(
        fingerprint=f"{abs(hash((name, text))):016x}"[:16],
        fingerprint_version=1,
        benchmark_version="0.1.0",
        status="success",
        model=ModelInfo(name=name, oracle=oracle),
        dataset=DatasetInfo(name="toonsv", hash=HASHES[text], stories=STORIES, frames=5 * STORIES),
        split="mini",
        text=text,
        seed=0,
        scores=scores,
        details={
            "characters": {"Zara": {"precision": 0.9, "recall": 0.8, "f1": 0.85, "frames": 40}},
            "antecedent_by_distance": distance,
            "antecedent_by_pronoun": {"she": distance["1"], "they:several": distance["2"]},
        },
        coverage=Coverage(expected=160, ok=160, fraction=1.0),
        seconds_per_frame=seconds,
        batch_size=1,
        environment=Environment(
            python="3.11", platform="here", device="cpu", packages={"torch": "2"}, git_commit="abc"
        ),
        command=f"storybench run model={name}",
        started="2026-01-01T00:00:00+00:00",
    )


def _thumbs(folder, names):
    from PIL import Image

    folder.mkdir()
    for k, name in enumerate(names):
        Image.new("RGB", (480, 96), (k * 7 % 255, 80, 120)).save(folder / f"{name}.webp")
