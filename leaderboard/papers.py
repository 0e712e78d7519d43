"""What papers published, as data: shown apart from what was measured here, and never ranked with it.

The rows of the StoryGPT-V paper are the ``paper`` nodes of ``configs/experiment/*.yaml``, read and not copied; every
other number with a source is in ``leaderboard/published/*.json``. Shares are fractions in both. Rows stand in the order
of their table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

PAPER = "StoryGPT-V paper"
PAPER_LINK = "https://arxiv.org/abs/2312.02252"
SHARES = ("char_acc", "char_f1", "bg_acc", "bg_f1")  # shown in percent; all else has its own unit
LOWER = ("fid", "fid_val", "fsd", "vfid")  # lower is better
PAPER_CAVEATS = {
    1: "BLEU4 is the mean of BLEU-1 to 4 with hypothesis and reference swapped; FID sees wrongly normalised frames.",
    2: "PororoSV has no boxes: how its masks were made is not published.",
    3: "Original text.",
    5: "Its 4-frame row contradicts Table 1; 50 frames means at most 33 stories.",
    10: "CLIP similarity in a network that the authors fine-tuned; what their script calls eval is its training split.",
}
ALL_PAPER = (
    "The classifiers that read the frames come from code that trains on train, val and test.",
    "The first frame of a story is drawn without the language model, from the characters that the caption names.",
)


class Source(BaseModel):
    """Where a number stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    link: str | None = Field(default=None, pattern=r"^https://")


class PublishedRow(BaseModel):
    """One model of a table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    source: str
    """Key of the table's ``sources``."""
    values: dict[str, float]
    """Metric -> value; ``SHARES`` as fractions, all others in their own unit."""
    note: str = ""


class PublishedTable(BaseModel):
    """Numbers that stand together because one protocol, or one claim of it, made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: int
    """Where it stands among the tables."""
    title: str
    dataset: str
    text: str
    frames: int | None
    """Frames a story."""
    protocol: str
    caveats: list[str]
    """What one must know before comparing."""
    sources: dict[str, Source]
    rows: list[PublishedRow]

    def frame(self) -> pd.DataFrame:
        """Return model, a column a metric, source and note, in the published order."""
        metrics = list(dict.fromkeys(metric for row in self.rows for metric in row.values))
        return pd.DataFrame(
            [
                {
                    "model": row.model,
                    **{metric: row.values.get(metric, float("nan")) for metric in metrics},
                    "source": self.sources[row.source].title,
                    "note": row.note,
                }
                for row in self.rows
            ]
        )


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """Return every table: the StoryGPT-V paper's first, then the others."""
    folder = resources.files("leaderboard").joinpath("published")
    others = [PublishedTable.model_validate_json(f.read_text()) for f in folder.iterdir() if f.name.endswith(".json")]
    return (*_paper_tables(), *sorted(others, key=lambda table: table.order))


def experiment_rows() -> dict[str, dict[str, Any]]:
    """Return experiment name -> its ``paper`` node, for the experiments that repeat a published row."""
    folder = resources.files("storybench_configs").joinpath("experiment")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".yaml"):
            continue
        content: Any = OmegaConf.to_container(OmegaConf.create(file.read_text()))
        if isinstance(content, Mapping) and "paper" in content:
            found[file.name.removesuffix(".yaml")] = dict(content["paper"])
    return found


def _paper_tables() -> list[PublishedTable]:
    """Return one table a table of the paper and data set."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for paper in experiment_rows().values():
        groups.setdefault((int(paper["table"]), str(paper["dataset"])), []).append(paper)
    return [_paper_table(number, dataset, groups[number, dataset]) for number, dataset in sorted(groups)]


def _paper_table(number: int, dataset: str, papers: list[dict[str, Any]]) -> PublishedTable:
    rows = [
        PublishedRow(model=p["row"], source="paper", values=p["values"], note=p.get("note") or "")
        for p in sorted(papers, key=lambda p: (p["text"], p["row"].split(",")[0], p["frames"]))
    ]
    lengths = {int(p["frames"]) for p in papers}
    return PublishedTable(
        order=number,
        title=f"{PAPER}, Table {number}",
        dataset=dataset,
        text=" and ".join(sorted({str(p["text"]) for p in papers})),
        frames=lengths.pop() if len(lengths) == 1 else None,
        protocol="; ".join(sorted({str(p["protocol"]) for p in papers})),
        caveats=[*ALL_PAPER, *([PAPER_CAVEATS[number]] if number in PAPER_CAVEATS else [])],
        sources={"paper": Source(title=f"{PAPER}, Table {number}", link=PAPER_LINK)},
        rows=rows,
    )
