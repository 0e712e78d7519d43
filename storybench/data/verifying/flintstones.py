"""The checks of FlintstonesSV, layout by layout, in the order in which one needs the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storybench.data.verifying.clip_pictures import check_entity_files, check_instance_maps, check_pictures
from storybench.data.verifying.flintstones_annotation import (
    check_annotation,
    check_captions,
    check_cleaned,
    check_following,
    check_labels,
    check_setting_labels,
    read_annotation,
)
from storybench.data.verifying.flintstones_split import Split, check_split, read_split
from storybench.data.verifying.hdf5 import check_hdf5
from storybench.data.verifying.report import Findings

SPLIT_FILES = {"storygptv": "split.json"}
ANNOTATION = "flintstones_annotations_v1-0.json"


def check_flintstones(layout: str, facts: Mapping[str, Any], found: Findings) -> None:
    """Check a FlintstonesSV release of a layout; ``facts`` are its part of ``releases.json``."""
    name = SPLIT_FILES.get(layout, "train-val-test_split.json")
    split = found.read(name, read_split, required=layout != "hdf5")
    if split is not None:
        check_split(split, facts, found)
    if layout == "hdf5":
        rows = None if split is None else {subset: len(split.stories(5, subset)) for subset in split.of}
        check_hdf5(facts["layouts"][layout]["groups"], (640, 128), rows, found)
        return
    if layout == "captions" and not (found.root / ANNOTATION).exists():
        if split is not None:
            check_captions(split, facts["counts"], found)
        return
    _check_folder(layout, split, facts, found)


def _check_folder(layout: str, split: Split | None, facts: Mapping[str, Any], found: Findings) -> None:
    rows = found.read(ANNOTATION, read_annotation, required=True)
    settings = facts["counts"]["settings"]
    clips = None if rows is None else check_annotation(rows, split, settings, found)
    if split is None:
        return
    for following in (3, 4):
        check_following(following, split, found)
    if clips is not None:
        check_labels(clips, split, facts["label_width"], found)
    if layout == "captions":
        return
    pictures = check_pictures(split.ids, facts["layouts"][layout]["pictures"], found)
    if layout == "storygptv":
        check_setting_labels(split, settings, found)
        check_cleaned(split, found)
        check_instance_maps(pictures, found)
    if layout == "ai2" and clips is not None:
        entities = [entity for clip in clips.values() for entity in clip.entities]
        check_entity_files(entities, "entity_segmentation", "_segm.npy.npz", found)
        check_entity_files(entities, "entity_tracking", ".npy", found)
