"""Everything that can be wrong with an archive, said at once; nothing of it is trusted, run or written anywhere.

An archive goes through four gates: it is a zip file that says one thing (:mod:`archive`), its manifest is one
(:mod:`manifest`), it holds exactly the frames of a benchmark version, and every frame is a picture as a model drew it
(:mod:`pictures`). What fails one gate is still looked at by the others as far as it can be, so that one report names
all there is to mend. Memory holds the directory and one frame at a time.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from storybench.benchmark import Benchmark, load_benchmark
from storybench.errors import StorybenchError
from storybench.submission.archive import CHUNK, MAX_ENTRIES, Archive, ArchiveEntry, Unreadable, open_archive
from storybench.submission.expecting import Expectation, expectation
from storybench.submission.manifest import MANIFEST, MAX_BYTES, PACK, Manifest, read_manifest
from storybench.submission.names import FRAME_NAME
from storybench.submission.pictures import look
from storybench.submission.report import Findings, Report, shown
from storybench.submission.suspicion import Pictures, card_warnings

MAX_FRAME = 16 << 20  # bytes of one picture of unknown size
PNG_OVERHEAD = 1 << 16  # bytes that text and profiles may add
Progress = Callable[[int, int], None]  # frames looked at, frames in all


def check_archive(
    source: Path | BinaryIO,
    *,
    benchmark: str | Benchmark | None = None,
    text: str | None = None,
    root: Path | None = None,
    expected: Expectation | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return everything that is wrong with an archive; bad archives never raise.

    Args:
        source: The file, or an open binary file that can seek.
        benchmark: The version it must be of; None: what its manifest says.
        text: The text it must be of; None: what its manifest says.
        root: Folder of the data set, for those that are not shipped.
        expected: What it must hold, if that is known already; then the three above are not looked at.
        progress: Told how many frames were looked at.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _check(file, benchmark, text, root, expected, progress)
        except OSError as error:
            findings = Findings()
            findings.error("unreadable", "archive", f"cannot be read ({error.strerror})", "give an archive's path")
            return Report(findings.problems())
    return _check(source, benchmark, text, root, expected, progress)


def _check(
    file: BinaryIO,
    benchmark: str | Benchmark | None,
    text: str | None,
    root: Path | None,
    expected: Expectation | None,
    progress: Progress | None,
) -> Report:
    started, findings = time.perf_counter(), Findings()
    limit = MAX_ENTRIES if expected is None else expected.frames * 2 + 100
    archive = open_archive(file, findings, limit)
    if archive is None:
        return Report(findings.problems())
    manifest = _manifest(archive, findings)
    if manifest is not None and expected is None:
        expected = _expected(manifest, benchmark, text, root, findings)
    seen: Pictures | None = None
    if manifest is not None and expected is not None:
        check_manifest(manifest, expected, findings)
        seen = _Frames(archive, manifest, expected, findings, progress).look()
        seen.judge(findings)
    _check_names(archive, manifest, findings)
    digest, size = sha256_of(file)
    summary: dict[str, object] = {"bytes": size, "sha256": digest}
    if manifest is not None:
        summary |= {"benchmark": manifest.benchmark, "text": manifest.text, "model": manifest.card.name}
        summary |= {"stories": len(manifest.frames), "frames": sum(map(len, manifest.frames.values()))}
        summary["claims_scores"] = manifest.record is not None and bool(manifest.record.scores)
    if seen is not None:
        summary |= seen.summary()
    summary["seconds"] = round(time.perf_counter() - started, 2)
    return Report(findings.problems(), manifest, summary)


def sha256_of(file: BinaryIO) -> tuple[str, int]:
    """Return hash and size of a whole file, read piece by piece."""
    total = hashlib.sha256()
    size = file.seek(0, 2)
    file.seek(0)
    while chunk := file.read(CHUNK):
        total.update(chunk)
    return total.hexdigest(), size


def _manifest(archive: Archive, findings: Findings) -> Manifest | None:
    """Return the manifest if the first entry is one."""
    named = [entry for entry in archive.entries if entry.name == MANIFEST]
    if not named:
        findings.error("no-manifest", "archive", f"has no {MANIFEST}", PACK)
        return None
    if archive.entries[0].name != MANIFEST:
        findings.error("order", MANIFEST, "is not the first entry", PACK)
    if not named[0].sound:
        return None
    try:
        return read_manifest(archive.read(named[0], MAX_BYTES), findings)
    except Unreadable as error:
        findings.error(error.kind, MANIFEST, str(error), PACK)
        return None


def _expected(
    manifest: Manifest, benchmark: str | Benchmark | None, text: str | None, root: Path | None, findings: Findings
) -> Expectation | None:
    """Return what the archive must hold, or None after saying why that is not known."""
    wanted = manifest.benchmark if benchmark is None else benchmark
    try:
        version = load_benchmark(wanted) if isinstance(wanted, str) else wanted
        return expectation(version, manifest.text if text is None else text, root)
    except StorybenchError as error:
        findings.error("benchmark", MANIFEST, str(error).rstrip("."), "name a version and a text that exist")
        return None


def check_manifest(manifest: Manifest, expected: Expectation, findings: Findings) -> None:
    """Say where a manifest is not that of the benchmark version, and what its card leaves open."""
    name, again = expected.benchmark.name, "pack it with this version of storybench and the right benchmark="
    if manifest.benchmark != name:
        findings.error("benchmark", MANIFEST, f"is of {shown(manifest.benchmark)}, expected {name}", again)
    if manifest.text != expected.text:
        findings.error("text", MANIFEST, f"is of text {shown(manifest.text)}, expected {expected.text}", again)
    if manifest.data_hash != expected.data_hash or manifest.ids_sha256 != expected.ids_sha256:
        findings.error("split", MANIFEST, f"is of other stories than {name} in text {expected.text}", again)
    mend = f"hand in every story of {name} with all its frames, none left out and none added"
    for story, count in expected.counts.items():
        if story not in manifest.frames:
            findings.error("missing-story", f"frames/{story}", "is not in the manifest", mend)
        elif len(manifest.frames[story]) != count:
            what = f"has {len(manifest.frames[story])} frames, expected {count}"
            findings.error("frame-count", f"frames/{story}", what, mend)
    for story in manifest.frames.keys() - expected.counts.keys():
        findings.error("extra-story", f"frames/{story}", f"is no story of {name}", mend)
    for story, files in manifest.frames.items():
        for k, each in enumerate(files):
            if each.file not in (f"frames/{story}/{k}.png", f"frames/{story}/{k}.webp"):
                findings.error("frame-name", shown(each.file), f"is listed as frame {k} of {story}", PACK)
    check_record(manifest, findings)
    card_warnings(manifest, findings)


def check_record(manifest: Manifest, findings: Findings) -> None:
    """Say where the record inside is not about what the manifest is about."""
    record = manifest.record
    if record is None:
        return
    mend = "give the record of this very run, or leave record= out"
    if (record.text, record.dataset.hash) != (manifest.text, manifest.data_hash):
        findings.error("record", f"{MANIFEST} record", "is of other stories or another text than the frames", mend)
    if record.coverage.fraction != 1.0 or record.status != "success":
        findings.error("record", f"{MANIFEST} record", f"is of a run that is {record.status}, not whole", mend)
    if record.model.oracle:
        findings.error("record", f"{MANIFEST} record", "is of a model that was shown the true frames", mend)


@dataclass
class _Frames:
    """Goes through the frames of an archive, one at a time."""

    archive: Archive
    manifest: Manifest
    expected: Expectation
    findings: Findings
    progress: Progress | None
    listed: Mapping[str, str] = field(init=False)  # file -> SHA-256

    def __post_init__(self) -> None:
        self.listed = {f.file: f.sha256 for files in self.manifest.frames.values() for f in files}

    def look(self) -> Pictures:
        """Look at every frame and return what they have in common."""
        seen = Pictures(self.expected)
        frames = [entry for entry in self.archive.entries if entry.name in self.listed]
        self._say_missing({entry.name for entry in frames})
        done: set[str] = set()
        for number, entry in enumerate(frames, start=1):
            if entry.sound and entry.name not in done:
                self._look_at(entry, seen)
            done.add(entry.name)
            if self.progress is not None:
                self.progress(number, len(frames))
        return seen

    def _say_missing(self, there: set[str]) -> None:
        for name in self.listed:
            if name not in there:
                self.findings.error("missing-frame", shown(name), "is in the manifest but not in the archive", PACK)

    def _look_at(self, entry: ArchiveEntry, seen: Pictures) -> None:
        try:
            data = self.archive.read(entry, frame_limit(self.expected.size))
        except Unreadable as error:
            self.findings.error(error.kind, entry.name, str(error), PACK)
            return
        if hashlib.sha256(data).hexdigest() != self.listed[entry.name]:
            self.findings.error("sha256", entry.name, "is not the file that the manifest states", PACK)
        looked = look(data, entry.name.rpartition(".")[2], self.expected.size)
        for issue in looked.issues:
            add = self.findings.error if issue.severity == "error" else self.findings.warning
            add(issue.kind, entry.name, issue.what, issue.mend)
        if looked.image is not None:
            seen.add(entry.name, looked.image)


def frame_limit(size: tuple[int, int] | None) -> int:
    """Return how many bytes one picture may take: its raw pixels, and something for text."""
    return MAX_FRAME if size is None else size[0] * size[1] * 4 + PNG_OVERHEAD


def _check_names(archive: Archive, manifest: Manifest | None, findings: Findings) -> None:
    """Say which entries have no place in an archive, and which names stand twice."""
    names = Counter(entry.name for entry in archive.entries)
    folded = Counter(name.casefold() for name in names)
    for name, count in names.items():
        if count > 1:
            findings.error("duplicate", shown(name), f"stands {count} times in the archive", PACK)
        elif folded[name.casefold()] > 1:
            findings.error("case", shown(name), "differs from another entry in upper and lower case only", PACK)
    listed = None if manifest is None else {f.file for files in manifest.frames.values() for f in files}
    mend = f"an archive holds {MANIFEST} and the frames/<story>/<k>.png that it lists, nothing else"
    for entry in archive.entries:
        if not entry.sound or entry.name == MANIFEST:
            continue
        if not FRAME_NAME.fullmatch(entry.name):
            findings.error("unknown-file", shown(entry.name), "has no place in an archive", mend)
        elif listed is not None and entry.name not in listed:
            findings.error("unlisted", entry.name, "is not in the manifest", mend)
