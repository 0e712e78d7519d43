"""FlintstonesSV: the annotation, and what was derived from it and published beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storybench.data.facts import load_facts
from storybench.data.safe import read_json, read_pickle
from storybench.data.verifying.flintstones_split import Split, neighbours
from storybench.data.verifying.report import Findings


@dataclass(frozen=True)
class Annotated:
    """What verification keeps of one annotated clip."""

    caption: str
    setting: str
    labels: tuple[str, ...]
    entities: tuple[str, ...]


def read_annotation(path: Path) -> list[tuple[str, Annotated]]:
    """Read the annotation: (globalID, what is kept) of every clip, repeated ids included.

    Raises:
        DataError: If it cannot be read.
        KeyError, TypeError: If a clip lacks globalID, description, setting or characters[].entityLabel.
    """
    rows = []
    for row in read_json(path, drop=("parse", "keyFrames", "rectangles")):
        people, caption = row["characters"], row["description"]
        if not isinstance(caption, str):
            raise TypeError(f"the description of {row['globalID']} is no text")
        labels = tuple(str(one["entityLabel"]).strip().lower() for one in people)
        entities = tuple(str(one["globalID"]) for one in (*people, *row.get("objects", ())) if "globalID" in one)
        rows.append((str(row["globalID"]), Annotated(caption, str(row["setting"]), labels, entities)))
    return rows


def check_annotation(
    rows: Sequence[tuple[str, Annotated]], split: Split | None, settings: int, found: Findings
) -> dict[str, Annotated]:
    """Check ids, captions and settings; return the clips by id."""
    clips = dict(rows)
    if len(clips) < len(rows):
        found.defect("repeated_annotation", f"{len(rows) - len(clips):,} clips are annotated more than once.")
    found.count("settings", len({clip.setting for clip in clips.values()}), settings)
    empty = [name for name, clip in clips.items() if not clip.caption.strip()]
    found.some("empty_captions", empty, "{n} clips have an empty caption")
    # ARLDM joins captions by "|" and Make-A-Story by ";": such a caption cannot be told apart in their files
    joined = [name for name, clip in clips.items() if "|" in clip.caption or ";" in clip.caption]
    found.some("joiners", joined, "{n} captions contain '|' or ';', which join captions in published files")
    if split is not None:
        compare_ids("annotation", clips, split, found)
    return clips


def compare_ids(what: str, ids: Mapping[str, Any], split: Split, found: Findings) -> None:
    """Note clips of the split that ``what`` lacks, and clips of ``what`` that no subset holds."""
    known = set(split.ids)
    word = what.split(".")[0]
    found.some(f"{word}_missing", sorted(known - set(ids)), f"{{n}} clips of the split are not in {what}")
    found.some(f"{word}_unknown", sorted(set(ids) - known), f"{{n}} clips of {what} are in no subset")


def check_labels(clips: Mapping[str, Annotated], split: Split, width: int, found: Findings) -> None:
    """Check ``labels.pkl`` against the annotation: 1 iff the lower-cased name is among the clip's entity labels."""
    published = found.read("labels.pkl", _read_labels)
    if published is None:
        return
    compare_ids("labels.pkl", published, split, found)
    names = [character.name.lower() for character in load_facts("flintstones").cast]
    wide = [clip for clip, labels in published.items() if len(labels) != width]
    found.some("label_width", wide, f"{{n}} clips of labels.pkl do not have {width} labels")
    differing = [
        clip
        for clip, labels in published.items()
        if clip in clips and len(labels) == width and labels != [int(name in clips[clip].labels) for name in names]
    ]
    found.some(
        "labels", differing, "labels.pkl differs from the annotation in {n} clips (storybench keeps the annotation)"
    )


def check_setting_labels(split: Split, settings: int, found: Findings) -> None:
    """Check ``labels_bg.pkl``: ``{"label": {id: one number a setting}}``."""
    published = found.read(
        "labels_bg.pkl", lambda path: {str(clip): len(labels) for clip, labels in read_pickle(path)["label"].items()}
    )
    if published is None:
        return
    compare_ids("labels_bg.pkl", published, split, found)
    wide = [clip for clip, width in published.items() if width != settings]
    found.some("setting_label_width", wide, f"{{n}} clips of labels_bg.pkl do not have {settings} labels")


def check_following(following: int, split: Split, found: Findings) -> None:
    """Check ``following_cache<m>.pkl`` against the rule that made it."""
    name = f"following_cache{following}.pkl"
    published = found.read(name, lambda path: {str(k): [str(x) for x in v] for k, v in read_pickle(path).items()})
    if published is None:
        return
    rule = neighbours(split, following)
    differing = sorted(clip for clip in {*published, *rule} if published.get(clip) != rule.get(clip))
    found.some(
        "following",
        differing,
        f"{name} differs from the rule of sorted neighbours in {{n}} clips (storybench uses the rule)",
    )
    short = [f"{clip} ({len(after)})" for clip, after in sorted(published.items()) if len(after) < following]
    found.some(
        "short_following",
        short,
        f"{{n}} lists of {name} hold fewer than {following} clips (storybench leaves these stories out)",
        known=not differing,
    )


def check_cleaned(split: Split, found: Findings) -> None:
    """Check ``cleaned_annotations.json`` of StoryGPT-V: id -> caption, tokens and segments."""
    cleaned = found.read("cleaned_annotations.json", lambda path: dict(read_json(path)))
    if cleaned is None:
        return
    compare_ids("cleaned_annotations.json", cleaned, split, found)
    keys = {"caption", "tokens", "segments"}
    lacking = [clip for clip, row in cleaned.items() if not (isinstance(row, dict) and keys <= set(row))]
    found.some("cleaned_keys", lacking, "{n} clips of cleaned_annotations.json lack caption, tokens or segments")


def check_captions(split: Split, counts: Mapping[str, Any], found: Findings) -> None:
    """Check ``<subset>_captions.json`` of a root with captions alone: the clips that start a 5-frame story."""
    captions: set[str] = set()
    for subset in split.of:
        name = f"{subset}_captions.json"
        told = found.read(name, _read_captions, required=True)
        if told is None:
            continue
        captions |= set(told)
        if subset == "test":
            found.count("captions", len(told), counts["captions"])
        starts = {story[0] for story in split.stories(5, subset)}
        missing, unknown = sorted(starts - set(told)), sorted(set(told) - starts)
        found.some("captions_missing", missing, f"{{n}} starts of {subset} stories have no caption in {name}")
        found.some("captions_unknown", unknown, f"{{n}} captions of {name} start no 5-frame {subset} story")
        empty = [clip for clip, text in told.items() if not text.strip()]
        found.some("empty_captions", empty, f"{{n}} captions of {name} are empty")
    for n in (5, 4):
        complete = sum(captions.issuperset(story) for story in split.stories(n, "test"))
        found.count(f"test {n}-frame stories with all captions", complete, counts["complete_test"][str(n)])
    bare = [episode for episode, clips in split.episodes.items() if captions & set(clips) and clips[-1] not in captions]
    found.some(
        "captions_of_starts",
        bare,
        "only clips that start a story have captions, so that the last 4 clips of {n} episodes have none and the "
        "stories that reach them are left out",
        known=True,
    )


def _read_captions(path: Path) -> dict[str, str]:
    return {Path(row["image"]).stem: str(row["text"]) for row in read_json(path)}


def _read_labels(path: Path) -> dict[str, list[int]]:
    return {str(clip): [int(x) for x in labels] for clip, labels in read_pickle(path).items()}
