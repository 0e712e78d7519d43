"""``storybench compare``: two runs in pairs under a gate; exit status 0 held, 1 regression, 2 unusable."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from storybench.cli.table import console, print_json
from storybench.cli.words import names_and_options
from storybench.errors import ConfigError, StorybenchError
from storybench.frames import write_atomic
from storybench.regression.as_json import as_json
from storybench.regression.comparing import Report, compare
from storybench.regression.gate import DEFAULT_GATE, Gate, load_gate
from storybench.regression.junit import junit, junit_of_error
from storybench.regression.markdown import markdown
from storybench.regression.sides import BOARD, load_side
from storybench.regression.table import as_text, rendered

FORMATS = ("table", "json", "markdown")
KEYS: dict[str, Sequence[str] | None] = {"gate": None, "format": FORMATS, "junit": None, "out": None, "board": None}
USAGE = "usage: storybench compare BASE NEW [gate=default] [format=table|json|markdown] [junit=FILE] [out=FILE]"
HELP = f"""{USAGE} [board={BOARD}]

BASE and NEW: a run folder, a record.json, the folder of a row, or a row of the board such as toonsv-v1/storygptv.
gate    a gate by name, or a YAML file of your own: {{gates}}
junit   JUnit XML, a test case a gated metric
out     the report once more as a file: .json, .md or .txt
Exit status: 0 held, 1 regression, 2 not comparable. See docs/gate.md."""
WRITERS: dict[str, Callable[[Report], str]] = {
    ".json": lambda report: json.dumps(as_json(report), indent=2, ensure_ascii=False) + "\n",
    ".md": markdown,
    ".txt": as_text,
}


def main(arguments: Sequence[str]) -> int:
    """Compare, print, write what was asked for, and return the status of the report."""
    if "--help" in arguments:
        from storybench.regression.gate import gate_names

        print(HELP.format(gates=", ".join(gate_names())))
        return 0
    (base, new), options = names_and_options(arguments, KEYS, 2, USAGE)
    out = options.get("out")
    if out is not None and Path(out).suffix not in WRITERS:
        raise ConfigError(f"out is {out!r}: expected a name that ends in {', '.join(WRITERS)}.")
    gate = load_gate(options.get("gate", DEFAULT_GATE))
    try:
        report = _report(base, new, gate, options.get("board", BOARD))
    except StorybenchError as error:
        if "junit" in options:
            write_atomic(Path(options["junit"]), junit_of_error(str(error), gate.name).encode())
        raise
    if "junit" in options:
        write_atomic(Path(options["junit"]), junit(report).encode())
    if out is not None:
        write_atomic(Path(out), WRITERS[Path(out).suffix](report).encode())
    _print(report, options.get("format", "table"))
    if report.problems:
        print(f"'{new}' cannot be gated against '{base}': {'; '.join(report.problems)}.", file=sys.stderr)
    return report.status


def _report(base: str, new: str, gate: Gate, board: str) -> Report:
    """Return the report of two names."""
    return compare(load_side(base, board), load_side(new, board), gate)


def _print(report: Report, chosen: str) -> None:
    """Print the report alone on stdout."""
    if chosen == "json":
        print_json(as_json(report))
    elif chosen == "markdown":
        print(markdown(report), end="")
    else:
        console().print(rendered(report), soft_wrap=True)
