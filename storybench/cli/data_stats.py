"""``storybench data stats``: counts of a split, the hash of its ids, and what the release should hold."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import get_object

from storybench.cli.config import DataConfig
from storybench.cli.data_subset import open_subset
from storybench.cli.table import console, print_json
from storybench.coreference.counters import published_counter
from storybench.coreference.published import PUBLISHED, rewrite_published
from storybench.coreference.selection import EVERY, SELECTIONS, STRATA, check_selection, strata
from storybench.coreference.selection import TEXT as SELECTION_TEXT
from storybench.coreference.statistics import PublishedTally, SplitTally, StoryTally
from storybench.data.clips import ClipSource
from storybench.data.loading import text_mode
from storybench.data.splits import compared, core, ids_sha256, shipped, subset_frames
from storybench.errors import ConfigError
from storybench.story import Story

ALL_TEXTS = "all"
ORIGINAL = "original"
PUBLISHED_SHOWN = "published:make_a_story"  # whose counter StoryGPT-V's table of references very probably used
ARTEFACT = "substring counts of the published code, reproduced for comparison; not references"
MOST_LISTED = 24  # names of a count that a table shows


def main(config: DataConfig) -> int:
    """Print the statistics of a split."""
    counts = statistics(config)
    if config.format == "json":
        print_json(counts)
    else:
        _print(counts)
    return 0


def statistics(config: DataConfig) -> dict[str, Any]:
    """Return all counts of a split as plain data; stories are seen once and not kept.

    Raises:
        ConfigError: If a name is unknown.
        DataError: If the data root is missing or damaged.
    """
    dataset = config.dataset
    check_selection(config.select)
    if config.limit is not None and config.limit < 1:
        raise ConfigError(f"limit is {config.limit}: expected 1 or more stories, or null for all.")
    text = text_mode(dataset, SELECTION_TEXT if config.text == ALL_TEXTS else config.text)
    original = text_mode(dataset, ORIGINAL)
    text_mode(dataset, SELECTION_TEXT)
    every_text = [str(mode) for mode in dataset["texts"]] if config.text == ALL_TEXTS else []
    subset, opened = open_subset(config)
    source: ClipSource | None = getattr(opened, "source", None)
    is_core = core(dataset["name"], opened)
    tally, splits = StoryTally(text, original, every_text), SplitTally()
    published = _published_tallies(source, [text, *every_text])
    for story in opened:
        taken_by, hashed = strata(story), is_core is None or is_core(story)
        if config.select == EVERY or config.select in taken_by:
            if tally.stories == config.limit:
                break
            tally.add(story)
            _count_published(published, story, source)
        splits.add(story.id, taken_by, hashed)
    whole = config.limit is None
    report = tally.report()
    chosen = _hashed(dataset, subset, config.select, splits.ids[config.select], whole)
    result: dict[str, Any] = {
        "dataset": dataset["name"],
        "subset": subset,
        "split": config.select,
        "text": text,
        "frames_a_story": dataset.get("frames"),
        **report,
        "ids": chosen,
        "ids_sha256": chosen["sha256"],
        "splits": {
            name: {"stories": splits.stories[name], **_hashed(dataset, subset, name, splits.ids[name], whole)}
            for name in SELECTIONS
        },
        "overlap": {
            **report["overlap"],
            "subsets": _between_subsets(dataset, source),
            "splits": splits.shared(),
        },
    }
    if published:
        result["published_counter"] = {"about": ARTEFACT, **{mode: t.report() for mode, t in published.items()}}
    if (release := _release(dataset, source)) is not None:
        result["release"] = release
    if not tally.stories:
        what = "no captions" if not len(opened) else f"no story of selection {config.select}"
        result["note"] = f"{what} in subset {subset} here: the counts are zero"
    return result


def _hashed(dataset: Mapping[str, Any], subset: str, select: str, ids: Sequence[str], whole: bool) -> dict[str, Any]:
    """Return how many ids are hashed, the hash, and how it compares with the one that ships; a limit compares none."""
    sha256 = ids_sha256(ids)
    entry = shipped(dataset, subset, select) if whole else None
    return {"hashed": len(ids), "sha256": sha256, "shipped": compared(entry, sha256)}


def _published_tallies(source: ClipSource | None, texts: Sequence[str]) -> dict[str, PublishedTally]:
    """Return a tally for original captions, for the usual published text and for the published ones asked for."""
    if source is None:
        return {}
    asked = [text for text in texts if text in PUBLISHED]
    return {mode: PublishedTally() for mode in dict.fromkeys([ORIGINAL, PUBLISHED_SHOWN, *asked])}


def _count_published(tallies: Mapping[str, PublishedTally], story: Story, source: ClipSource | None) -> None:
    if source is None:
        return
    clips = [source.clip(frame.id) for frame in story.frames]
    for mode, tally in tallies.items():
        if mode == ORIGINAL:
            texts = [clip.captions[0] for clip in clips]
            tally.add(published_counter(story.dataset, texts), texts, {})
            continue
        frames = rewrite_published(mode, story.dataset, clips)
        texts = [frame.text for frame in frames]
        events = {
            "replaced": sum(frame.replaced for frame in frames),
            "changed": sum(frame.changed for frame in frames),
            "flagged": sum(frame.flagged for frame in frames),
        }
        counted = published_counter(story.dataset, texts, [frame.replaced for frame in frames])
        tally.add(counted, texts, events, [frame.crashed for frame in frames])


def _between_subsets(dataset: Mapping[str, Any], source: ClipSource | None) -> dict[str, Any] | None:
    if source is None:
        return None
    return subset_frames(source, int(dataset["frames"]), str(dataset.get("rule") or "auto"))


def _release(dataset: Mapping[str, Any], source: ClipSource | None) -> dict[str, Any] | None:
    """Return what the rules give for the whole release, if the data set's module can count it."""
    module = inspect.getmodule(get_object(str(dataset["_target_"])))
    census = getattr(module, "census", None)
    if source is None or census is None:
        return None
    counted: dict[str, Any] = census(source)
    return counted


def _print(counts: Mapping[str, Any]) -> None:
    """Print statistics for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    head = f"{counts['dataset']} {counts['subset']}, split {counts['split']}, text {counts['text']}"
    title = f"{head}: {counts['stories']} stories, {counts['frames']} frames"
    table = Table(
        title=title, box=SIMPLE_HEAD, title_justify="left", caption=counts.get("note"), caption_justify="left"
    )
    table.add_column("what", no_wrap=True)
    table.add_column("counts", overflow="fold")
    for key in ("distinct_frames", "clusters", "words", "characters_a_frame", "characters", "settings"):
        table.add_row(key.replace("_", " "), _line(counts[key]))
    table.add_section()
    for key, value in counts["references"].items():
        table.add_row("references" if key == "per_story" else f"  {key.replace('_', ' ')}", _line(value))
    for text, facts in counts["texts"].items():
        table.add_section()
        start = f"{facts['distinct_captions']} distinct captions, {facts['mentions']} mentions"
        more = f"{facts['referential']} referential, {facts['ambiguous']} ambiguous, {facts['uncertain']} uncertain"
        table.add_row(text, f"{start}, {more}")
        if facts["referential"]:
            table.add_row("  forms", _line(facts["forms"]))
            table.add_row("  frames back", _line(facts["distances"]))
            table.add_row("  words", _line(facts["surfaces"]))
    table.add_section()
    table.add_row("ids", _line(counts["ids"]))
    for name in SELECTIONS:
        table.add_row(f"  {name}", _line({k: v for k, v in counts["splits"][name].items() if k != "hashed"}))
    table.add_section()
    overlap = {key: value for key, value in counts["overlap"].items() if key not in ("subsets", "splits")}
    table.add_row("overlap of stories", _line(overlap))
    for key, value in (counts["overlap"]["subsets"] or {}).items():
        table.add_row("of subsets" if key == "shared" else f"  {key}", _line(value))
    for name in STRATA:
        table.add_row(
            f"  {name} with", _line({k: v for k, v in counts["overlap"]["splits"][name].items() if k != name})
        )
    for part, title in (("published_counter", "published counter"), ("release", "release")):
        if part in counts:
            table.add_section()
            table.add_row(title, "")
            for key, value in counts[part].items():
                table.add_row(f"  {key}", _line(value))
    console().print(table)


def _line(value: Any) -> str:
    """Return counts on one line: the most frequent first where there are many."""
    if not isinstance(value, Mapping):
        return "none" if value is None else str(value)
    items = list(value.items())
    hidden = len(items) - MOST_LISTED
    if hidden > 0:
        items = sorted(items, key=lambda item: (-int(item[1]), item[0]))[:MOST_LISTED]
    told = [f"{key} ({_line(inner)})" if isinstance(inner, Mapping) else f"{key} {inner}" for key, inner in items]
    return (", ".join(told) or "none") + (f", and {hidden} more" if hidden > 0 else "")
