"""The records on the board and the tables made of them. Pure: no Streamlit, no network.

``leaderboard/results/<benchmark>/<row>/record.json`` is data only, written by ``storybench`` and copied here.

    python -m leaderboard.data README.md    # writes the table between the README's result marks anew
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from storybench.cli.table import short_cell
from storybench.records.record import RunRecord
from storybench.records.store import load_record

RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = (
    "char_acc",
    "char_f1",
    "count_acc",
    "setting_acc",
    "antecedent_acc",
    "conditional_resolution",
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


def with_results(readme: str, table: str) -> str:
    """Return ``readme`` with ``table`` between its result marks."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_results(page.read_text(), markdown_table(load_results("toonsv-v1"))))
