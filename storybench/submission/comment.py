"""A review as Markdown for people. Text of others is shown as code and cannot become markup, a link or a mention."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from storybench.board.entry import LEVELS
from storybench.board.row import Row
from storybench.errors import StorybenchError
from storybench.records.score import Score
from storybench.statistics.left_out import are_paired, paired_difference
from storybench.submission.report import Problem, Report
from storybench.submission.reviewing import Review, RowReview

COLUMNS = (
    "antecedent_acc",
    "conditional_resolution",
    "char_acc",
    "char_f1",
    "setting_acc",
    "identity_auc",
    "detail_consistency",
    "frechet",
)
RANKED_BY = "antecedent_acc"
MAX_ROWS = 30  # of the board, shown beside a new one
MAX_TEXT = 300
MAX_COMMENT = 60_000  # characters; a comment may hold 65,536
MARK = "<!-- storybench submit review -->"  # by which the next comment finds this one


def comment(review: Review) -> str:
    """Return a review as one Markdown comment."""
    verdict = "can be merged after a look at the strips" if review.ok else "must be mended first"
    lines = [MARK, f"### Submission: {verdict}", ""]
    if review.problems:
        lines += ["The folder as a whole:", "", *_problems(review.problems), ""]
    if not review.rows:
        lines.append("No row of the board changes.")
    for row in review.rows:
        lines += [*_row(row, review), ""]
    text = "\n".join(lines) + "\n"
    return text if len(text) <= MAX_COMMENT else text[:MAX_COMMENT] + "\n\n(cut; the whole is in the job's artefact)\n"


def code(text: object) -> str:
    """Return text of others as inline code in which nothing is markup, a link or a mention."""
    plain = " ".join(str(text).split())
    plain = plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 3] + "..."
    safe = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in plain if c.isprintable())
    return f"<code>{safe.replace('&#64;', '&#64;&#8203;')}</code>"  # a zero-width space parts @ from a name


def _row(found: RowReview, review: Review) -> Iterator[str]:
    yield f"#### {code(found.change.id)}: {found.change.kind}"
    yield ""
    if found.is_withdrawal and found.change.after is not None:
        yield f"Withdrawn: {code(found.change.after.entry.withdrawn)}"
        yield ""
    if found.problems:
        yield from (*_problems(found.problems), "")
    row = found.change.after
    if row is None:
        return
    try:
        yield from _described(row)
        yield from _compared(row, review)
    except StorybenchError as error:
        yield f"It cannot be shown: {code(error)}"
    if found.report is not None:
        yield from _checked(found.report)
    if found.claims:
        compared = [c for c in found.claims if c.compared]
        held = sum(c.holds for c in compared)
        yield f"Scored again: {held} of {len(compared)} scores agree within 0.001."
        yield from (
            f"- {_named(c.metric)}: {_plain(c.claimed)} claimed, {_plain(c.found)} found"
            for c in compared
            if not c.holds
        )


def _described(row: Row) -> Iterator[str]:
    entry = row.entry
    level = entry.verification.level
    yield f"{code(entry.card.shown_as)} version {code(entry.card.version)} by {code(', '.join(entry.card.authors))}, "
    yield f"licence {code(entry.card.licence)}. Level **{level}**: {LEVELS[level]}. "
    yield f"Drawn by {code(entry.verification.sampled_by)}, scored by {code(entry.verification.scored_by)}."
    yield ""
    yield from (f"- remark: {code(line)}" for line in entry.warnings)
    yield ""


def _compared(row: Row, review: Review) -> Iterator[str]:
    """Yield the row among those of the board, and its difference to the nearest one above."""
    benchmark = row.folder.parent.name
    others = [
        r for r in _readable(review.base.rows(benchmark)) if r.name != row.name and r.record.text == row.record.text
    ]
    others = sorted(others, key=_place)[:MAX_ROWS]
    metrics = [m for m in COLUMNS if m in row.record.scores]
    yield "| row | " + " | ".join(metrics) + " |"
    yield "|---|" + "--:|" * len(metrics)
    for each in sorted([*others, row], key=_place):
        name = f"**{code(each.name)}**" if each is row else code(each.name)
        yield f"| {name} | " + " | ".join(_cell(each.record.scores.get(m)) for m in metrics) + " |"
    yield ""
    above = [r for r in others if _value(r) > _value(row) and r.entry.pinned is None]
    if above:
        yield from _difference(row, min(above, key=_value), metrics)


def _difference(row: Row, above: Row, metrics: Sequence[str]) -> Iterator[str]:
    """Yield the paired difference to another row."""
    if not (row.has_left_out and above.has_left_out):
        return
    base, new = above.left_out(metrics), row.left_out(metrics)
    yield f"Paired difference to {code(above.name)}, the next row above in {RANKED_BY} (95 % interval, p):"
    yield ""
    for metric in metrics:
        if metric in base and metric in new and are_paired(base[metric], new[metric]):
            d = paired_difference(base[metric], new[metric])
            interval = "" if d.low is None or d.high is None else f" [{d.low:+.4f}, {d.high:+.4f}], p {d.p_value:.3f}"
            yield f"- {metric}: {d.value:+.4f}{interval}"
    yield ""


def _checked(report: Report) -> Iterator[str]:
    said = ", ".join(
        f"{key} {value}" for key, value in report.summary.items() if key in ("frames", "different", "bytes")
    )
    yield f"Archive {code(str(report.summary.get('sha256', ''))[:12])}: {report.counted}; {said}."
    yield ""


def _problems(problems: Sequence[Problem]) -> Iterator[str]:
    for p in problems:
        yield f"- **{p.severity}** {code(p.where)}: {code(p.what)}. To mend it: {code(p.mend)}"


def _readable(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that can be read; those that cannot are no reason to fail somebody else's review."""
    found = []
    for row in rows:
        try:
            _ = row.record, row.entry
        except StorybenchError:
            continue
        found.append(row)
    return found


def _place(row: Row) -> tuple[float, str]:
    return -_value(row), row.name


def _value(row: Row) -> float:
    score = row.record.scores.get(RANKED_BY)
    return -1.0 if score is None or score.value is None else score.value


def _cell(score: Score | None) -> str:
    if score is None or score.value is None:
        return ""
    value = score.value
    factor, form = (100.0, ".1f") if score.fraction else (1.0, ".2f")
    if score.low is None or score.high is None:
        return f"{value * factor:{form}}"
    return f"{value * factor:{form}} [{score.low * factor:{form}}, {score.high * factor:{form}}]"


def _plain(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _named(metric: str) -> str:
    """Return the name of a metric; one that no metric of ours has is another's text."""
    return metric if re.fullmatch(r"[a-z0-9_]{1,64}", metric) else code(metric)
