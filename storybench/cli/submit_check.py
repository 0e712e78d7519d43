"""``storybench submit check``: everything that is wrong with an archive, at once."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from storybench.cli.submit_progress import FrameProgress
from storybench.cli.submit_words import parse
from storybench.cli.table import console, print_json
from storybench.submission.checking import check_archive
from storybench.submission.report import Problem, Report

KEYS = ("benchmark", "text", "format", "dataset.root")
REFUSED = 2
_COLOURS = {"error": "red", "warning": "yellow"}


def check(arguments: Sequence[str]) -> int:
    """Print the report of an archive; 0 if there is no error, else 2."""
    words = parse("check", arguments, ["one archive"], KEYS)
    with FrameProgress("check") as told:
        report = check_archive(
            words.files[0],
            benchmark=words.values.get("benchmark"),
            text=words.values.get("text"),
            root=words.path("dataset.root"),
            progress=told,
        )
    if words.as_json:
        print_json(report.to_json())
    else:
        print_report(report, words.files[0].name)
    return 0 if report.ok else REFUSED


def print_report(report: Report, name: str) -> None:
    """Print what was found, and whether it can be handed in."""
    screen = console()
    print_problems(report.problems)
    facts = {key: value for key, value in report.summary.items() if key != "claims_scores"}
    if facts:
        said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items())
        screen.print(escape(said), style="dim", highlight=False, soft_wrap=True)
    verdict = "can be handed in" if report.ok else "cannot be handed in yet"
    screen.print(escape(f"{name} {verdict}: {report.counted}"), highlight=False, soft_wrap=True)


def print_problems(problems: Sequence[Problem]) -> None:
    """Print problems, a line each; text of others was made harmless where it was found."""
    screen = console()
    for problem in problems:
        mark = f"[{_COLOURS[problem.severity]}]{problem.severity}[/]"
        rest = escape(f"{problem.where}: {problem.what}; {problem.mend}")
        screen.print(f"{mark}  {rest}", highlight=False, soft_wrap=True)
