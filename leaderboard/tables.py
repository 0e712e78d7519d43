"""The tables of README and docs, made of the records on the board. Pure: no Streamlit, no network.

``leaderboard/results/<benchmark>/<row>/record.json`` is data only, written by ``storybench`` and copied here.

    python -m leaderboard.tables README.md docs/metrics.md    # writes the tables between the pages' marks anew
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from omegaconf import OmegaConf

from storybench.cli.table import number, short_cell
from storybench.records.record import RunRecord
from storybench.records.store import load_record

RESULTS = Path(__file__).parent / "results"
BENCHMARK = "toonsv-v1"
RESULTS_MARKS = ("<!-- results:begin -->", "<!-- results:end -->")
METRICS_MARKS = ("<!-- metrics:begin -->", "<!-- metrics:end -->")
COLUMNS = (
    "char_acc",
    "char_f1",
    "count_acc",
    "setting_acc",
    "antecedent_acc",
    "conditional_resolution",
    "flip_rate",
    "identity_auc",
    "detail_consistency",
    "frechet",
)
TITLES = {
    "ground_truth": "true frames (ceiling)",
    "storygptv": "**StoryGPT-V** miniature",
    "char_ldm": "Char-LDM alone",
    "shuffled": "frames of other stories (floor)",
}


def load_results(benchmark: str, root: Path = RESULTS) -> list[RunRecord]:
    """Return the records of a benchmark version: ceiling first, then by antecedent accuracy, floor last."""
    records = [load_record(path) for path in sorted((root / benchmark).glob("*/record.json"))]

    def place(record: RunRecord) -> tuple[int, float]:
        pinned = {"ground_truth": -1, "shuffled": 1}.get(record.model.name, 0)
        score = record.scores.get("antecedent_acc")
        return pinned, -(score.value or 0.0) if score else 0.0

    return sorted(records, key=place)


def markdown_table(records: Sequence[RunRecord], columns: Sequence[str] = COLUMNS) -> str:
    """Return a Markdown table, a row a record, percent with half of the 95 % interval."""
    arrows = dict.fromkeys(columns, "↑")
    for record in records:
        arrows |= {name: "↓" for name in columns if name in record.scores and not record.scores[name].higher_is_better}
    head = ["", "text", *(f"{name} {arrows[name]}".replace("_", " ") for name in columns), "s/frame"]
    lines = [head, ["---"] * 2 + ["--:"] * (len(head) - 2)]
    for record in records:
        speed = "" if record.model.oracle or record.seconds_per_frame is None else f"{record.seconds_per_frame:.2f}"
        cells = [short_cell(record.scores.get(name)) for name in columns]
        lines.append([TITLES.get(record.model.name, record.model.name), record.text, *cells, speed])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def metrics_table(record: RunRecord) -> str:
    """Return a Markdown table, a row a metric: what it says, its floor and ceiling, and how noisy it is."""
    lines = [
        ["id", "better", "says", "n counts", "floor", "ceiling", "StoryGPT-V", "noise", "protocol"],
        ["---", "---", "---", "---", "--:", "--:", "--:", "--:", "---"],
    ]
    about = metrics_about()
    for name, score in record.scores.items():
        better = "higher" if score.higher_is_better else "lower"
        head = [f"`{name}`", better, about[name], score.unit]
        if score.value is None:
            lines.append([*head, "", "", "not run", "", ""])
            continue
        noise = None if score.low is None or score.high is None else (score.high - score.low) / 2
        values = [number(score, v) for v in (score.floor, score.ceiling, score.value, noise)]
        lines.append([*head, *values, f"`{score.protocol}`"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def metrics_about() -> dict[str, str]:
    """Return what each metric says in a few words, as ``storybench list metrics`` has it."""
    text = resources.files("storybench_configs").joinpath("metrics", "all.yaml").read_text()
    return {str(name): entry["about"] for name, entry in OmegaConf.create(text).items()}


def between(page: str, marks: tuple[str, str], table: str) -> str:
    """Return ``page`` with ``table`` between its marks."""
    before, rest = page.split(marks[0])
    return f"{before}{marks[0]}\n{table}\n{marks[1]}{rest.split(marks[1])[1]}"


def refreshed(page: str) -> str:
    """Return a page with the tables that it has marks for, made of the records anew."""
    records = load_results(BENCHMARK)
    if RESULTS_MARKS[0] in page:
        page = between(page, RESULTS_MARKS, markdown_table(records))
    if METRICS_MARKS[0] in page:
        (row,) = [r for r in records if r.model.name == "storygptv" and r.text == "referential"]
        page = between(page, METRICS_MARKS, metrics_table(row))
    return page


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(refreshed(Path(name).read_text()))
