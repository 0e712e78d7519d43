"""``storybench demo``: the reference models between ceiling and floor, one table, and strips to look at."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from storybench.cli.config import DemoConfig, RunConfig, compose
from storybench.cli.flow import Finished, execute
from storybench.cli.table import print_json, print_runs
from storybench.errors import ConfigError
from storybench.frames import write_atomic
from storybench.story import Story
from storybench.strips import reference_marks, stack, story_strip

CEILING, FLOOR = "ground_truth", "shuffled"
TITLES = {"storygptv": "StoryGPT-V", "char_ldm": "Char-LDM", CEILING: "true", FLOOR: "shuffled"}


def main(arguments: Sequence[str]) -> int:
    """Run the demo; finished runs are read, not redone."""
    if "--help" in arguments or "-h" in arguments:
        print("usage: storybench demo [models=[storygptv,char_ldm]] [subset=mini] [text=referential] [out=FILE]")
        return 0
    config = compose("demo", arguments, DemoConfig)
    if config.strips < 1:
        raise ConfigError(f"strips is {config.strips}: expected 1 or more stories.")
    started = time.monotonic()
    configs = {name: _compose(config, name) for name in dict.fromkeys([CEILING, *config.models, FLOOR])}
    runs = {name: execute(run, ["run", *words]) for name, (run, words) in configs.items()}
    out = Path(config.out or Path(config.run_root) / "demo.png")
    write_atomic(out, _picture(config, runs))
    if config.format == "json":
        records = [run.record.model_dump(mode="json") for run in runs.values()]
        print_json({"strips": str(out), "runs": records})
        return 0
    notes = {runs[CEILING].record.fingerprint: "ceiling", runs[FLOOR].record.fingerprint: "floor"}
    print_runs([run.record for run in runs.values()], notes)
    print(f"strips   {out}")
    for name, run in runs.items():
        print(f"{name:<13} {run.run_dir / 'record.json'}  frames in {run.run_dir / 'frames'}")
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


def _compose(config: DemoConfig, model: str) -> tuple[RunConfig, list[str]]:
    """Return the run of one model on the demo's stories, and the words that mean it."""
    words = [f"model={model}", f"subset={config.subset}", f"text={config.text}", f"seed={config.seed}"]
    words += [f"batch_size={config.batch_size}", f"device={config.device}", f"run_root={config.run_root}"]
    words += [f"paired={config.paired}".lower()]
    words += [f"limit={config.limit}"] if config.limit is not None else []
    return compose("run", words, RunConfig), words


def _picture(config: DemoConfig, runs: dict[str, Finished]) -> bytes:
    """Return a PNG of the stories with the most references: caption, true frames, models."""
    ceiling = runs[CEILING]
    text = ceiling.record.text
    strips = []
    for story in most_referential(ceiling.stories, text, config.strips):
        count = len(story.frames)
        rows = [
            (TITLES.get(name, name), run.store.read_story(story.id, count))
            for name, run in runs.items()
            if name != FLOOR
        ]
        captions = [frame.captions[text].text for frame in story.frames]
        strips.append(story_strip(rows, captions, reference_marks(story, text)))
    buffer = io.BytesIO()
    stack(strips).save(buffer, format="PNG")
    return buffer.getvalue()


def most_referential(stories: Sequence[Story], text: str, count: int) -> list[Story]:
    """Return the ``count`` stories whose captions refer most, in their own order."""

    def references(story: Story) -> int:
        return sum(len(spans) for spans in reference_marks(story, text))

    chosen = {s.id for s in sorted(stories, key=lambda s: (-references(s), s.id))[:count]}
    return [story for story in stories if story.id in chosen]
