"""``storybench data export``: one JSON object a story, with all that is known of it but pixels."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from storybench.cli.config import DataConfig
from storybench.cli.data_subset import open_subset
from storybench.data.loading import iterate_stories, no_stories, text_mode
from storybench.story import Frame, Mention, Story

ORIGINAL, REFERENTIAL = "original", "referential"


def main(config: DataConfig) -> int:
    """Write the stories of a split to ``out`` or stdout, one a line, each as it is made."""
    modes = {name: text_mode(config.dataset, name) for name in dict.fromkeys([ORIGINAL, REFERENTIAL, config.text])}
    subset, opened = open_subset(config)
    lines = _lines(iterate_stories(config.dataset, opened, config.limit, config.select), modes)
    first = next(lines, None)
    if first is None:
        raise no_stories(config.dataset, subset, config.select)
    if config.out is None:
        sys.stdout.write(first)
        for line in lines:
            sys.stdout.write(line)
        return 0
    count = _write(Path(config.out), first, lines)
    print(f"{count} stories in {config.out}", file=sys.stderr)
    return 0


def exported(story: Story, modes: Mapping[str, str]) -> dict[str, Any]:
    """Return one story as plain data.

    Args:
        story: The story.
        modes: What to call a text -> its mode in this data set; ``original`` and ``referential`` must be there. Another
            one is added to every frame as ``text``.
    """
    return {
        "story_id": story.id,
        "dataset": story.dataset,
        "subset": story.split,
        "cluster": story.cluster,
        "cast": [{"name": c.name, "pronoun": c.pronoun, "aliases": list(c.aliases)} for c in story.cast],
        "frames": [_frame(story, frame, modes) for frame in story.frames],
    }


def _frame(story: Story, frame: Frame, modes: Mapping[str, str]) -> dict[str, Any]:
    original, referential = frame.captions[modes[ORIGINAL]], frame.captions[modes[REFERENTIAL]]
    row: dict[str, Any] = {
        "frame_id": frame.id or f"{story.id}/{frame.index}",
        "original": original.text,
        "referential": referential.text,
        "changed": original.text != referential.text,
        "mentions": [_mention(m) for m in referential.mentions],
        "characters": list(frame.characters),
        "setting": frame.setting,
    }
    if frame.details:
        row["details"] = dict(frame.details)
    for mode in modes.values():
        if mode not in (modes[ORIGINAL], modes[REFERENTIAL]):
            row["text"] = frame.captions[mode].text
    return row


def _mention(mention: Mention) -> dict[str, Any]:
    """Return a mention; ``start`` and ``end`` index the referential caption."""
    return {
        "start": mention.start,
        "end": mention.end,
        "text": mention.surface,
        "characters": list(mention.characters),
        "kind": mention.kind,
        "distance": mention.distance,
        "form": mention.form,
        "ambiguous": mention.ambiguous,
    }


def _lines(stories: Iterable[Story], modes: Mapping[str, str]) -> Iterator[str]:
    for story in stories:
        yield json.dumps(exported(story, modes), ensure_ascii=False) + "\n"


def _write(path: Path, first: str, rest: Iterable[str]) -> int:
    """Write lines so that a reader sees the old file or the whole new one; return their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    count = 1
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(first)
            for line in rest:
                file.write(line)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return count
