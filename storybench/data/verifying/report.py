"""What verification found: files, counts, defects, and how people and programs read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from storybench.errors import DataError

WELL, DEFECTIVE, UNUSABLE = 0, 1, 2
MAX_NAMED = 5  # ids spelled out in one sentence

T = TypeVar("T")


@dataclass(frozen=True)
class FileState:
    """One file, or kind of file, of a layout.

    Attributes:
        path: Under the root; ``*`` stands for a clip; "a or b" if either serves.
        what: What it holds.
        published: Where it can be had.
        need: ``required``, ``expected`` (the release has less to offer without it) or ``optional``.
        present: Whether it is there.
        without: What is lost without it; empty if nothing is.
    """

    path: str
    what: str
    published: str
    need: str
    present: bool
    without: str = ""


@dataclass(frozen=True)
class Count:
    """A number of this release beside that of the published one."""

    name: str
    found: int
    expected: int

    @property
    def ok(self) -> bool:
        """Whether it is the published number."""
        return self.found == self.expected


@dataclass(frozen=True)
class Defect:
    """Something wrong, in one sentence.

    Attributes:
        name: A word for programs, such as ``short_tail``.
        text: The sentence.
        known: Whether the official release has it too: storybench works around it, and it leaves the status alone.
    """

    name: str
    text: str
    known: bool = False


@dataclass(frozen=True)
class Report:
    """What :func:`storybench.data.verify.verify` found.

    Attributes:
        dataset: ``flintstones`` or ``pororo``.
        layout: Its name; empty if it was not recognised.
        root: Name of the folder, without the path to it.
        files: The layout's files, or those of all layouts if none was recognised.
        counts: Numbers beside the published ones.
        defects: What is wrong.
        notes: What is worth knowing and not wrong.
        unusable: Why stories cannot be made, a sentence each; empty if they can.
    """

    dataset: str
    layout: str
    root: str
    files: tuple[FileState, ...] = ()
    counts: tuple[Count, ...] = ()
    defects: tuple[Defect, ...] = ()
    notes: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """0: as published. 1: defects, expected files missing, or other counts. 2: no story can be made."""
        if self.unusable:
            return UNUSABLE
        lacking = any(f.need == "expected" and not f.present for f in self.files)
        wrong = any(not d.known for d in self.defects) or any(not c.ok for c in self.counts)
        return DEFECTIVE if lacking or wrong else WELL

    def lines(self) -> list[str]:
        """Return the report for people, line by line."""
        lines = [f"{self.dataset}, layout {self.layout or 'not recognised'}, folder {self.root}"]
        lines += _section("Files", [_file_line(f) for f in self.files])
        lines += _section("Counts", [_count_line(c) for c in self.counts])
        lines += _section("Unusable", self.unusable)
        lines += _section("Defects", [f"{d.name}: {d.text}" for d in self.defects if not d.known])
        lines += _section("Known defects of the release", [f"{d.name}: {d.text}" for d in self.defects if d.known])
        lines += _section("Notes", self.notes)
        verdict = ("As published.", "Not as published: see above.", "Not usable: see above.")[self.status]
        return [*lines, verdict]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "dataset": self.dataset,
            "layout": self.layout,
            "root": self.root,
            "status": self.status,
            "files": [asdict(f) for f in self.files],
            "counts": [{**asdict(c), "ok": c.ok} for c in self.counts],
            "defects": [asdict(d) for d in self.defects],
            "notes": list(self.notes),
            "unusable": list(self.unusable),
        }


@dataclass
class Findings:
    """Collects what the checks find in one release.

    A check that cannot read its file adds a sentence and the next check goes on, so that one damaged file does not
    hide another.
    """

    root: Path
    counts: list[Count] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    def count(self, name: str, found: int, expected: int) -> None:
        """Note a number beside the published one."""
        self.counts.append(Count(name, found, expected))

    def defect(self, name: str, text: str, known: bool = False) -> None:
        """Note a defect in one sentence."""
        self.defects.append(Defect(name, text, known))

    def some(self, name: str, ids: Iterable[str], text: str, known: bool = False) -> None:
        """Note a defect of ``ids``, if any: ``text`` says what is the matter after ``{n}``, the names follow."""
        if listed := list(ids):
            self.defect(name, f"{text.format(n=f'{len(listed):,}')}: {some_of(listed)}.", known)

    def read(self, name: str, reader: Callable[[Path], T], required: bool = False) -> T | None:
        """Return what ``reader`` makes of file ``name``; None, and a sentence, if it cannot; None if it is absent.

        A reader raises DataError, which safe reading does, or KeyError, TypeError or ValueError for another shape.
        """
        path = self.root / name
        if not path.exists():
            return None
        try:
            return reader(path)
        except DataError as error:
            sentence = str(error).replace(str(path), name)
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            sentence = f"'{name}' is not of the published form ({type(error).__name__}: {error}); take it again."
        if required:
            self.unusable.append(sentence)
        else:
            self.defect("unreadable", sentence)
        return None


def some_of(names: Iterable[str]) -> str:
    """Return the first names as a list in words, and how many more there are."""
    listed = list(names)
    tail = f" and {len(listed) - MAX_NAMED:,} more" if len(listed) > MAX_NAMED else ""
    return ", ".join(listed[:MAX_NAMED]) + tail


def _section(title: str, rows: Iterable[str]) -> list[str]:
    lines = [f"  {row}" for row in rows]
    return [f"{title}:", *lines] if lines else []


def _file_line(file: FileState) -> str:
    if file.present:
        return f"there     {file.path}: {file.what}"
    loss = f"; without it {file.without}" if file.without else ""
    return f"{'MISSING' if file.need != 'optional' else 'not there'}".ljust(10) + (
        f"{file.path} ({file.need}): {file.what}{loss}; published: {file.published}"
    )


def _count_line(count: Count) -> str:
    if count.ok:
        return f"ok        {count.name}: {count.found:,}"
    return f"OTHER     {count.name}: found {count.found:,}, expected {count.expected:,}"
