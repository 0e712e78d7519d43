"""The response table as a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from storybench.audit.claims import WITHDRAWN
from storybench.audit.figure import cell_text
from storybench.audit.ladder import CORRUPTIONS
from storybench.audit.responses import GAIN, MONOTONE, STILL, Audit, Response

WHAT = {
    "swap_identity": "everybody is replaced by somebody else of the same pronoun",
    "recolour": "the hue of every character is turned",
    "drop_character": "one character is taken away",
    "add_character": "somebody who is not in the frame is added",
    "swap_background": "the frame plays in another place of the same kind",
    "blur": "the whole frame is blurred (Gaussian of 0, 1, 2, 4, 8 px)",
    "shuffle_in_story": "the frames of a story change places",
    "shuffle_across_stories": "a frame is replaced by a true frame of another story",
    "copy_previous": "a frame repeats the one before; at full strength the story repeats its first frame",
    "constant_image": "a frame is replaced by one and the same picture of one character",
}


def markdown(audit: Audit, figure: str) -> str:
    """Return the page.

    Args:
        audit: What was found.
        figure: File name of the figure beside the page.
    """
    judged = [r for r in audit.responses if r.claim != "none"]
    lines = [
        "# Audit of the metrics",
        "",
        "Written by `storybench audit`; do not edit. True frames of ToonSV are spoilt on purpose, in ten ways and five",
        "strengths each, and every metric is asked. A metric makes two kinds of claim: *I fall when this happens* and",
        "*this alone does not move me*.",
        "",
        f"{audit.stories} test stories, {audit.frames} frames, seed {audit.seed}. A claim to answer holds if the rank",
        f"correlation of strength and harm is at least {MONOTONE}; a claim to ignore, if the metric never moves by",
        f"{STILL:.0%} of its range. No metric may gain more than {GAIN:.0%} of its range by copied or constant frames.",
        f"**{sum(r.verdict == 'passes' for r in judged)} of {len(judged)} claims hold"
        f"{'; the others are listed below' if audit.failures else ''}.**",
        "",
        f"![Response of every metric to every corruption]({figure})",
        "",
        "| corruption | what happens |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in WHAT.items()),
        "",
        *_failures(audit),
        "## Claims not made",
        "",
        "These were withdrawn, because the metric could not keep them:",
        "",
        *(f"- `{metric}` on `{corruption}`: {why}." for (metric, corruption), why in WITHDRAWN.items()),
        "",
        "## Numbers",
        "",
        "✓ falls as claimed, = stays as claimed, ✗ breaks a claim, with the rank correlation. Strengths and values at",
        "every strength are in the JSON beside this page.",
        "",
        *_table(audit),
    ]
    if audit.not_run:
        lines += ["", "Not run:", "", *(f"- `{name}`: {why}" for name, why in audit.not_run.items())]
    return "\n".join(lines) + "\n"


def _failures(audit: Audit) -> list[str]:
    if not audit.failures:
        return []
    lines = ["## Broken claims", "", "| metric | corruption | claims to | rank correlation | change at full strength |"]
    lines.append("|---|---|---|--:|--:|")
    lines += [
        f"| `{r.metric}` | `{r.corruption}` | {_said(r)} | {r.rank_correlation:.2f} | {r.change:+.0%} |"
        for r in audit.failures
    ]
    return [*lines, ""]


def _said(response: Response) -> str:
    return {"answers": "fall", "ignores": "stay", "none": "gain nothing"}[response.claim]


def _table(audit: Audit) -> list[str]:
    columns: Sequence[str] = [c for c in CORRUPTIONS if any(r.corruption == c for r in audit.responses)]
    lines = ["| metric | true frames | floor | " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
    lines.append("|---|--:|--:|" + "---|" * len(columns))
    for metric, (true, floor) in audit.ranges.items():
        cells = [cell_text(r) for c in columns for r in audit.responses if (r.metric, r.corruption) == (metric, c)]
        low = "" if floor != floor else f"{floor:.3f}"  # NaN: the floor frames do not reach this metric
        lines.append(f"| `{metric}` | {true:.3f} | {low} | " + " | ".join(cells) + " |")
    return lines
