"""Archives for tests: small real ones, and a forge that writes every byte of a zip file as it is told.

Python's ``zipfile`` writes what is consistent; attacks are not. :class:`Part` states the header of an entry and what
the directory says of it apart from each other.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from PIL import Image, ImageOps

from storybench.benchmark import load_benchmark
from storybench.board.entry import ModelCard
from storybench.data.splits import ids_sha256
from storybench.data.toonsv.dataset import ToonSV
from storybench.frames import png_bytes
from storybench.records.fingerprint import data_hash
from storybench.submission.expecting import Expectation
from storybench.submission.known_frames import toonsv_frames
from storybench.submission.manifest import FrameFile, Manifest

STORIES = 2
STORED, DEFLATED = 0, 8
MODE = 0o100644 << 16


@cache
def stories(count: int = STORIES):
    """Return the first stories of the practice set."""
    mini = ToonSV("mini")
    return tuple(mini[k] for k in range(count))


def few_stories(count: int = STORIES, text: str = "referential") -> Expectation:
    """Return what an archive of the first stories must hold."""
    chosen = stories(count)
    table = toonsv_frames()
    return Expectation(
        benchmark=load_benchmark("toonsv-mini-v1"),
        text=text,
        data_hash=data_hash(chosen, text),
        ids_sha256=ids_sha256(s.id for s in chosen),
        counts={s.id: len(s.frames) for s in chosen},
        size=(128, 128),
        truth=table["mini"],
        training=table["train"],
    )


@cache
def mirrored(count: int = STORIES) -> dict[str, Image.Image]:
    """Return file name -> a true frame mirrored."""
    return {f"frames/{s.id}/{k}.png": ImageOps.mirror(f.image) for s in stories(count) for k, f in enumerate(s.frames)}


@cache
def _mirrored_bytes(count: int) -> dict[str, bytes]:
    return {name: png_bytes(image) for name, image in mirrored(count).items()}


def mirrored_frames(count: int = STORIES) -> dict[str, bytes]:
    """Return file name -> PNG of a true frame mirrored."""
    return dict(_mirrored_bytes(count))


def card(**changes) -> ModelCard:
    """Return a complete card."""
    content = {
        "name": "mirror",
        "authors": ["A. Tester"],
        "licence": "Apache-2.0",
        "parameters": 1,
        "training_data": "none: it mirrors true frames",
        "saw_test_stories": False,
        "links": {"code": "https://example.org/code"},
        "seed": 0,
        "command": "python mirror.py",
    }
    return ModelCard.model_validate({**content, **changes})


def manifest(expected: Expectation, pictures: Mapping[str, bytes], /, **changes) -> dict:
    """Return a manifest of frames as plain data."""
    listed: dict[str, list] = {}
    for name, data in pictures.items():
        listed.setdefault(name.split("/")[1], []).append(FrameFile(file=name, sha256=hashlib.sha256(data).hexdigest()))
    made = Manifest(
        schema_version=1,
        benchmark=expected.benchmark.name,
        text=expected.text,
        data_hash=expected.data_hash,
        ids_sha256=expected.ids_sha256,
        card=card(),
        frames=listed,
        created="2026-01-01T00:00:00+00:00",
        packed_by="a test",
    )
    return {**json.loads(made.to_bytes()), **changes}


@dataclass(frozen=True)
class Part:
    """One entry; None means what is consistent with the rest."""

    name: bytes
    data: bytes = b""
    method: int = STORED
    flags: int = 0
    host: int = 3
    attributes: int = MODE
    extra: bytes = b""
    local_extra: bytes = b""
    local_name: bytes | None = None
    size: int | None = None  # as declared, in both headers
    packed_size: int | None = None
    crc: int | None = None
    local_size: int | None = None
    raw: bytes | None = None  # the compressed bytes themselves
    offset: int | None = None  # as the directory says
    before: bytes = field(default=b"", repr=False)  # stray bytes in front of the header
    comment: bytes = b""

    def packed(self) -> bytes:
        """Return the bytes that are stored."""
        if self.raw is not None:
            return self.raw
        if self.method != DEFLATED:
            return self.data
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return deflate.compress(self.data) + deflate.flush()


def zipped(
    parts: Sequence[Part], *, comment: bytes = b"", after: bytes = b"", count: int | None = None, disk: int = 0
) -> bytes:
    """Return the bytes of an archive of ``parts`` in order."""
    out, directory = io.BytesIO(), b""
    for part in parts:
        out.write(part.before)
        at, packed = out.tell(), part.packed()
        crc = zlib.crc32(part.data) if part.crc is None else part.crc
        size = len(part.data) if part.size is None else part.size
        stored = len(packed) if part.packed_size is None else part.packed_size
        name = part.name if part.local_name is None else part.local_name
        mine = size if part.local_size is None else part.local_size
        head = struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 20, part.flags, part.method, 0, 33, crc, stored, mine, len(name),
            len(part.local_extra),
        )  # fmt: skip
        out.write(head + name + part.local_extra + packed)
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", part.host << 8 | 20, 20, part.flags, part.method, 0, 33, crc, stored, size,
            len(part.name), len(part.extra), len(part.comment), 0, 0, part.attributes,
            at if part.offset is None else part.offset,
        ) + part.name + part.extra + part.comment  # fmt: skip
    start = out.tell()
    out.write(directory)
    entries = len(parts) if count is None else count
    out.write(struct.pack("<4s4H2LH", b"PK\x05\x06", disk, disk, entries, entries, len(directory), start, len(comment)))
    return out.getvalue() + comment + after


def parts_of(expected: Expectation, pictures: Mapping[str, bytes], /, **changes) -> list[Part]:
    """Return the entries of an archive: its manifest, then the frames; ``changes`` replace keys of the manifest."""
    content = json.dumps(manifest(expected, pictures, **changes), indent=1).encode()
    return [Part(b"manifest.json", content), *(Part(name.encode(), data) for name, data in pictures.items())]


def changed(parts: Sequence[Part], which: int, **changes) -> list[Part]:
    """Return the entries with one replaced."""
    out = list(parts)
    out[which] = replace(out[which], **changes)
    return out


def png(image: Image.Image, **options) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def saved(image: Image.Image, form: str, **options) -> bytes:
    """Return a picture in another form."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def as_jpeg(image: Image.Image, quality: int, subsampling: int = 2) -> Image.Image:
    """Return a picture after it was JPEG once."""
    with Image.open(io.BytesIO(saved(image, "JPEG", quality=quality, subsampling=subsampling))) as stored:
        return stored.convert("RGB")


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def png_of_header(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """Return a PNG that says what it likes of itself."""
    header = struct.pack(">2L5B", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
