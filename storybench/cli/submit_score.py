"""``storybench submit score``: check an archive, score it in a clean process, and write its row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from storybench.cli.submit_check import REFUSED, print_report
from storybench.cli.submit_progress import FrameProgress
from storybench.cli.submit_words import parse
from storybench.cli.table import console, print_runs
from storybench.submission.claims import Claim
from storybench.submission.placing import remarks, score_archive, trust_record
from storybench.submission.scoring import BOARD, Refused, Setting

KEYS = ("board", "by", "url", "explicit", "trust", "benchmark", "device", "metrics", "dataset.root")
DEFAULT_BOARD = "leaderboard/results"


def score(arguments: Sequence[str]) -> int:
    """Write the row of an archive and print it; 2 if the archive has errors, and then no row."""
    words = parse("score", arguments, ["one archive"], KEYS)
    source, board = words.files[0], Path(words.values.get("board", DEFAULT_BOARD))
    trusted = words.choice("trust", ("none", "record"), "none") == "record"
    if source.is_file() and not trusted:
        print("checking, then scoring in a process of its own: this takes minutes", file=sys.stderr, flush=True)
    url, benchmark = words.values.get("url"), words.values.get("benchmark")
    with FrameProgress("score") as told:
        setting = Setting(
            by=words.values.get("by", BOARD),
            root=words.path("dataset.root"),
            device=words.values.get("device", "cpu"),
            metrics=tuple(filter(None, words.values.get("metrics", "").split(","))),
            progress=told,
        )
        try:
            if trusted:
                done = trust_record(source, board, setting, url=url, benchmark=benchmark)
            else:
                explicit = words.path("explicit")
                done = score_archive(source, board, setting, url=url, explicit=explicit, benchmark=benchmark)
        except Refused as error:
            print_report(error.report, source.name)
            print("No row was written.", file=sys.stderr)
            return REFUSED
    print_report(done.report, source.name)
    print_runs([done.record])
    if done.claims:
        _print_claims(done.claims)
    for line in remarks(done):
        print(line)
    print(f"row in {done.row}" + (", labelled as self-reported" if trusted else ""))
    return 0


def _print_claims(claims: Sequence[Claim]) -> None:
    """Print what the record inside claims beside what was found, where they differ."""
    compared = [claim for claim in claims if claim.compared]
    wrong = [claim for claim in compared if not claim.holds]
    print(f"claimed scores: {len(compared) - len(wrong)} of {len(compared)} agree within 0.001")
    if wrong:
        table = Table("metric", "claimed", "found", "why", box=SIMPLE_HEAD)
        for claim in wrong:
            table.add_row(claim.metric, f"{claim.claimed:.4f}", f"{claim.found:.4f}", claim.why)
        console().print(table)
