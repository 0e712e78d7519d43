"""The report of a check as tables, and the words of the page that asks for an archive. Pure: no Streamlit.

Every string of a report may be a stranger's. The tables are HTML in which all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leaderboard.export.elements import Markup, head_row, join, tag
from storybench.submission.report import Report

STYLE = Markup(  # grey with alpha suits light and dark pages alike
    "<style>table.report{border-collapse:collapse;width:100%}table.report caption{text-align:left;font-weight:600;"
    "caption-side:top;padding-bottom:.4rem}table.report td,table.report th{text-align:left;vertical-align:top;"
    "padding:.35rem .8rem .35rem 0;border-top:1px solid rgba(128,128,128,.35);overflow-wrap:anywhere}"
    "table.report th[scope=row]{font-weight:400}table.report td:first-child{white-space:nowrap}</style>"
)
MAX_MB = 200  # of an upload; as server.maxUploadSize
SEVERITIES = {"error": "must be mended", "warning": "remark"}
STEPS = (
    ("draw every story of a benchmark version ...", "storybench run model=NAME subset=test"),
    ("... or take its stories, and draw frames/<story id>/<k>.png yourself", "storybench data export subset=test"),
    ("a model card to fill in", "storybench submit card > card.yaml"),
    ("a finished run as one archive ...", "storybench submit pack run=runs/ID card=card.yaml out=entry.zip"),
    ("... or frames", "storybench submit pack frames=DIR card=card.yaml benchmark=toonsv-v1 out=entry.zip"),
    ("everything that is wrong with it, as below", "storybench submit check entry.zip"),
    ("a row of a board, as ours will be scored", "storybench submit score entry.zip board=leaderboard/results"),
)
CHECKLIST = (
    "every story of the benchmark version, all its frames, one sample each, none chosen by a score",
    "lossless pictures (PNG, or lossless WebP) of the size that the benchmark states",
    "a card that names authors, licence and training data, and says whether test stories were seen",
    "everything the model was given beside captions and cast under oracle_inputs",
    "the exact command and the seed",
)
SUMMARY = {  # key of the report's summary -> what people are told it is
    "benchmark": "benchmark version",
    "text": "text",
    "model": "model",
    "stories": "stories",
    "frames": "frames",
    "bytes": "bytes",
    "sha256": "SHA-256",
    "claims_scores": "holds scores of its own",
    "seconds": "seconds to check",
}


def commands() -> str:
    """Return the way to a row as lines of a shell."""
    return "\n".join(f"# {words}\n{command}" for words, command in STEPS)


def verdict(report: Report) -> str:
    """Return in one sentence whether an archive can be handed in."""
    errors, warnings = len(report.errors), len(report.warnings)
    remarks = f" and {_plural(warnings, 'remark')} that its row would carry" if warnings else ""
    if report.ok:
        return f"The archive can be handed in: nothing must be mended{remarks}."
    return f"The archive cannot be handed in yet: {_plural(errors, 'thing')} must be mended{remarks}."


def problem_table(report: Report) -> Markup:
    """Return the problems as a table, errors first; empty if there are none."""
    if not report.problems:
        return Markup("")
    lines = [
        tag(
            "tr",
            tag("td", SEVERITIES[problem.severity]),
            tag("th", problem.where, scope="row"),
            tag("td", problem.what),
            tag("td", problem.mend),
        )
        for problem in report.problems
    ]
    head = head_row(("Severity", None, None), ("Where", None, None), ("What", None, None), ("Mend", None, None))
    found = tag("table", tag("caption", "What was found"), head, tag("tbody", join(lines)), class_="report")
    return join([STYLE, found])


def summary_table(summary: Mapping[str, Any]) -> Markup:
    """Return what the archive says of itself as a table."""
    told = [(words, summary[key]) for key, words in SUMMARY.items() if key in summary]
    lines = [tag("tr", tag("th", words, scope="row"), tag("td", _value(value))) for words, value in told]
    table = tag("table", tag("caption", "What the archive is"), tag("tbody", join(lines)), class_="report")
    return join([STYLE, table])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
