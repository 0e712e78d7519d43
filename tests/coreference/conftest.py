"""The real captions, where they lie beside the repository; they have no licence and are not part of it."""

import csv
import json
from pathlib import Path

import pytest

from storybench.data.windows import story_windows

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def _flintstones() -> tuple[dict[str, list[str]], dict[str, str]]:
    split = json.loads((REAL / "flintstones" / "train-val-test_split.json").read_text("utf-8"))
    rows = json.loads((REAL / "flintstones" / "test_captions.json").read_text("utf-8"))
    episodes: dict[str, list[str]] = {}
    for clip in sorted(split["test"]):
        episodes.setdefault(clip[: len("s_01_e_01")], []).append(clip)
    return episodes, {row["image"].removesuffix(".png"): row["text"] for row in rows}


def _pororo() -> tuple[dict[str, list[str]], dict[str, str]]:
    episodes: dict[str, list[str]] = {}
    captions: dict[str, str] = {}
    with (REAL / "pororo" / "descriptions.csv").open(encoding="utf-8", newline="") as file:
        for episode, frame, caption in csv.reader(file):
            if f"{episode}/{frame}" not in captions:
                captions[f"{episode}/{frame}"] = caption
                episodes.setdefault(episode, []).append(f"{episode}/{frame}")
    return episodes, captions


@pytest.fixture(scope="session")
def real_captions():
    """Return a function (data set, frames) -> captions of every story all of whose frames have one."""

    def stories(dataset: str, frames: int = 5) -> list[tuple[str, ...]]:
        if not (REAL / dataset).is_dir():
            pytest.skip("the real captions are not here")
        episodes, captions = _flintstones() if dataset == "flintstones" else _pororo()
        windows = story_windows(episodes, frames)
        return [tuple(captions[c] for c in window) for window in windows if all(c in captions for c in window)]

    return stories
