"""``storybench data``: counts of a data set, and its stories as JSON Lines."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from storybench.cli.config import DataConfig, compose
from storybench.cli.table import console, print_json
from storybench.data.loading import load_stories
from storybench.errors import ConfigError, unknown
from storybench.frames import write_atomic
from storybench.story import Story

ACTIONS = ("stats", "export")


def main(arguments: Sequence[str]) -> int:
    """Do ``stats`` or ``export``."""
    if "--help" in arguments:
        print("usage: storybench data stats|export dataset=toonsv subset=mini [out=FILE] [format=json]")
        return 0
    if not arguments or "=" in arguments[0]:
        raise ConfigError(f"Say what to do: storybench data {'|'.join(ACTIONS)} dataset=... subset=...")
    action, rest = arguments[0], arguments[1:]
    if action not in ACTIONS:
        raise unknown("data command", action, ACTIONS)
    config = compose("data", rest, DataConfig)
    stories = load_stories(config.dataset, config.subset, config.limit)
    if action == "export":
        return _export(config, stories)
    counts = statistics(stories)
    if config.format == "json":
        print_json(counts)
    else:
        _print(config, counts)
    return 0


def statistics(stories: Sequence[Story]) -> dict[str, Any]:
    """Return counts of stories, frames, characters, settings and mentions by text mode."""
    frames = [frame for story in stories for frame in story.frames]
    texts: dict[str, Any] = {}
    for text in frames[0].captions:
        mentions = [m for frame in frames for m in frame.captions[text].mentions]
        referential = [m for m in mentions if m.kind == "referential"]
        texts[text] = {
            "distinct_captions": len({frame.captions[text].text for frame in frames}),
            "mentions": len(mentions),
            "referential": len(referential),
            "ambiguous": sum(m.ambiguous for m in referential),
            "forms": _sorted(Counter(m.form for m in referential)),
            "distances": _sorted(Counter(m.distance for m in referential if m.distance is not None)),
            "surfaces": _sorted(Counter(m.surface.lower() for m in referential)),
        }
    return {
        "stories": len(stories),
        "frames": len(frames),
        "characters_a_frame": _sorted(Counter(len(frame.characters) for frame in frames)),
        "characters": _sorted(Counter(name for frame in frames for name in frame.characters)),
        "settings": _sorted(Counter(frame.setting for frame in frames)),
        "texts": texts,
    }


def _sorted(counter: Counter[Any]) -> dict[str, int]:
    """Return counts by key, in order of the keys."""
    return {str(key): counter[key] for key in sorted(counter)}


def _print(config: DataConfig, counts: dict[str, Any]) -> None:
    """Print counts for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{config.dataset['name']} {config.subset}: {counts['stories']} stories, {counts['frames']} frames"
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("what", no_wrap=True)
    table.add_column("counts", overflow="fold")

    def line(values: dict[str, int]) -> str:
        return ", ".join(f"{key} {value}" for key, value in values.items()) or "none"

    for key in ("characters_a_frame", "characters", "settings"):
        table.add_row(key.replace("_", " "), line(counts[key]))
    for text, facts in counts["texts"].items():
        table.add_section()
        head = f"{facts['distinct_captions']} distinct captions, {facts['mentions']} mentions"
        table.add_row(text, f"{head}, {facts['referential']} referential, {facts['ambiguous']} ambiguous")
        if facts["referential"]:
            table.add_row("  forms", line(facts["forms"]))
            table.add_row("  frames back", line(facts["distances"]))
            table.add_row("  words", line(facts["surfaces"]))
    console().print(table)


def _export(config: DataConfig, stories: Sequence[Story]) -> int:
    """Write one story a line."""
    if config.out is None:
        for line in _lines(stories):
            sys.stdout.write(line)
        return 0
    write_atomic(Path(config.out), "".join(_lines(stories)).encode())
    print(f"{len(stories)} stories in {config.out}", file=sys.stderr)
    return 0


def _lines(stories: Sequence[Story]) -> Iterator[str]:
    """Yield each story as one line of JSON, with all that is known of it but pixels."""
    for story in stories:
        frames = [
            {
                "index": frame.index,
                "captions": {text: asdict(caption) for text, caption in frame.captions.items()},
                "characters": list(frame.characters),
                "setting": frame.setting,
                "details": dict(frame.details),
            }
            for frame in story.frames
        ]
        cast = [{"name": c.name, "pronoun": c.pronoun, "aliases": list(c.aliases)} for c in story.cast]
        row = {"id": story.id, "dataset": story.dataset, "split": story.split, "cluster": story.cluster}
        yield json.dumps({**row, "cast": cast, "frames": frames}, ensure_ascii=False) + "\n"
