"""The command ``storybench``: lists the commands, calls one, and says a user's mistake in one sentence."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from storybench.errors import StorybenchError, did_you_mean

COMMANDS = {  # name -> (module with main(arguments) -> status, what it does)
    "run": ("storybench.cli.run", "generate, score, write the record, print the table; -m sweeps"),
    "draw": ("storybench.cli.draw", "a story typed by a person -> a strip of frames (PNG)"),
    "evaluate": ("storybench.cli.evaluate", "score frames made elsewhere"),
    "demo": ("storybench.cli.demo", "the reference models between ceiling and floor, with strips"),
    "data": ("storybench.cli.data", "stats | export | verify | build | masks: counts, stories, checks, Parquet, masks"),
    "train": ("storybench.cli.train", "train a stage of a reference model"),
    "compare": ("storybench.cli.compare", "two runs in pairs; exit 0 held, 1 regression, 2 not comparable"),
    "reproduce": ("storybench.cli.reproduce", "the exact command of a row of the board; run=true runs it and compares"),
    "submit": ("storybench.cli.submit", "pack | check | score | review: from a folder of frames to a row of the board"),
    "leaderboard": ("leaderboard.command", "the board in a browser; export: the same as HTML and Markdown"),
    "audit": ("storybench.cli.audit", "spoil true frames on purpose: does each metric measure what it says?"),
    "doctor": ("storybench.cli.doctor", "packages, networks and data: what is here, what is missing, how to get it"),
    "list": ("storybench.cli.list_", "models, data sets, splits, metrics, stages; what is missing"),
}
USER_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 2 the user must mend something."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        from storybench.records.environment import benchmark_version

        print(f"storybench {benchmark_version()}")
        return 0
    name, rest = arguments[0], ["--help" if word == "-h" else word for word in arguments[1:]]
    if name not in COMMANDS:
        print(f"Unknown command {name!r}. {did_you_mean(name, COMMANDS)}", file=sys.stderr)
        return USER_ERROR
    try:
        status: int = importlib.import_module(COMMANDS[name][0]).main(rest)
    except StorybenchError as error:
        print(error, file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("Interrupted; the same command continues.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left, as in `storybench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def usage() -> str:
    """Return the list of commands."""
    lines = [f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: storybench COMMAND [key=value ...]",
            "",
            *lines,
            "",
            "storybench COMMAND --help shows a command's keys.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
