"""``manifest.json``: what an archive says of itself. Typed, closed, versioned; unknown keys are refused.

It is read as bytes that anybody may have written: of bounded length and depth, in UTF-8, every key once, no NaN, no
text that hides or turns other text around. Markup and script in a card are text like any other: whoever shows it
escapes it.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from storybench.board.entry import SLUG, Line, ModelCard
from storybench.records.migration import migrated
from storybench.records.record import SCHEMA_VERSION, RunRecord
from storybench.submission.report import Findings, shown

MANIFEST = "manifest.json"
SUBMISSION_SCHEMA = 1
MAX_BYTES = 8 << 20  # 11,500 frames of the largest test split take 2 MB
MAX_DEPTH = 24  # a record nests 6 deep
PACK = "pack it again with storybench submit pack"
_HIDDEN = frozenset(
    [0x061C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, *range(0xE0000, 0xE0080)]
)  # marks that turn the direction of text around, and characters without a width; joiners of real scripts are not here
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
StoryId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]


class FrameFile(BaseModel):
    """One picture of the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[
        str, StringConstraints(pattern=r"^frames/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}/[0-9]{1,4}\.(png|webp)$")
    ]
    """``frames/<story id>/<k>.png`` or ``.webp``, k from 0."""
    sha256: Sha256
    """Of the file's bytes."""


class Manifest(BaseModel):
    """What an archive says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    benchmark: str
    """Name of the benchmark version."""
    text: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_:-]{0,63}$")]
    """Text mode that the frames were drawn from."""
    data_hash: Sha256
    """Of what was asked: captions, mentions and labels of the stories in that text."""
    ids_sha256: Sha256
    """Of the ids of the stories."""
    card: ModelCard
    frames: dict[StoryId, Annotated[list[FrameFile], Field(min_length=1, max_length=1_000)]]
    """Story id -> its pictures in order."""
    seconds_per_frame: float | None = Field(default=None, ge=0, le=1e7, allow_inf_nan=False)
    """Drawing time, as the submitter measured it."""
    created: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00|Z)$")]
    """UTC, ISO 8601."""
    packed_by: Line
    """Program and version that wrote the archive."""
    record: RunRecord | None = None
    """The submitter's own record: scores to compare with those found."""

    @field_validator("benchmark")
    @classmethod
    def _is_slug(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError("expected a benchmark version, such as toonsv-v1")
        return value

    @field_validator("record", mode="before")
    @classmethod
    def _migrate(cls, value: object) -> object:
        version = value.get("schema_version") if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(version, int) and 1 <= version < SCHEMA_VERSION:
            try:
                return migrated(value, version)
            except (AttributeError, KeyError, TypeError) as error:
                raise ValueError(f"a record of schema {version} that cannot be read") from error
        if isinstance(version, int) and not 1 <= version <= SCHEMA_VERSION:
            raise ValueError(f"record schema {version} is not one of 1 to {SCHEMA_VERSION}")
        return value

    def to_bytes(self) -> bytes:
        """Return the file: sorted keys, one indentation, a newline at the end."""
        content = self.model_dump(mode="json")
        return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``manifest.json``."""
    return Manifest.model_json_schema()


def read_manifest(data: bytes, findings: Findings) -> Manifest | None:
    """Return the manifest of a file's bytes, or None after saying everything that is wrong with it."""
    try:
        text = data.decode("utf-8")
        content = _parsed(text)
    except (ValueError, RecursionError) as error:
        findings.error("manifest-json", MANIFEST, f"cannot be read: {_reason(error)}", PACK)
        return None
    if not isinstance(content, dict):
        findings.error("manifest-json", MANIFEST, "is not a JSON object", PACK)
        return None
    version = content.get("schema_version")
    if isinstance(version, int) and version > SUBMISSION_SCHEMA:
        mend = "upgrade storybench, or pack it again with this version"
        findings.error("manifest-schema", MANIFEST, f"has schema {version}, newer than {SUBMISSION_SCHEMA}", mend)
        return None
    hidden = list(_bad_text(content))
    for where, what in hidden:
        findings.error("manifest-text", f"{MANIFEST} {where}", what, "write it without, then pack again")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            where = shown(".".join(str(part) for part in problem["loc"])).strip("'\"")
            findings.error("manifest-schema", f"{MANIFEST} {where}", str(problem["msg"]), f"mend the card, or {PACK}")
        return None
    return None if hidden else manifest


def _parsed(text: str) -> Any:
    """Return JSON of bounded depth with every key once and finite numbers."""
    depth = deepest = 0
    for letter in text:  # brackets in strings count too: no honest card comes near the limit
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth -= 1
    if deepest > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text)} is out of range")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)[:200]


def _bad_text(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield where text holds characters that no reader sees."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{where}.{key}" if where else str(key)
            if _hidden(str(key)) is not None:
                yield shown(below), "a key holds a control character or a mark that hides or turns text around"
            else:
                yield from _bad_text(inner, below)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _bad_text(inner, f"{where}.{number}")
    elif isinstance(value, str) and (found := _hidden(value)) is not None:
        yield shown(where).strip("'\""), f"holds U+{found:04X}, a control character or a mark that hides or turns text"


def _hidden(text: str) -> int | None:
    """Return the first character that no reader sees, except line breaks and tabs."""
    if text.isascii() and text.isprintable():
        return None
    for letter in text:
        if ord(letter) in _HIDDEN or (unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t"):
            return ord(letter)
    return None
