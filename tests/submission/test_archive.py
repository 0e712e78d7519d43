"""Zip files that lie: each is refused with the reason, and none is read further than it may be."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from submission_archives import DEFLATED, MODE, Part, changed, parts_of, zipped

from storybench.submission.checking import check_archive

HUGE = 1 << 26
UNICODE_PATH = struct.pack("<2HBL", 0x7075, 5 + 3, 1, 0) + b"a/b"
ZIP64 = struct.pack("<2HQ", 0x0001, 8, 1)


def kinds(data: bytes, expected) -> set[str]:
    """Return the kinds of errors that a check finds."""
    report = check_archive(io.BytesIO(data), expected=expected)
    assert all(p.what and p.mend and p.where for p in report.problems)
    return {p.kind for p in report.errors}


def test_a_good_archive_has_no_error(good, expected):
    report = check_archive(io.BytesIO(good), expected=expected)
    assert report.ok, [p.line() for p in report.problems]
    assert report.summary["frames"] == report.summary["decoded"] == report.summary["different"] == 10
    assert report.summary["true_frames"] == report.summary["training_frames"] == 0


def test_python_reads_what_the_forge_writes(good):
    """The forge is a zip writer: another reader agrees with it, so its lies below are the only ones."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"


def _deflated(parts):
    return changed(parts, 1, method=DEFLATED)


NAMES = {
    b"": "path-empty",
    b"x" * 201: "path-long",
    b"frames/a\0b.png": "path-nul",
    b"frames/a\nb.png": "path-control",
    "frames/é.png".encode(): "path-non-ascii",
    "frames/toonsv\u2215x.png".encode(): "path-non-ascii",
    b"frames\\a.png": "path-backslash",
    b"C:/a.png": "path-drive",
    b"/etc/passwd": "path-absolute",
    b"../../a.png": "path-traversal",
    b"frames/../../a.png": "path-traversal",
    b"frames/./0.png": "path-form",
    b"frames//0.png": "path-form",
    b"frames/toonsv-mini-00000/": "directory",
    b"frames/toonsv-mini-00000/00.png": "unknown-file",
    b"frames/toonsv-mini-00000/0.jpg": "unknown-file",
    b"run.py": "unknown-file",
    b"FRAMES/toonsv-mini-00000/0.png": "unknown-file",
}


@pytest.mark.parametrize(("name", "kind"), NAMES.items(), ids=[repr(name[:20]) for name in NAMES])
def test_a_name_that_leads_elsewhere_is_refused(name, kind, expected, frames):
    parts = [*parts_of(expected, frames), Part(name, b"x")]
    assert kind in kinds(zipped(parts), expected)


TYPES = {
    "symlink": {"attributes": (stat.S_IFLNK | 0o777) << 16, "data": b"/etc/passwd"},
    "device": {"attributes": (stat.S_IFCHR | 0o644) << 16},
    "directory": {"attributes": (stat.S_IFDIR | 0o755) << 16},
    "executable": {"attributes": (stat.S_IFREG | 0o755) << 16},
}


@pytest.mark.parametrize("kind", TYPES)
def test_only_plain_files_are_read(kind, expected, frames):
    assert kind in kinds(zipped(changed(parts_of(expected, frames), 1, **TYPES[kind])), expected)


def test_a_folder_of_another_system_is_seen(expected, frames):
    assert "directory" in kinds(zipped(changed(parts_of(expected, frames), 1, host=0, attributes=0x10)), expected)


FORMS = {
    "encrypted": {"flags": 0x1},
    "streamed": {"flags": 0x8},
    "method": {"method": 12},
    "second-name": {"extra": UNICODE_PATH},
    "zip64": {"extra": ZIP64},
    "other-name": {"local_name": b"frames/toonsv-mini-00000/9.png"},
    "crc": {"crc": 1},
    "gap": {"before": b"#!/bin/sh\n"},
}


@pytest.mark.parametrize("kind", FORMS)
def test_how_an_entry_is_stored_is_checked(kind, expected, frames):
    assert kind in kinds(zipped(changed(parts_of(expected, frames), 1, **FORMS[kind])), expected)


LIES = [
    {"size": 5},
    {"packed_size": 5},
    {"local_size": 5},
    {"offset": 1 << 30},
    {"offset": 3},
    {"comment": b"hello"},
]


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_two_headers_that_disagree_are_seen(lie, expected, frames):
    found = kinds(zipped(changed(parts_of(expected, frames), 1, **lie)), expected)
    assert {"lies", "zip64"} & found, found


def test_deflated_frames_are_read(expected, frames):
    report = check_archive(io.BytesIO(zipped(_deflated(parts_of(expected, frames)))), expected=expected)
    assert report.ok


def test_a_declared_bomb_is_refused_before_it_is_read(expected, frames):
    parts = changed(parts_of(expected, frames), 1, method=DEFLATED, data=b"\0" * HUGE)
    assert "bomb" in kinds(zipped(parts), expected)


@pytest.mark.parametrize("which", [0, 1])
def test_a_bomb_that_lies_about_its_size_is_read_to_that_size_only(which, expected, frames):
    """Of 64 MB that hide behind a header of 4,000 bytes, no more than those are ever in memory."""
    raw = zlib.compress(b"\0" * HUGE, 9)[2:-4]
    data = zipped(changed(parts_of(expected, frames), which, method=DEFLATED, raw=raw, size=4_000))
    tracemalloc.start()
    found = kinds(data, expected)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "bomb" in found
    assert peak < HUGE / 4


def test_entries_that_share_their_bytes_are_refused(expected, frames):
    """The quoted zip bomb: many entries of the directory, one piece of data."""
    parts = parts_of(expected, frames)
    first = len(zipped(parts[:1])) - 22 - 46 - len(b"manifest.json")
    more = [Part(f"frames/x/{k}.png".encode(), b"", offset=first, size=10, packed_size=10) for k in range(9)]
    assert "overlap" in kinds(zipped([*parts, *more]), expected)


def test_an_entry_that_stands_twice_is_refused(expected, frames):
    parts = parts_of(expected, frames)
    assert "duplicate" in kinds(zipped([*parts, parts[1]]), expected)


def test_names_that_differ_in_case_only_are_refused(expected, frames):
    parts = [*parts_of(expected, frames), Part(b"frames/TOONSV-mini-00000/0.png", b"x")]
    assert "case" in kinds(zipped(parts), expected)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"comment": b"hello"}, "trailing"),
        ({"after": b"PK\x03\x04"}, "trailing"),
        ({"count": 3}, "lies"),
        ({"count": 0xFFFF}, "zip64"),
        ({"count": 40_000}, "entries"),
        ({"disk": 1}, "lies"),
    ],
    ids=str,
)
def test_the_end_of_an_archive_must_be_true(options, kind, expected, frames):
    assert kind in kinds(zipped(parts_of(expected, frames), **options), expected)


@pytest.mark.parametrize("cut", [1, 22, 100, 1_000, 5_000, 100_000])
def test_a_file_that_was_cut_short_is_called_so(cut, good, expected):
    assert kinds(good[:-cut], expected) == {"truncated"}


@pytest.mark.parametrize("data", [b"", b"PK", b"\x89PNG\r\n\x1a\n", b"\x80\x04}.", b"Rar!\x1a\x07\x00", b"%PDF-1.7"])
def test_what_is_no_zip_is_called_so(data, expected):
    assert kinds(data, expected) == {"not-a-zip"}


def test_a_program_in_front_of_an_archive_is_refused(good, expected):
    assert kinds(b"#!/bin/sh\n" + good, expected) == {"not-a-zip"}


def test_too_many_entries_are_refused_before_the_directory_is_read(expected, frames):
    many = [Part(f"frames/s/{k}.png".encode()) for k in range(200)]
    assert kinds(zipped([*parts_of(expected, frames), *many]), expected) == {"entries"}


def test_all_problems_are_said_at_once(expected, frames):
    parts = parts_of(expected, frames)
    parts = changed(parts, 1, attributes=MODE | 0o111 << 16)
    parts = changed(parts, 2, crc=7)
    parts = [*parts, Part(b"../x", b""), Part(b"setup.py", b"import os")]
    assert {"executable", "crc", "path-traversal", "unknown-file"} <= kinds(zipped(parts), expected)


def test_text_of_others_comes_back_as_printable_ascii(expected, frames):
    name = b"\x1b]0;title\x07" + "\u202egnp.exe".encode()
    report = check_archive(io.BytesIO(zipped([*parts_of(expected, frames), Part(name)])), expected=expected)
    said = "".join(p.line() for p in report.problems)
    assert said.isascii()
    assert said.isprintable()
