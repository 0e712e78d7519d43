"""``storybench submit card`` and ``pack``: a card to fill in, and frames, card and record as one archive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from storybench.benchmark import load_benchmark
from storybench.board.entry import ModelCard
from storybench.board.row import DEFAULT_TEXT
from storybench.cli.submit_check import REFUSED, print_report
from storybench.cli.submit_progress import FrameProgress
from storybench.cli.submit_words import Words, parse
from storybench.cli.table import print_json
from storybench.errors import ConfigError
from storybench.records.record import RunRecord
from storybench.records.store import load_record
from storybench.submission.card import TEMPLATE, read_card
from storybench.submission.expecting import expectation
from storybench.submission.packing import benchmark_of
from storybench.submission.packing import pack as pack_folder

KEYS = ("run", "frames", "card", "benchmark", "text", "out", "record", "seconds_per_frame", "format", "dataset.root")


def card(arguments: Sequence[str]) -> int:
    """Print a card to fill in."""
    parse("card", arguments, [], [])
    print(TEMPLATE, end="")
    return 0


def pack(arguments: Sequence[str]) -> int:
    """Write an archive if its frames pass the check; 2 if they do not, and then no archive."""
    words = parse("pack", arguments, [], KEYS)
    folder, record = _source(words)
    made = _card(words, record)
    name = words.values.get("benchmark") or _benchmark(words, record)
    text = words.values.get("text") or (DEFAULT_TEXT if record is None else record.text)
    expected = expectation(load_benchmark(name), text, words.path("dataset.root"))
    out = words.path("out") or Path(f"{made.name}-{name}-{expected.text.replace(':', '-')}.zip")
    with FrameProgress("pack") as told:
        packed = pack_folder(
            folder, made, expected, out, record=record, seconds_per_frame=_seconds(words), progress=told
        )
    if words.as_json:
        print_json({**packed.report.to_json(), "archive": None if packed.path is None else str(packed.path)})
    else:
        print_report(packed.report, out.name)
        if packed.path is None:
            print("No archive was written.", file=sys.stderr)
    return 0 if packed.path is not None else REFUSED


def _source(words: Words) -> tuple[Path, RunRecord | None]:
    """Return the folder of frames and the record that goes with it."""
    run, frames, record = words.path("run"), words.path("frames"), words.path("record")
    if (run is None) == (frames is None):
        raise ConfigError("Give run=DIR of a finished run, or frames=DIR with <story id>/<k>.png, and not both.")
    if run is not None:
        if not run.is_dir():
            raise ConfigError(f"No run at '{run}': give the folder of one, as run_root/<fingerprint>.")
        return run, load_record(record or run)
    assert frames is not None
    return frames, None if record is None else load_record(record)


def _card(words: Words, record: RunRecord | None) -> ModelCard:
    path = words.path("card")
    if path is None:
        raise ConfigError(
            "storybench submit pack needs card=FILE; get one to fill in: storybench submit card > card.yaml"
        )
    known = {} if record is None else {"seed": record.seed, "command": record.command}
    return read_card(path, known)


def _benchmark(words: Words, record: RunRecord | None) -> str:
    return words.needed("benchmark", "toonsv-v1") if record is None else benchmark_of(record)


def _seconds(words: Words) -> float | None:
    given = words.values.get("seconds_per_frame")
    try:
        return None if given is None else float(given)
    except ValueError as error:
        raise ConfigError(f"seconds_per_frame={given}: expected a number of seconds.") from error
