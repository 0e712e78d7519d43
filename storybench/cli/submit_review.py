"""``storybench submit review`` and ``board``: what the keepers of a board and its workflow call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storybench.cli.submit_check import print_problems
from storybench.cli.submit_progress import FrameProgress
from storybench.cli.submit_score import DEFAULT_BOARD
from storybench.cli.submit_words import parse
from storybench.cli.table import print_json
from storybench.errors import ConfigError
from storybench.frames import write_atomic
from storybench.submission.board_checks import check_board
from storybench.submission.comment import comment
from storybench.submission.reviewing import review as review_boards
from storybench.submission.scoring import BOARD, Setting

REVIEW_KEYS = ("archives", "out", "device", "metrics", "dataset.root")
FAILED = 1


def review(arguments: Sequence[str]) -> int:
    """Print what a pull request does to a board, and write it as a comment; 1 if something must be mended."""
    words = parse("review", arguments, ["the board as it is", "the board as it would be"], REVIEW_KEYS)
    base, head = words.files
    for folder in (base, head):
        if not folder.is_dir():
            raise ConfigError(f"No board at '{folder}': give two folders such as {DEFAULT_BOARD}.")
    with FrameProgress("review") as told:
        setting = Setting(
            by=BOARD,
            root=words.path("dataset.root"),
            device=words.values.get("device", "cpu"),
            metrics=tuple(filter(None, words.values.get("metrics", "").split(","))),
            progress=told,
        )
        found = review_boards(base, head, setting, archives=words.path("archives"))
    text = comment(found)
    if (out := words.path("out")) is not None:
        write_atomic(out, text.encode())
    print_problems([*found.problems, *(p for row in found.rows for p in row.problems)])
    changed = ", ".join(f"{row.change.id} {row.change.kind}" for row in found.rows) or "no row changes"
    print(f"{changed}: {'holds' if found.ok else 'must be mended'}" + (f"; comment in {out}" if out else ""))
    return 0 if found.ok else FAILED


def board(arguments: Sequence[str]) -> int:
    """Print everything that is wrong with a board's folder; 1 if something is."""
    words = parse("board", arguments, [], ("board", "format"))
    root = Path(words.values.get("board", DEFAULT_BOARD))
    problems = check_board(root)
    if words.as_json:
        print_json([{"severity": p.severity, "where": p.where, "what": p.what, "mend": p.mend} for p in problems])
    else:
        print_problems(problems)
        print(f"{root}: {len(problems)} problems")
    return FAILED if problems else 0
