"""A zip file that anybody may have made, read as bytes: one strict reading, or what is wrong with it.

Readers of zip files disagree where a file contradicts itself, and every attack lives there. So nothing is forgiven: the
archive is its entries from the first byte, one after the other without gap or overlap, then a directory that says of
each exactly what the entry says of itself, then the end. No zip64, no encryption, no comment, no second name. Sizes are
compared with limits before a byte is read, and reading stops at the declared size whatever the data does. Nothing is
written anywhere.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5; overlapping entries: Fifield, "A better zip bomb", 2019.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from storybench.submission.manifest import PACK
from storybench.submission.names import name_problem, type_problem
from storybench.submission.report import Findings, shown

LOCAL, CENTRAL, END, END64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x07"
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _STREAMED, _PATCH, _STRONG, _MASKED = 0x1, 0x8, 0x20, 0x40, 0x2000
_STORED, _DEFLATED = 0, 8
_ZIP64, _UNICODE_NAME = 0x0001, 0x7075
CHUNK = 1 << 16
MAX_ARCHIVE = 4 << 30  # bytes; beyond lies zip64
MAX_ENTRIES = 60_000
MAX_DIRECTORY = 32 << 20
RATIO, RATIO_FROM = 100, 1 << 16  # JSON shrinks 10 times; pictures not at all


class Unreadable(Exception):
    """The data of an entry is not what the directory says; ``kind`` names the check."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


@dataclass(frozen=True)
class ArchiveEntry:
    """One file of the archive, as its directory and its own header agree on it."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int  # of its data
    sound: bool  # whether it may be read


class Archive:
    """The entries of an archive and their bytes."""

    def __init__(self, file: BinaryIO, entries: list[ArchiveEntry]) -> None:
        self._file = file
        self.entries = entries

    def read(self, entry: ArchiveEntry, limit: int) -> bytes:
        """Return the bytes of an entry.

        Raises:
            Unreadable: If it is larger than ``limit``, or its data is not of the declared size and checksum.
        """
        if entry.size > limit:
            raise Unreadable("entry-size", f"is {entry.size} bytes large, {limit} are allowed")
        data = b"".join(self._inflated(entry) if entry.method == _DEFLATED else self._chunks(entry))
        if len(data) != entry.size:
            raise Unreadable("lies", f"holds {len(data)} bytes, its header says {entry.size}")
        if zlib.crc32(data) != entry.crc:
            raise Unreadable("crc", "is damaged: its checksum is not the one in its header")
        return data

    def _chunks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        self._file.seek(entry.start)
        left = entry.packed
        while left:
            chunk = self._file.read(min(CHUNK, left))
            if not chunk:
                raise Unreadable("truncated", "ends before its data does")
            left -= len(chunk)
            yield chunk

    def _inflated(self, entry: ArchiveEntry) -> Iterator[bytes]:
        """Yield what deflated data expands to, at most one byte more than declared."""
        inflate, left = zlib.decompressobj(-zlib.MAX_WBITS), entry.size + 1
        for chunk in self._chunks(entry):
            pending = chunk
            while pending and not inflate.eof:
                try:
                    out = inflate.decompress(pending, max(left, 1))
                except zlib.error as error:
                    raise Unreadable("damaged", "is damaged: its compressed data cannot be read") from error
                left -= len(out)
                if left <= 0:
                    raise Unreadable("bomb", f"expands beyond the {entry.size} bytes that its header says")
                yield out
                pending = inflate.unconsumed_tail
        if not inflate.eof or inflate.unused_data:
            raise Unreadable("lies", "has compressed data of another length than its header says")


class _End(NamedTuple):
    entries: int
    size: int
    offset: int


def open_archive(file: BinaryIO, findings: Findings, max_entries: int = MAX_ENTRIES) -> Archive | None:
    """Return the archive of a seekable file, or None after saying why it cannot be read at all."""
    length = file.seek(0, 2)
    if length > MAX_ARCHIVE:
        findings.error("archive-size", "archive", f"is {length} bytes large, {MAX_ARCHIVE} are allowed", PACK)
        return None
    end = _find_end(file, length, findings)
    if end is None:
        return None
    if end.entries > max_entries:
        what = f"has {end.entries} entries, at most {max_entries} are allowed here"
        findings.error("entries", "archive", what, "pack the frames of one benchmark version only")
        return None
    if end.size > MAX_DIRECTORY:
        findings.error("archive-size", "archive", f"has a directory of {end.size} bytes", PACK)
        return None
    file.seek(end.offset)
    return _entries(file, file.read(end.size), end, findings)


def _find_end(file: BinaryIO, length: int, findings: Findings) -> _End | None:
    """Return what the end of the archive says."""
    file.seek(0)
    head = file.read(4)
    if head not in (LOCAL, END):
        findings.error("not-a-zip", "archive", f"is not a zip archive: it begins with {shown(head)}", PACK)
        return None
    file.seek(max(0, length - _END.size - 0xFFFF))
    tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < _END.size:
        mend = "transfer the file again, and compare its SHA-256"
        findings.error("truncated", "archive", "is cut short: a zip archive's end is missing", mend)
        return None
    _, disk, first, here, total, size, offset, comment = _END.unpack_from(tail, at)
    if len(tail) - at != _END.size or comment:
        findings.error("trailing", "archive", "has a comment or other data after its end", PACK)
        return None
    if tail[max(0, at - 20) : at].startswith(END64) or 0xFFFF in (here, total) or 0xFFFFFFFF in (size, offset):
        findings.error("zip64", "archive", "is in the zip64 form, which no archive of frames needs", PACK)
        return None
    if disk or first or here != total:
        findings.error("lies", "archive", "says that it is one of several parts", PACK)
        return None
    if offset + size + _END.size != length:
        findings.error("lies", "archive", "has its directory elsewhere than its end says", PACK)
        return None
    return _End(total, size, offset)


def _entries(file: BinaryIO, directory: bytes, end: _End, findings: Findings) -> Archive | None:
    entries, spans, at = [], [], 0
    for number in range(end.entries):
        found = _central(directory, at)
        if found is None:
            what = f"has a damaged directory at entry {number + 1} of {end.entries}"
            findings.error("damaged", "archive", what, PACK)
            return None
        fields, raw, extra, at = found
        entry, stop = _entry(file, fields, raw, extra, end.offset, findings)
        entries.append(entry)
        spans.append((fields.offset, stop, shown(raw)))
    if at != len(directory):
        findings.error("lies", "archive", "has a directory with more in it than its end says", PACK)
    _check_spans(spans, end.offset, findings)
    return Archive(file, entries)


class _Central(NamedTuple):
    host: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int
    comment: int
    disk: int


def _central(directory: bytes, at: int) -> tuple[_Central, bytes, bytes, int] | None:
    """Return one header of the directory, its name, its extra field and where the next begins."""
    if len(directory) - at < _CENTRAL.size:
        return None
    values = _CENTRAL.unpack_from(directory, at)
    (mark, made, _, flags, method, _, _, crc, packed, size, n, e, c, disk, _, attributes, offset) = values
    begin = at + _CENTRAL.size
    if mark != CENTRAL or begin + n + e + c > len(directory):
        return None
    fields = _Central(made >> 8, flags, method, crc, packed, size, attributes, offset, c, disk)
    return fields, directory[begin : begin + n], directory[begin + n : begin + n + e], begin + n + e + c


def _entry(
    file: BinaryIO, fields: _Central, raw: bytes, extra: bytes, limit: int, findings: Findings
) -> tuple[ArchiveEntry, int]:
    """Return an entry and where its data ends, after saying what is wrong with it."""
    start, differs = _local(file, fields, raw)
    stop = start + fields.packed
    problems = [name_problem(raw), type_problem(raw, fields.host, fields.attributes), *_form(fields, extra), differs]
    if stop > limit:
        problems.append(("lies", "says that its data reaches into the directory"))
    found = [p for p in problems if p is not None]
    for kind, what in found:
        findings.error(kind, shown(raw).removeprefix("b"), what, PACK)
    name = raw.decode("ascii", "backslashreplace")
    sound = not found
    return ArchiveEntry(name, fields.method, fields.crc, fields.packed, fields.size, start, sound), stop


def _form(fields: _Central, extra: bytes) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with how an entry is stored."""
    if fields.flags & (_ENCRYPTED | _STRONG | _MASKED):
        yield "encrypted", "is encrypted"
    if fields.flags & (_STREAMED | _PATCH):
        yield "streamed", "was written as a stream, its sizes stand behind its data"
    if fields.method not in (_STORED, _DEFLATED):
        yield "method", f"is compressed by method {fields.method}; stored and deflated are read"
    elif fields.method == _STORED and fields.size != fields.packed:
        yield "lies", "is stored, with two different sizes"
    if 0xFFFFFFFF in (fields.packed, fields.size, fields.offset):
        yield "zip64", "is in the zip64 form"
    elif fields.size > RATIO_FROM and fields.size > RATIO * max(fields.packed, 1):
        yield "bomb", f"says that {fields.packed} bytes expand to {fields.size}"
    if fields.comment or fields.disk:
        yield "lies", "has a comment, or lies on another disk"
    kinds = list(_extra_kinds(extra))
    if _ZIP64 in kinds:
        yield "zip64", "is in the zip64 form"
    if _UNICODE_NAME in kinds:
        yield "second-name", "has a second name in its extra field"


def _extra_kinds(extra: bytes) -> Iterator[int]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        yield kind
        at += 4 + length


def _local(file: BinaryIO, fields: _Central, raw: bytes) -> tuple[int, tuple[str, str] | None]:
    """Return where the data of an entry begins, and how its own header contradicts the directory."""
    file.seek(fields.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(LOCAL):
        return fields.offset + _LOCAL.size, ("lies", "has no header where the directory says")
    _, _, flags, method, _, _, crc, packed, size, n, e = _LOCAL.unpack(header)
    name, extra = file.read(n), file.read(e)
    start = fields.offset + _LOCAL.size + n + e
    if name != raw:
        return start, ("other-name", f"is called {shown(name).removeprefix('b')} in its own header")
    if (flags, method, crc, packed, size) != (fields.flags, fields.method, fields.crc, fields.packed, fields.size):
        return start, ("lies", "has another size, checksum or method in its own header")
    if {_ZIP64, _UNICODE_NAME} & set(_extra_kinds(extra)):
        return start, ("second-name", "has another size or name in the extra field of its own header")
    return start, None


def _check_spans(spans: list[tuple[int, int, str]], directory: int, findings: Findings) -> None:
    """Say where entries overlap, and where bytes belong to none."""
    reached = 0
    for offset, stop, name in sorted(spans):
        if offset < reached:
            findings.error("overlap", name.removeprefix("b"), "overlaps the entry before it", PACK)
        elif offset > reached:
            findings.error("gap", name.removeprefix("b"), "has bytes before it that belong to no entry", PACK)
        reached = max(reached, stop)
    if reached < directory:
        findings.error("gap", "archive", "has bytes before its directory that belong to no entry", PACK)
