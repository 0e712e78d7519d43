"""Writes an invented FlintstonesSV release in each published layout: file names, keys, shapes and dtypes as there.

Every layout is written from the same clips, so that what is read back can be compared with what was written, and one
layout with another. Captions are made up here.
"""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

VIDEO_FRAMES = 75
SAMPLED = (0, 18, 37, 56, 74)  # which of the 75 the sampled layouts keep; the third is the middle one
NAMES = ("Wilma", "Fred", "Betty", "Barney", "Dino", "Pebbles", "Mr Slate")
EPISODES = {"s_01_e_01": ("train", 6), "s_02_e_27": ("val", 5), "s_06_e_25": ("test", 7)}
CAPTIONS = (
    "Fred walks into the kitchen. ",
    "Fred and Barney look at a  map.\nBarney points.",
    "Wilma holds a bowl – it is hot.",
    "Mr Slate talks to Fred's friend, a policeman.",
    "A dinosaur sleeps.",
)
PEOPLE = (("fred",), ("fred", "barney"), ("wilma",), ("mr slate ", "policeman", "fred"), ())
SETTINGS = ("kitchen", "quarry", "Fred's living room")


@dataclass(frozen=True)
class Person:
    id: str
    label: str
    box: tuple[int, int, int, int] | None  # on the 128-px canvas, in the middle picture


@dataclass(frozen=True)
class WrittenClip:
    id: str
    episode: str
    subset: str
    caption: str
    setting: str
    people: tuple[Person, ...]
    colour: int

    def video(self) -> np.ndarray:
        """All 75 pictures: a colour of the clip's own, a gradient, and the number of the picture in the red channel."""
        video = np.empty((VIDEO_FRAMES, 128, 128, 3), np.uint8)
        video[..., 0] = np.arange(VIDEO_FRAMES, dtype=np.uint8)[:, None, None]
        video[..., 1] = np.arange(128, dtype=np.uint8)[None, :, None]
        video[..., 2] = self.colour
        return video

    def boxes(self) -> list[tuple[int, int, int, int]]:
        return [person.box for person in self.people if person.box is not None]

    def instances(self) -> np.ndarray:
        """The map of the middle picture: each box filled, later ones on top."""
        instances = np.zeros((128, 128), np.int64)
        for k, (x0, y0, x1, y1) in enumerate(self.boxes(), start=1):
            instances[y0:y1, x0:x1] = k
        return instances

    def labels(self) -> list[int]:
        return [int(name.lower() in {p.label.strip() for p in self.people}) for name in NAMES]

    def row(self) -> dict:
        """The clip as the annotation file has it, with keys that no reader uses."""

        def character(person: Person) -> dict:
            rectangles = []
            if person.box is not None:
                x0, y0, x1, y1 = person.box
                rectangles = [[0, 0, 5, 5], [x0, y0, x1, y1], [1, 1, 6, 6]]
            return {
                "globalID": person.id,
                "entityLabel": person.label,
                "labelNPC": "fred",
                "entitySpan": [0, 4],
                "rectangles": rectangles,
            }

        return {
            "globalID": self.id,
            "description": self.caption,
            "setting": self.setting,
            "characters": [character(person) for person in self.people],
            "objects": [{"globalID": f"{self.id}_obj_0", "entityLabel": "map", "rectangles": []}],
            "parse": {"pos_tags": ["NN"] * 20},
        }


def clips() -> list[WrittenClip]:
    """Return 18 clips of three episodes, one a subset."""
    written = []
    for episode, (subset, count) in EPISODES.items():
        for k in range(count):
            number = len(written)
            start = 1000 + 100 * k
            clip_id = f"{episode}_shot_{start:06d}_{start + 74:06d}"
            people = tuple(
                Person(f"{clip_id}_char_{j}", label, None if j == 2 else (8 + 30 * j, 10 + k, 60 + 30 * j, 100 + k))
                for j, label in enumerate(PEOPLE[number % len(PEOPLE)])
            )
            caption, setting = CAPTIONS[number % len(CAPTIONS)], SETTINGS[number % len(SETTINGS)]
            written.append(WrittenClip(clip_id, episode, subset, caption, setting, people, colour=10 * number))
    return written


def split(written: list[WrittenClip]) -> dict[str, list[str]]:
    """Return the split in an order that is not sorted, as the published file's."""
    return {s: [clip.id for clip in reversed(written) if clip.subset == s] for s in ("train", "val", "test")}


def following(written: list[WrittenClip], m: int) -> dict[str, list[str]]:
    ids = sorted(clip.id for clip in written)
    return {clip_id: ids[k + 1 : k + 1 + m] for k, clip_id in enumerate(ids)}


def write_text(root: Path, written: list[WrittenClip], split_file: str = "train-val-test_split.json") -> None:
    root.mkdir(parents=True, exist_ok=True)
    rows = [clip.row() for clip in reversed(written)]
    (root / "flintstones_annotations_v1-0.json").write_text(json.dumps(rows), encoding="utf-8")
    (root / split_file).write_text(json.dumps(split(written)))


def write_pickle(path: Path, content: object) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file)


def write_ai2(root: Path, written: list[WrittenClip]) -> None:
    write_text(root, written)
    for folder in ("video_frames", "entity_segmentation", "entity_tracking"):
        (root / folder).mkdir()
    for clip in written:
        np.save(root / "video_frames" / f"{clip.id}.npy", clip.video())
        for person in clip.people:
            if person.box is None:
                continue
            x0, y0, x1, y1 = person.box
            masks = np.zeros((VIDEO_FRAMES, 128, 128), np.uint8)
            masks[:, y0:y1, x0:x1] = 1
            np.savez_compressed(root / "entity_segmentation" / f"{person.id}_segm.npy.npz", masks)
            track = np.tile(np.array(person.box, np.float64), (VIDEO_FRAMES, 1))
            track[:30] += 2.0  # the box moves: only the middle pictures have the annotated one
            np.save(root / "entity_tracking" / f"{person.id}.npy", track)


def write_storydalle(root: Path, written: list[WrittenClip]) -> None:
    write_text(root, written)
    (root / "video_frames_sampled").mkdir()
    for clip in written:
        np.save(root / "video_frames_sampled" / f"{clip.id}.npy", clip.video()[list(SAMPLED)])
    write_pickle(root / "labels.pkl", {clip.id: clip.labels() for clip in written})
    write_pickle(root / "following_cache4.pkl", following(written, 4))


def write_storygptv(root: Path, written: list[WrittenClip]) -> None:
    write_text(root, written, "split.json")
    for folder in ("video_frames_sampled_4x", "seg_mask_4x_comb"):
        (root / folder).mkdir()
    cleaned = {}
    for clip in written:
        pictures = clip.video()[list(SAMPLED)].repeat(4, axis=1).repeat(4, axis=2)
        np.save(root / "video_frames_sampled_4x" / f"{clip.id}.npy", pictures)
        np.save(root / "seg_mask_4x_comb" / f"{clip.id}-frame2.npy", clip.instances().repeat(4, 0).repeat(4, 1))
        boxed = [person for person in clip.people if person.box is not None]
        cleaned[clip.id] = {
            "caption": clip.caption.strip(),
            "tokens": clip.caption.split(),
            "segments": [
                {"id": k, "word": p.label, "start": 0, "end": 1, "bbox": list(p.box)} for k, p in enumerate(boxed, 1)
            ],
        }
    (root / "cleaned_annotations.json").write_text(json.dumps(cleaned))
    write_pickle(root / "labels.pkl", {clip.id: clip.labels() for clip in written})
    write_pickle(root / "following_cache3.pkl", following(written, 3))
    backgrounds = {clip.id: [int(k == SETTINGS.index(clip.setting)) for k in range(323)] for clip in written}
    write_pickle(root / "labels_bg.pkl", {"label": backgrounds})


def write_captions(root: Path, written: list[WrittenClip]) -> None:
    """Write split and test captions alone; as in the public file, the last four clips of an episode have none."""
    root.mkdir(parents=True)
    (root / "train-val-test_split.json").write_text(json.dumps(split(written)))
    test = sorted((clip for clip in written if clip.subset == "test"), key=lambda clip: clip.id)[:-4]
    rows = [{"id": k, "image": f"{clip.id}.png", "text": clip.caption} for k, clip in enumerate(test, 1)]
    (root / "test_captions.json").write_text(json.dumps(rows))


WRITERS = {"ai2": write_ai2, "storydalle": write_storydalle, "storygptv": write_storygptv, "captions": write_captions}
