"""The text files of a FlintstonesSV release: annotation, split and captions, checked as they are read.

All layouts share them. ``flintstones_annotations_v1-0.json`` is a list of clips; a split file names the clips of
train, val and test; a captions file (``test_captions.json``) has a caption a clip and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from storybench.data.clips import Box, Clip
from storybench.data.facts import load_facts
from storybench.data.safe import read_json
from storybench.errors import DataError

ANNOTATION_FILE = "flintstones_annotations_v1-0.json"
SPLIT_FILE = "train-val-test_split.json"
SUBSETS = ("train", "val", "test")
CANVAS_PX = 128  # side of the canvas that rectangles are drawn on
CLIP_ID = re.compile(r"s_\d\d_e_\d\d_shot_\d{6}_\d{6}")
_UNUSED = frozenset({"parse", "objects", "keyFrames"})  # most of the file, and no layout needs it


class Annotation(NamedTuple):
    """A clip and, for each of its boxes, the id of the entity in it."""

    clip: Clip
    entities: tuple[str, ...]


def episode_of(clip_id: str) -> str:
    """Return season and episode of a clip: ``s_01_e_02`` of ``s_01_e_02_shot_000000_000074``."""
    return "_".join(clip_id.split("_")[:4])


def read_annotations(path: Path) -> dict[str, Annotation]:
    """Return the annotated clips by id, in the order of the file.

    Raises:
        DataError: If the file cannot be read, or a clip lacks what every reader uses.
    """
    rows = read_json(path, drop=_UNUSED)
    if not isinstance(rows, list):
        raise DataError(f"'{path}' is not an annotation: expected a list of clips.")
    found: dict[str, Annotation] = {}
    for number, row in enumerate(rows):
        try:
            annotation = _annotation(row)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"Clip {number} of '{path}' cannot be read ({type(error).__name__}: {error}): expected globalID, "
                "description, setting and characters with entityLabel as in the AI2 release; take the file again."
            ) from error
        if annotation.clip.id in found:
            raise DataError(f"'{path}' holds clip {annotation.clip.id} twice: take the file again.")
        found[annotation.clip.id] = annotation
    return found


def read_split(path: Path, known: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Return subset -> clip ids as listed.

    Args:
        path: The split file: ``{"train": [...], "val": [...], "test": [...]}``.
        known: Clips of the release; None if only the split file tells.

    Raises:
        DataError: If a subset is missing, an id is not a clip of the release, or is listed twice.
    """
    content = read_json(path)
    if not isinstance(content, dict) or any(not isinstance(content.get(subset), list) for subset in SUBSETS):
        raise DataError(f"'{path}' is not a split file: expected lists of clip ids under train, val and test.")
    owner: dict[str, str] = {}
    unknown: list[str] = []
    for subset in SUBSETS:
        for clip_id in content[subset]:
            if not isinstance(clip_id, str) or not CLIP_ID.fullmatch(clip_id):
                raise DataError(
                    f"'{path}' lists {clip_id!r} under {subset}: expected ids such as s_01_e_01_shot_000000_000074."
                )
            if clip_id in owner:
                where = f"twice under {subset}" if owner[clip_id] == subset else f"under {owner[clip_id]} and {subset}"
                raise DataError(f"'{path}' lists clip {clip_id} {where}: a clip belongs to one subset; mend the file.")
            owner[clip_id] = subset
            if known is not None and clip_id not in known:
                unknown.append(clip_id)
    if unknown:
        raise DataError(
            f"'{path}' lists {len(unknown)} of {len(owner)} clips that the annotation beside it does not know, first "
            f"{unknown[0]}: take split and annotation from one release."
        )
    return {subset: tuple(content[subset]) for subset in SUBSETS}


def read_captions(path: Path, known: Collection[str]) -> dict[str, str]:
    """Return clip id -> caption from a captions file: a list of ``{"image": "<clip id>.png", "text": caption}``.

    Raises:
        DataError: If a row is of another form, or its clip is not in ``known`` or comes twice.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"'{path}' is not a captions file: expected a list of rows with image and text.")
    captions: dict[str, str] = {}
    for number, row in enumerate(rows):
        image, text = (row.get("image"), row.get("text")) if isinstance(row, dict) else (None, None)
        if not isinstance(image, str) or not isinstance(text, str):
            raise DataError(f"Row {number} of '{path}' has no image and text: expected both as text.")
        clip_id = image.removesuffix(".png")
        if clip_id not in known:
            raise DataError(
                f"Row {number} of '{path}' has a caption for {clip_id}, which the split file beside it does not list: "
                "take captions and split of one release."
            )
        if clip_id in captions:
            raise DataError(f"'{path}' has two captions for {clip_id}: expected one.")
        captions[clip_id] = text
    return captions


def cast_shown(labels: Collection[str]) -> tuple[str, ...]:
    """Return the cast members among entity labels, in label order, by Make-A-Story's rule (flintstones_data.py:57)."""
    stripped = {label.strip() for label in labels}
    return tuple(c.name for c in load_facts("flintstones").cast if c.name.lower() in stripped)


def name_of(label: str) -> str:
    """Return the cast member's name for an entity label, or the label itself if it is nobody of the cast."""
    return _names().get(label.strip().lower(), label)


def _names() -> Mapping[str, str]:
    return {c.name.lower(): c.name for c in load_facts("flintstones").cast}


def _annotation(row: Any) -> Annotation:
    clip_id = row["globalID"]
    if not CLIP_ID.fullmatch(clip_id):
        raise ValueError(f"globalID is {clip_id!r}")
    caption, setting = row["description"], row["setting"]
    if not isinstance(caption, str) or not isinstance(setting, str):
        raise ValueError("description and setting are not text")
    people = row["characters"]
    labels = tuple(str(person["entityLabel"]) for person in people)
    boxes, entities = [], []
    for label, person in zip(labels, people, strict=True):
        rectangles = person.get("rectangles") or []
        if rectangles:
            boxes.append(_box(label, rectangles[len(rectangles) // 2]))  # of the middle keyframe
            entities.append(str(person.get("globalID", "")))
    clip = Clip(
        clip_id,
        episode_of(clip_id),
        captions=(caption,) if caption.strip() else (),
        characters=cast_shown(labels),
        annotated=labels,
        setting=setting,
        boxes=tuple(boxes),
    )
    return Annotation(clip, tuple(entities))


def _box(label: str, rectangle: Any) -> Box:
    x0, y0, x1, y1 = (float(side) for side in rectangle)
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise ValueError("a rectangle is not finite")
    return Box(label, round(x0), round(y0), round(x1), round(y1))
