"""RunRecord: everything one run is, in one JSON file that can be read alone.

Typed and versioned. ``SCHEMA_VERSION`` rises with every change that an old reader would misread; a record of a newer
schema is refused, an older one is migrated by one function a step (:mod:`storybench.records.migration`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from storybench.records.score import Score

SCHEMA_VERSION = 2
Status = Literal["started", "success", "error", "incomplete"]


class ModelInfo(BaseModel):
    """Which model drew the frames; from its ``identity()``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    """Short name, as in ``model=NAME``."""
    version: str = "0"
    """Version of the model's code."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Weight file -> SHA-256."""
    sampler: dict[str, Any] = Field(default_factory=dict)
    """Scheduler, steps, guidance: what else decides the frames."""
    oracle: bool = False
    """Whether it was shown the true frames: a pinned reference row, never ranked."""


class DatasetInfo(BaseModel):
    """Which stories were drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    hash: str
    """SHA-256 of ids, captions, mentions and labels of the stories of this run."""
    stories: int
    frames: int
    select: str = "all"
    """Which stories of the subset: a selection of storybench.coreference.selection."""


class Coverage(BaseModel):
    """How much of what was asked for is there. Missing is not zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expected: int
    """Frames."""
    ok: int
    """Frames drawn and committed."""
    fraction: float
    missing: list[str] = Field(default_factory=list)
    """The first stories that lack frames."""


class Environment(BaseModel):
    """Where the run was computed; decides no score beyond rounding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: str
    platform: str
    device: str
    packages: dict[str, str]
    git_commit: str | None = None
    """Commit of the checkout the code runs from; None for an installed wheel."""
    git_dirty: bool | None = None


class RunRecord(BaseModel):
    """One run: what was drawn, by what, how well."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    fingerprint: str
    """First 16 hexadecimal digits of the identity's SHA-256; also the name of the run folder."""
    fingerprint_version: int
    benchmark_version: str
    """Version of storybench."""
    status: Status
    reason: str | None = None
    """What went wrong, for ``error`` and ``incomplete``."""
    model: ModelInfo
    dataset: DatasetInfo
    split: str
    """Subset of the data set: train, val, test, mini, ..."""
    text: str
    """Text mode of the captions."""
    seed: int
    scores: dict[str, Score] = Field(default_factory=dict)
    """Metric id -> score; fractions in [0, 1]."""
    details: dict[str, Any] = Field(default_factory=dict)
    """What stands beside the scores: the evaluator, its accuracies on true frames, chance levels."""
    score_key: str | None = None
    """Hash of the frames and of what scored them; scores under another key are computed anew."""
    coverage: Coverage
    seconds_per_frame: float | None = None
    """Drawing time only."""
    batch_size: int
    environment: Environment
    command: str
    started: str
    """UTC, ISO 8601."""
    ended: str | None = None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a record."""
    return RunRecord.model_json_schema()
