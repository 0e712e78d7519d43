"""A thousand archives spoilt on purpose: each is read or refused with a reason, and nothing else happens.

A mutation states which kinds of problem are a right answer; None where only chance decides what a flipped bit means.
While an archive is checked, Python reports every file that is opened to write, every process and every network
connection: there is none. Rates are printed by ``pytest -m slow -s tests/submission/test_fuzz.py``.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import resource
import stat
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from submission_archives import (
    DEFLATED,
    Part,
    as_jpeg,
    few_stories,
    manifest,
    mirrored,
    parts_of,
    png,
    png_of_header,
    saved,
    stories,
    zipped,
)

from storybench.submission.checking import check_archive
from storybench.submission.known_frames import pixel_hash
from storybench.submission.unpacking import unpack

SIDE = 64  # a quarter of the pixels, for time; all else is as in a benchmark version


def small(image: Image.Image) -> Image.Image:
    """Return a picture in the size of these archives."""
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


TRUE = [small(f.image) for story in stories(8) for f in story.frames]
EXPECTED = replace(few_stories(1), size=(SIDE, SIDE), truth=np.unique([np.uint64(pixel_hash(image)) for image in TRUE]))
IMAGES = [small(image) for image in mirrored(1).values()]
FRAMES = {name: png(image) for name, image in zip(mirrored(1), IMAGES, strict=True)}
STORY = next(iter(EXPECTED.counts))
GOOD = zipped(parts_of(EXPECTED, FRAMES))
MAX_SECONDS, MAX_GROWTH_KB = 5.0, 150_000
WATCHED = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "socket.connect",
    "os.mkdir",
    "os.rename",
    "os.symlink",
)
SCRIPTS = (
    "<script>alert(1)</script>",
    "{{7*7}}",
    "'; DROP TABLE rows; --",
    "$(rm -rf /)",
    "[x](javascript:1)",
    "=cmd|'/C calc'!A0",
)
HIDDEN = ("\u202e", "\u2066", "\u200b", "\x1b[2J", "\x00", "\ufeff", "\U000e0041")
NAMES = {
    "path-traversal": ("../x", "frames/../../x", "a/../../../home/.ssh/authorized_keys"),
    "path-absolute": ("/etc/cron.d/x", "/x"),
    "path-drive": ("C:/x", "c:x"),
    "path-backslash": ("..\\x", "frames\\x\\0.png"),
    "path-nul": ("frames/x/0.png\0.sh",),
    "path-control": ("frames/\x1b[31m/0.png", "a\rb"),
    "path-non-ascii": ("frames/\u202egnp.0", "frames/tооnsv/0.png", "ｆrames/x/0.png", "frames/e\u0301/0.png"),
    "path-long": ("x" * 300,),
    "unknown-file": ("run.py", "frames/x.so", ".git/config", "frames/x/0.png.exe", "manifest.json.bak"),
}  # fmt: skip


ANY = frozenset({"any"})


@dataclass(frozen=True)
class Case:
    """A spoilt archive and which kinds of problem are right; an empty set: none, None: any, or none."""

    data: bytes
    right: frozenset[str] | None


def _case(parts, *right: str, **options) -> Case:
    return Case(zipped(parts, **options), frozenset(right))


def _parts(**changes) -> list[Part]:
    return parts_of(EXPECTED, FRAMES, **changes)


def _with_picture(r: random.Random, data: bytes, *right: str) -> Case:
    """Put another picture in the place of a frame; the manifest knows its hash."""
    return _case(parts_of(EXPECTED, {**FRAMES, r.choice(list(FRAMES)): data}), *right)


def _changed(r: random.Random, right: str, **changes) -> Case:
    parts, k = _parts(), r.randrange(1, 6)
    parts[k] = replace(parts[k], **changes)
    return _case(parts, right)


def zip_slip(r: random.Random) -> Case:
    kind = r.choice(list(NAMES))
    return _case([*_parts(), Part(r.choice(NAMES[kind]).encode(), b"x")], kind)


def special_file(r: random.Random) -> Case:
    kind, mode = r.choice([
        ("symlink", stat.S_IFLNK | 0o777), ("device", stat.S_IFBLK | 0o600), ("device", stat.S_IFIFO | 0o600),
        ("directory", stat.S_IFDIR | 0o755), ("executable", stat.S_IFREG | 0o755),
        ("executable", stat.S_IFREG | 0o4644),
    ])  # fmt: skip
    return _changed(r, kind, attributes=mode << 16, data=b"/etc/passwd")


def bomb(r: random.Random) -> Case:
    raw = zlib.compress(b"\0" * (1 << r.randrange(20, 26)), 9)[2:-4]
    if r.random() < 0.5:
        return _changed(r, "bomb", method=DEFLATED, raw=raw, size=r.randrange(1, 60_000))
    return _changed(r, "bomb", method=DEFLATED, raw=raw, size=1 << 30)


def overlap(r: random.Random) -> Case:
    parts = _parts()
    at = len(zipped(parts[:1])) - 22 - 46 - len(b"manifest.json")
    copies = [
        Part(f"frames/{STORY}/{k + 50}.png".encode(), offset=at, packed_size=9, size=9)
        for k in range(r.randrange(1, 9))
    ]
    return _case([*parts, *copies], "overlap")


def huge_picture(r: random.Random) -> Case:
    side = r.choice([0, 65, 4_097, 65_535, 2**31 - 1, 2**32 - 1])
    data = png_of_header(side, r.choice([SIDE, side]), data=b"\0" * r.randrange(5_000))
    return _with_picture(r, data, "dimensions")


def cut_picture(r: random.Random) -> Case:
    data = next(iter(FRAMES.values()))
    return _with_picture(r, data[: r.randrange(len(data) - 1)], "undecodable", "damaged", "format")


def flipped_picture(r: random.Random) -> Case:
    data = bytearray(r.choice(list(FRAMES.values())))
    data[r.randrange(33, len(data) - 12)] ^= 1 << r.randrange(8)
    return _with_picture(r, bytes(data), "undecodable", "damaged")


def other_picture(r: random.Random) -> Case:
    image = r.choice(IMAGES)
    return r.choice([
        lambda: _with_picture(r, saved(image, r.choice(["JPEG", "GIF", "BMP", "WEBP", "TIFF"])), "format"),
        lambda: _with_picture(r, png(image.convert("RGBA")), "alpha"),
        lambda: _with_picture(r, png(image.convert(r.choice(["L", "P"]))), "colour"),
        lambda: _with_picture(r, png(image.resize((r.randrange(1, 300), 32))), "dimensions"),
        lambda: _with_picture(r, saved(image, "PNG", save_all=True, append_images=[image.rotate(90)]), "animated"),
        lambda: _with_picture(r, png(image) + r.randbytes(r.randrange(1, 99)), "trailing"),
    ])()  # fmt: skip


def copied_pictures(r: random.Random) -> Case:
    if r.random() < 0.5:
        return _with_picture(r, png(r.choice(TRUE)), "truth")
    return _case(parts_of(EXPECTED, dict.fromkeys(FRAMES, png(r.choice(IMAGES)))), "one-picture")


def jpeg_past(r: random.Random) -> Case:
    quality = r.choice([60, 75, 85, 92])
    frames = {n: png(as_jpeg(i, quality)) for n, i in zip(FRAMES, IMAGES, strict=True)}
    return _case(parts_of(EXPECTED, frames), "jpeg-past")


def wrong_hash(r: random.Random) -> Case:
    parts = _parts()
    one, two = r.sample(range(1, 6), 2)
    parts[one], parts[two] = replace(parts[one], data=parts[two].data), replace(parts[two], data=parts[one].data)
    return _case(parts, "sha256")


def twice(r: random.Random) -> Case:
    parts = _parts()
    return _case([*parts, parts[r.randrange(6)]], "duplicate")


def missing(r: random.Random) -> Case:
    parts = _parts()
    k = r.randrange(6)
    return _case(parts[:k] + parts[k + 1 :], "missing-frame" if k else "no-manifest")


def script_in_text(r: random.Random) -> Case:
    """Markup is text: the archive is good, and whoever shows the card escapes it."""
    content = manifest(EXPECTED, FRAMES)
    key = r.choice(["title", "licence", "training_data", "description", "command"])
    content["card"][key] = r.choice(SCRIPTS) + r.choice(
        ["", " x", "\n\ty" if key in ("description", "command") else ""]
    )
    return _case(_parts(card=content["card"]))


def hidden_text(r: random.Random) -> Case:
    content = manifest(EXPECTED, FRAMES)
    content["card"][r.choice(["title", "licence", "description", "command"])] = f"a{r.choice(HIDDEN)}b"
    return _case(_parts(card=content["card"]), "manifest-text")


def spoilt_manifest(r: random.Random) -> Case:
    content = manifest(EXPECTED, FRAMES)
    key = r.choice(sorted(set(content) - {"record", "seconds_per_frame"}))
    if r.random() < 0.5:
        del content[key]
    else:
        content[key] = r.choice([None, [], {}, -1, "", "../..", [[1]]])
    data = json.dumps(content).encode()
    return _case([Part(b"manifest.json", data), *_parts()[1:]], "manifest-schema")


def no_json(r: random.Random) -> Case:
    text = json.dumps(manifest(EXPECTED, FRAMES))
    data = r.choice([
        text[: r.randrange(len(text) - 1)].encode(), b"[" * r.randrange(30, 90_000), text.encode("utf-16"),
        text.replace('"seed": 0', '"seed": NaN').encode(), b"\x80\x04\x95" + r.randbytes(40),
        text.replace('"card"', '"text": "x", "card"', 1).encode(),
    ])  # fmt: skip
    return _case([Part(b"manifest.json", data), *_parts()[1:]], "manifest-json")


def odd_form(r: random.Random) -> Case:
    kind, changes = r.choice([
        ("encrypted", {"flags": 1}), ("encrypted", {"flags": 0x40}), ("streamed", {"flags": 8}),
        ("method", {"method": 99}), ("method", {"method": 14}), ("other-name", {"local_name": b"frames/x/0.png"}),
        ("lies", {"size": 3}),
        ("lies", {"local_size": 3}), ("crc", {"crc": r.randrange(1, 9)}), ("gap", {"before": r.randbytes(9)}),
    ])  # fmt: skip
    return _changed(r, kind, **changes)


def odd_end(r: random.Random) -> Case:
    kind, options = r.choice([
        ("trailing", {"comment": r.randbytes(5)}), ("trailing", {"after": r.randbytes(5)}),
        ("zip64", {"count": 0xFFFF}), ("entries", {"count": r.randrange(1_000, 60_000)}), ("damaged", {"count": 9}),
        ("lies", {"count": 2}),
        ("lies", {"disk": 1}),
    ])  # fmt: skip
    return _case(_parts(), kind, **options)


def cut_archive(r: random.Random) -> Case:
    cut = r.randrange(len(GOOD))
    return Case(GOOD[:cut], frozenset({"truncated"} if cut >= 4 else {"not-a-zip"}))


def in_front(r: random.Random) -> Case:
    return Case(
        r.choice([b"#!/bin/sh\n", b"MZ", b"<html>", b"\x7fELF"]) + r.randbytes(r.randrange(90)) + GOOD,
        frozenset({"not-a-zip"}),
    )


def stuffed(r: random.Random) -> Case:
    """Bytes pushed in anywhere: whatever it is called, it is an error."""
    at = r.randrange(4, len(GOOD) - 22)
    return Case(GOOD[:at] + r.randbytes(r.randrange(1, 50)) + GOOD[at:], ANY)


def flipped_bits(r: random.Random) -> Case:
    data = bytearray(GOOD)
    for _ in range(r.randrange(1, 20)):
        data[r.randrange(len(data))] ^= 1 << r.randrange(8)
    return Case(bytes(data), None)


def edited_directory(r: random.Random) -> Case:
    """Numbers of the directory and the end replaced: dates may be anything, nothing else."""
    data = bytearray(GOOD)
    start = GOOD.index(b"PK\x01\x02")
    at, length = r.randrange(start, len(data) - 4), r.choice([1, 2, 4])
    data[at : at + length] = r.choice([b"\xff" * length, b"\0" * length, r.randbytes(length)])
    return Case(bytes(data), None)


MUTATIONS: tuple[Callable[[random.Random], Case], ...] = (
    zip_slip, special_file, bomb, overlap, huge_picture, cut_picture, flipped_picture, other_picture, copied_pictures,
    jpeg_past, wrong_hash, twice, missing, script_in_text, hidden_text, spoilt_manifest, no_json, odd_form, odd_end,
    cut_archive, in_front, stuffed, flipped_bits, edited_directory,
)  # fmt: skip


class Watch:
    """Notes what Python does to the world outside while it is on."""

    def __init__(self) -> None:
        self.on, self.seen = False, []
        sys.addaudithook(self._note)  # it cannot be taken away again, hence ``on``

    def _note(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event == "open":
            _, mode, flags = arguments
            if (mode and set(str(mode)) & set("wax+")) or (isinstance(flags, int) and flags & 0o3):
                self.seen.append((event, str(arguments[0])))
        elif event.startswith(WATCHED):
            self.seen.append((event, str(arguments)[:80]))


@pytest.fixture(scope="module")
def watch():
    return Watch()


def run(cases: int, watch: Watch, tmp_path: Path) -> dict[str, Counter]:
    """Check ``cases`` spoilt archives and return what was said of each mutation."""
    check_archive(io.BytesIO(GOOD), expected=EXPECTED)  # what is read once is read now
    outcomes: dict[str, Counter] = {m.__name__: Counter() for m in MUTATIONS}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(cases):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        case = mutation(random.Random(number))
        started, watch.seen[:], watch.on = time.perf_counter(), [], True
        try:
            report = check_archive(io.BytesIO(case.data), expected=EXPECTED)
        finally:
            watch.on = False
        seconds = time.perf_counter() - started
        found = {p.kind for p in report.errors}
        name = f"{mutation.__name__} {number}"
        assert watch.seen == [], name
        assert seconds < MAX_SECONDS, name
        assert all(p.what and p.where and p.mend and p.line().isprintable() for p in report.problems), name
        assert report.ok == (not found), name
        assert _is_right(found, case.right), (name, found, case.right)
        if report.ok:
            _unpack(case.data, report, tmp_path / str(number))
        outcomes[mutation.__name__].update(found or {"accepted"})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KB
    return outcomes


def _is_right(found: set[str], right: frozenset[str] | None) -> bool:
    if right is None:
        return True
    return bool(found) if right == ANY else bool(found & right) if right else not found


def _unpack(data: bytes, report, folder: Path) -> None:
    """Write an archive that passed, and look that only its frames come out, under our names and as drawn."""
    unpack(io.BytesIO(data), report.manifest, EXPECTED, folder / "frames")
    there = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    assert there == sorted(FRAMES)
    for name, image in zip(FRAMES, IMAGES, strict=True):
        with Image.open(folder / name) as written:
            assert written.tobytes() == image.tobytes()


def fingerprint_of(folder: Path) -> str:
    """Return a hash of every name and byte below a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(path.as_posix().encode() + (path.read_bytes() if path.is_file() else b""))
    return total.hexdigest()


def test_a_hundred_spoilt_archives_are_refused_with_their_reason(watch, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("as it was")
    monkeypatch.chdir(outside)
    before = fingerprint_of(outside)
    outcomes = run(4 * len(MUTATIONS) + 4, watch, tmp_path / "inside")
    assert fingerprint_of(outside) == before
    assert sorted(p.name for p in tmp_path.iterdir()) in (["outside"], ["inside", "outside"])
    assert set(outcomes["script_in_text"]) == {"accepted"}


@pytest.mark.slow
def test_a_thousand_spoilt_archives_are_refused_with_their_reason(watch, tmp_path):
    outcomes = run(1_000, watch, tmp_path)
    for name, counts in outcomes.items():
        print(f"\n{name}: {', '.join(f'{kind} {n}' for kind, n in counts.most_common())}", end="")
    accepted = {name for name, counts in outcomes.items() if counts["accepted"]}
    assert accepted <= {"script_in_text", "flipped_bits", "edited_directory"}
