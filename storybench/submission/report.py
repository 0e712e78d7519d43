"""What a check found: problems in words, each with its mend. Text of others is shown escaped and cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from storybench.submission.manifest import Manifest

Severity = Literal["error", "warning"]
MAX_NAMED = 5  # problems of one kind spelled out; the rest is counted
MAX_SHOWN = 100  # characters of another's text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or that whoever looks at the row should know."""

    severity: Severity
    where: str
    """Entry of the archive, key of the manifest, or ``archive``."""
    what: str
    mend: str
    kind: str = ""
    """Short name of the check, such as ``sha256``."""

    def line(self) -> str:
        """Return the problem on one line."""
        return f"{self.severity}: {self.where}: {self.what}; {self.mend}"


@dataclass(frozen=True)
class Report:
    """Everything that a check found."""

    problems: tuple[Problem, ...]
    manifest: Manifest | None = None
    """What the archive says of itself, if it could be read as a manifest."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready: benchmark, text, stories, frames, bytes, sha256, and what was measured."""

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are allowed."""
        return self.manifest is not None and not self.errors

    @property
    def errors(self) -> list[Problem]:
        """What must be mended."""
        return [p for p in self.problems if p.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """What the row will say."""
        return [p for p in self.problems if p.severity == "warning"]

    @property
    def counted(self) -> str:
        """How many of each, in words: ``1 error, 2 warnings``."""
        counts = (("error", len(self.errors)), ("warning", len(self.warnings)))
        return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {"ok": self.ok, "summary": dict(self.summary), "problems": [asdict(p) for p in self.problems]}


class Findings:
    """Collects problems; of each kind the first few are spelled out and the rest counted."""

    def __init__(self) -> None:
        self._named: list[Problem] = []
        self._counts: Counter[tuple[str, Severity]] = Counter()
        self._mends: dict[tuple[str, Severity], str] = {}

    def error(self, kind: str, where: str, what: str, mend: str) -> None:
        """Add what must be mended."""
        self._add("error", kind, where, what, mend)

    def warning(self, kind: str, where: str, what: str, mend: str) -> None:
        """Add what the row will say."""
        self._add("warning", kind, where, what, mend)

    @property
    def has_errors(self) -> bool:
        """Whether anything must be mended so far."""
        return any(severity == "error" for _, severity in self._counts)

    def problems(self) -> tuple[Problem, ...]:
        """Return errors first, then warnings, in the order they were found."""
        more = [
            Problem(
                severity, "elsewhere", f"and {count - MAX_NAMED} more of this kind ({kind})", self._mends[key], kind
            )
            for key, count in self._counts.items()
            if count > MAX_NAMED
            for kind, severity in [key]
        ]
        return tuple(sorted([*self._named, *more], key=lambda p: p.severity))

    def _add(self, severity: Severity, kind: str, where: str, what: str, mend: str) -> None:
        key = (kind, severity)
        self._counts[key] += 1
        self._mends.setdefault(key, mend)
        if self._counts[key] <= MAX_NAMED:
            self._named.append(Problem(severity, where, what, mend, kind))


def shown(text: object) -> str:
    """Return another's text as printable ASCII of bounded length, in quotes."""
    whole = ascii(text if isinstance(text, (str, bytes)) else str(text))
    return whole if len(whole) <= MAX_SHOWN else f"{whole[: MAX_SHOWN - 4]}...{whole[-1]}"
