"""Writes an invented PororoSV release in each published layout: file names, keys, shapes and dtypes as there.

Every layout is written from the same clips, so that what is read back can be compared with what was written, and one
layout with another. Captions are made up here. The lists of starts are made as the published code makes them, by
walking the folders of strips as torchvision's ImageFolder does.
"""

import csv
import json
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 128
NAMES = ("Pororo", "Loopy", "Crong", "Eddy", "Poby", "Petty", "Tongtong", "Rody", "Harry")
EPISODES = {  # in story order; 12 clips and ep10 tell the lexicographic order from the numeric one
    "Pororo_ENGLISH1_1_ep1": 12,
    "Pororo_ENGLISH1_1_ep2": 6,
    "Pororo_ENGLISH1_1_ep10": 5,
    "Pororo_ENGLISH1_2_ep1": 7,
    "Pororo_The_Racing_Adventure_ep2": 6,
}
DOING = ("rolls a snowball", 'says, "it is cold"', "waves, and waves again", "looks for the cake; it is gone")
STARTS = 16  # sum of max(n - 4, 0)
SUBSETS = {"train": [0, 2, 5, 1, 9, 12, 15], "val": np.array([3, 10, 7]), "test": [4, 6, 8, 13]}  # not sorted, 2 unused


@dataclass(frozen=True)
class WrittenClip:
    episode: str
    number: int
    captions: tuple[str, ...]
    characters: tuple[str, ...]
    pictures: np.ndarray  # (n, 128, 128, 3) uint8, RGB

    @property
    def id(self) -> str:
        return f"{self.episode}/{self.number}"

    @property
    def key(self) -> str:
        """As descriptions.npy and labels.npy write the clip: with its series before it."""
        return f"{self.episode.rpartition('_ep')[0]}/{self.id}"

    def label(self) -> list[int]:
        return [int(name in self.characters) for name in NAMES]

    def strip(self) -> np.ndarray:
        """All sub-frames one below the other."""
        return np.concatenate(self.pictures, axis=0)


def clips() -> list[WrittenClip]:
    written = []
    for series, (episode, count) in enumerate(EPISODES.items()):
        for number in range(1, count + 1):
            shown = tuple(name for k, name in enumerate(NAMES) if k in (number % 9, (number + series) % 9))
            captions = [f"{' and '.join(shown)} {DOING[number % 4]} in scene {series}-{number}."]
            captions += [f"Nobody sees {shown[0]}."] * (number % 3)
            pictures = np.empty((2 + number % 4, SIDE, SIDE, 3), np.uint8)
            for k, picture in enumerate(pictures):  # red, green and blue all differ, so that no swap goes unseen
                picture[...] = (200 + k, 40 + number, 10 + series)
                picture[: SIDE // 2, :, 0] = np.arange(SIDE)
            written.append(WrittenClip(episode, number, tuple(captions), shown, pictures))
    return written


def write_table(root: Path, written: list[WrittenClip]) -> None:
    """descriptions.csv: UTF-8, CRLF, no header, rows of an episode and frame together."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "descriptions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([c.episode, c.number, text] for c in written for text in c.captions)


def write_strips(root: Path, written: list[WrittenClip]) -> None:
    write_table(root, written)
    for clip in written:
        path = root / f"{clip.key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clip.strip()).save(path)
    write_arrays(root, written)
    images, followings = walk(root)
    assert len(images) == STARTS
    np.save(root / "img_cache4.npy", np.array(images, dtype="S"))
    np.save(root / "following_cache4.npy", np.array(followings, dtype="S"))


def write_arrays(root: Path, written: list[WrittenClip]) -> None:
    """The ``.npy`` files that need no walk."""
    np.save(root / "descriptions.npy", np.array({c.key: list(c.captions) for c in written}, dtype=object))
    np.save(root / "labels.npy", np.array({c.key: np.array(c.label()) for c in written}, dtype=object))
    counter = {f"{episode.rpartition('_ep')[0]}/{episode}/": count for episode, count in EPISODES.items()}
    np.save(root / "frames_counter.npy", np.array(counter, dtype=object))
    write_ids(root, list(SUBSETS.values()))


def write_ids(root: Path, rows: list) -> None:
    ids = np.empty(len(rows), dtype=object)
    ids[:] = rows
    np.save(root / "train_seen_unseen_ids.npy", ids)


def walk(root: Path) -> tuple[list[str], list[list[str]]]:
    """Return img_cache4 and following_cache4 as the published code makes them (StoryViz pororo_data.py)."""
    images, followings = [], []
    for series in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        for folder, _, names in sorted(os.walk(root / series)):
            episode = Path(folder).name
            for name in sorted(names):
                k = int(name.removesuffix(".png"))
                if k <= EPISODES[episode] - 4:
                    images.append(f"{series}/{episode}/{name}")
                    followings.append([f"{series}/{episode}/{k + j}.png" for j in range(1, 5)])
    return images, followings


def write_storygptv(root: Path, written: list[WrittenClip]) -> None:
    """StoryGPT-V's folder; clips with an even number have masks and two segments, not in order."""
    for folder in ("video_frames_sampled_4x", "seg_mask_4x_comb"):
        (root / folder).mkdir(parents=True)
    annotations = {}
    for clip in written:
        name = clip.id.replace("/", "_")
        np_path = root / "video_frames_sampled_4x" / f"{name}.npy"
        np.save(np_path, clip.pictures)  # at 128 px: the reader takes any size
        segments = []
        if clip.number % 2 == 0:
            segments = [
                {"id": 3, "word": "snowman", "start": 3, "end": 4, "bbox": [70, 20, 120, 90]},
                {"id": 1, "word": clip.characters[0].lower(), "start": 0, "end": 1, "bbox": [8, 16, 64, 100]},
            ]
            for k in range(len(clip.pictures)):
                np.save(root / "seg_mask_4x_comb" / f"{name}-frame{k}.npy", mask())
        annotations[name] = {"captions": list(clip.captions), "segments": segments}
    (root / "cleaned_annotations.json").write_text(json.dumps(annotations), "utf-8")
    starts = [f"{episode}_{k}" for episode, count in EPISODES.items() for k in range(1, count - 3)]
    split = {"train": starts[:8], "val": starts[8:12], "test": starts[12:]}
    (root / "split.json").write_text(json.dumps(split), "utf-8")
    with (root / "labels.pkl").open("wb") as file:
        pickle.dump({clip.id.replace("/", "_"): clip.label() for clip in written}, file)


def mask() -> np.ndarray:
    instances = np.zeros((SIDE, SIDE), np.int64)
    instances[16:100, 8:64] = 1
    instances[20:90, 70:120] = 3
    return instances
