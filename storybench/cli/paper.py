"""What a paper published for the row that an experiment repeats, beside what a run measured.

An experiment file (``configs/experiment``) may hold ``paper``: metadata that decides nothing. It is outside the
fingerprint, so the same run serves every experiment that asks for it, and the comparison is made when it is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storybench.cli.config import RunConfig
from storybench.errors import ConfigError
from storybench.records.record import RunRecord

# A published metric -> ours that states the same fact. The others (BG-F1, BLEU, CIDEr, CLIP) have none here.
COUNTERPARTS = {"char_acc": "char_acc", "char_f1": "char_f1", "bg_acc": "setting_acc", "fid": "frechet"}
PERCENT = ("char_acc", "char_f1", "bg_acc", "bg_f1")  # printed as percent; the others have their own unit
TEXTS = {"orig": ("original", "explicit"), "ref": ("referential", "published:storygptv_eval")}
TEST = "test"


class PaperRow(BaseModel):
    """One row of a published table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: int
    """Number of the table."""
    row: str
    """What the table calls it."""
    dataset: str
    """Data set it was measured on."""
    text: Literal["orig", "ref"]
    """Captions as published, or with names replaced by pronouns."""
    frames: int
    """Frames a story."""
    protocol: str
    """How it was measured."""
    values: dict[str, float]
    """Metric -> published value; shares as fractions, FID, BLEU, CIDEr and CLIP similarity in their own units."""
    weights: Literal["any", "own"] = "any"
    """``own``: the row is a training setting, so weights trained that way must be given."""
    train: list[str] = Field(default_factory=list)
    """The commands that train its weights at paper scale."""
    note: str | None = None
    """What else one must know to compare."""

    @property
    def label(self) -> str:
        """The row in a few words."""
        return f"Table {self.table}, {self.row}"


class Repeats(NamedTuple):
    """That a run repeats a published row, and whether it did so with the miniature weights that are shipped."""

    row: PaperRow
    shipped_weights: bool


class Compared(NamedTuple):
    """One metric on both sides, and in what they differ."""

    metric: str
    ours_metric: str
    paper: float
    ours: float
    differs: tuple[str, ...]

    def sentence(self) -> str:
        """Return ``char_acc: paper 87.96, ours 91.63 (other data, other protocol)``."""
        scale = 100.0 if self.metric in PERCENT else 1.0
        name = self.metric if self.metric == self.ours_metric else f"{self.metric} ({self.ours_metric})"
        remark = ", ".join(f"other {what}" for what in self.differs)
        return f"{name}: paper {self.paper * scale:.2f}, ours {self.ours * scale:.2f} ({remark})"


def repeats(config: RunConfig) -> Repeats | None:
    """Return the published row that ``config`` repeats, or None.

    Raises:
        ConfigError: If ``paper`` has another form than :class:`PaperRow`, or the row is a setting of training and
            the model would take the weights that are shipped; the sentence then holds the commands that train others.
    """
    if config.paper is None:
        return None
    row = _row(config.paper)
    shipped = config.model.get("weights", "") is None  # a model that takes weights was given none
    if shipped and row.weights == "own":
        commands = " and ".join(f"'{command}'" for command in row.train)
        raise ConfigError(
            f"{row.label} is a setting of training and needs weights of its own: train them with {commands}, "
            "then give model.weights=DIR."
        )
    return Repeats(row, shipped)


def _row(paper: Mapping[str, Any]) -> PaperRow:
    """Return the metadata of an experiment, checked."""
    try:
        return PaperRow.model_validate(paper)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["paper", *(str(part) for part in first["loc"])])
        raise ConfigError(f"{where} does not describe a published row: {first['msg']}.") from error


def compare(record: RunRecord, row: PaperRow) -> list[Compared]:
    """Return every metric that has a value on both sides, in the order of the published row."""
    differs = differences(record, row)
    found = []
    for metric, published in row.values.items():
        score = record.scores.get(COUNTERPARTS.get(metric, ""))
        if score is not None and score.value is not None:
            here = (*differs, "network") if metric == "fid" else differs  # its unit is that of the features
            found.append(Compared(metric, COUNTERPARTS[metric], published, score.value, here))
    return found


def differences(record: RunRecord, row: PaperRow) -> tuple[str, ...]:
    """Return in what a run differs from the published one; the protocol always: the authors' evaluator is not ours."""
    apart = {
        "data": record.dataset.name != row.dataset or record.split != TEST,
        "text": record.text not in TEXTS[row.text],
        "story length": record.dataset.frames != record.dataset.stories * row.frames,
        "protocol": True,
    }
    return tuple(what for what, is_other in apart.items() if is_other)


def comparison(record: RunRecord, repeated: Repeats) -> dict[str, Any]:
    """Return the published row and the comparison as plain data, for JSON."""
    compared = [{**pair._asdict(), "differs": list(pair.differs)} for pair in compare(record, repeated.row)]
    return {
        **repeated.row.model_dump(mode="json"),
        "shipped_weights": repeated.shipped_weights,
        "compared": compared,
    }


def paper_lines(record: RunRecord, repeated: Repeats) -> list[str]:
    """Return what to print below a run's table."""
    row, shipped = repeated
    head = f"Published, {row.label} ({row.dataset}, {row.text} text, {row.frames} frames a story; {row.protocol}):"
    pairs = [f"  {pair.sentence()}" for pair in compare(record, row)] or ["  no metric has a value on both sides"]
    notes = [f"  {row.note}"] if row.note else []
    if shipped:
        notes.append("  Ours is the miniature that is shipped, not the published model.")
    return [head, *pairs, *notes]
