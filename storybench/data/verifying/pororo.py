"""The checks of PororoSV, layout by layout, in the order in which one needs the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storybench.data.layouts.pororo_ids import START_LIST, SUBSETS, episode_lengths, start_list
from storybench.data.safe import read_json, read_pickle
from storybench.data.verifying.clip_pictures import check_instance_maps, check_pictures
from storybench.data.verifying.hdf5 import check_hdf5
from storybench.data.verifying.pororo_captions import check_frames, frame_id, read_captions
from storybench.data.verifying.pororo_lists import check_cache, check_subsets, read_cache
from storybench.data.verifying.pororo_strips import check_counter, check_labels, check_strips, strips_on_disk
from storybench.data.verifying.report import Findings


def check_pororo(layout: str, facts: Mapping[str, Any], found: Findings) -> None:
    """Check a PororoSV release of a layout; ``facts`` are its part of ``releases.json``."""
    if layout == "hdf5":
        _check_hdf5(facts, found)
    elif layout == "storygptv":
        _check_storygptv(facts, found)
    else:
        _check_folder(layout, facts, found)


def _check_folder(layout: str, facts: Mapping[str, Any], found: Findings) -> None:
    captions = read_captions(facts, found)
    if captions is None:
        return
    episodes = captions.episodes
    starts = start_list(episode_lengths(captions.of))
    check_subsets(check_cache(starts, found), facts, found)
    if layout == "captions":
        return
    check_counter(episodes, found)
    check_labels(captions.of, facts["label_width"], found)
    if strips := strips_on_disk(found.root):
        check_strips(captions.of, strips, found)


def _check_hdf5(facts: Mapping[str, Any], found: Findings) -> None:
    listed = found.read(START_LIST, read_cache)
    rows = None if listed is None else check_subsets(listed, facts, found)
    check_hdf5(facts["layouts"]["hdf5"]["groups"], (None, 128), rows, found)


def _check_storygptv(facts: Mapping[str, Any], found: Findings) -> None:
    cleaned = found.read("cleaned_annotations.json", lambda path: dict(read_json(path)), required=True)
    if cleaned is None:
        return
    lacking = [f for f, row in cleaned.items() if not (isinstance(row, dict) and {"captions", "segments"} <= set(row))]
    found.some("cleaned_keys", lacking, "{n} frames of cleaned_annotations.json lack captions or segments")
    frames: dict[str, str] = {}
    odd = []
    for name in cleaned:
        try:
            frames[frame_id(name)] = name
        except ValueError:
            odd.append(name)
    found.some("frame_ids", odd, "{n} frame ids are not of the form Series_ep<N>/<k>")
    if frames:
        check_frames(frames, facts["counts"], found)
    _check_split(set(cleaned), facts, found)
    labels = found.read("labels.pkl", _read_labels)
    if labels is not None:
        found.some("labels_missing", sorted(set(cleaned) - set(labels)), "{n} frames have no labels in labels.pkl")
        wide = [frame for frame, width in labels.items() if width != facts["label_width"]]
        found.some("label_width", wide, f"{{n}} frames of labels.pkl do not have {facts['label_width']} labels")
    check_instance_maps(check_pictures(sorted(cleaned), facts["layouts"]["storygptv"]["pictures"], found), found)


def _check_split(frames: set[str], facts: Mapping[str, Any], found: Findings) -> None:
    split = found.read("split.json", lambda path: {s: [str(x) for x in read_json(path)[s]] for s in SUBSETS})
    if split is None:
        return
    found.count("test stories", len(split["test"]), facts["counts"]["subsets"]["test"])
    found.notes.append(f"split.json lists {len(split['train']):,} stories of train and {len(split['val']):,} of val.")
    unknown = sorted({x for ids in split.values() for x in ids} - frames)
    found.some("split_unknown", unknown, "{n} ids of split.json are not in cleaned_annotations.json")
    shared = sorted(set(split["test"]) & {*split["train"], *split["val"]})
    found.some("ids_repeated", shared, "{n} ids of split.json are in test and in another subset")


def _read_labels(path: Path) -> dict[str, int]:
    return {str(frame): len(labels) for frame, labels in read_pickle(path).items()}
