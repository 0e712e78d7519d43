"""What a row says of its model and of how far its numbers were checked. Plain data: text is never run or rendered.

``entry.json`` lies beside ``record.json`` in the folder of a row. What a submitter writes is bounded in length and
kept as text; links are ``https`` only. Whoever shows it must escape it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

ENTRY_SCHEMA = 1
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
Level = Literal["self-reported", "re-scored", "regenerated"]
LEVELS: dict[str, str] = {
    "self-reported": "the submitter's own numbers; nothing was checked but their form",
    "re-scored": "frames were supplied and scored again by the board",
    "regenerated": "the board ran the model itself and its frames agree",
}
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4_000)]
Link = Annotated[str, StringConstraints(pattern=r"^https://[^\s<>\"'`\\]{1,400}$")]


class ModelCard(BaseModel):
    """Who made the model, from what, and what it was shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Short name: small letters, digits, ``-`` and ``_``; the row is called by it."""
    title: Line | None = None
    """Name for people; by default the short one."""
    version: Line = "1"
    """Of the model: frames that replace those of a row need another."""
    authors: list[Line] = Field(min_length=1, max_length=50)
    licence: Line
    """SPDX id where there is one, such as ``Apache-2.0``; ``proprietary`` otherwise."""
    parameters: int | None = Field(default=None, ge=0, le=10**14)
    """Number of weights that draw, all parts together."""
    training_data: Text
    """What it was trained on, in words."""
    saw_test_stories: bool
    """Whether stories of the test split, or frames of them, were in the training data."""
    oracle_inputs: list[Line] = Field(default_factory=list, max_length=20)
    """What it was given beside captions and cast: reference flags, a true first frame, boxes, ..."""
    description: Text = ""
    links: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], Link] = Field(
        default_factory=dict, max_length=10
    )
    """``paper``, ``code``, ``weights``, ... -> an https address."""
    seed: int | None = None
    command: Text = ""
    """The exact command that drew the frames."""

    @field_validator("version", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("name")
    @classmethod
    def _is_slug(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError("expected 1 to 64 small letters, digits, '-' or '_', not first '-' or '_'")
        return value

    @property
    def shown_as(self) -> str:
        """Name for people."""
        return self.title or self.name


class Verification(BaseModel):
    """How far the numbers of a row were checked, and by whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level
    sampled_by: Line
    """Who drew the frames."""
    scored_by: Line
    """Who scored them."""
    date: str
    """UTC, ISO 8601."""
    evidence: dict[str, Any] = Field(default_factory=dict)
    """What was found: for ``regenerated`` how many frames are equal and how far each score is off."""


class Archive(BaseModel):
    """The frames behind a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: int
    """Bytes."""
    url: Link | None = None
    """Where anybody can fetch it."""


class Entry(BaseModel):
    """One row of the board, beside its record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = ENTRY_SCHEMA
    benchmark: str
    """Name of the benchmark version, such as ``toonsv-v1``."""
    card: ModelCard
    verification: Verification
    archive: Archive | None = None
    pinned: Literal["ceiling", "floor"] | None = None
    """A reference row that is shown the truth: never ranked."""
    withdrawn: Line | None = None
    """Why the row no longer counts; it stays visible."""
    warnings: list[Line] = Field(default_factory=list, max_length=50)
    """What the check of the archive remarked."""
