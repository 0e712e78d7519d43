"""PNG as bytes: every chunk accounted for, and a file of pixels alone for the decoder.

Nothing is decoded before width, height and colour are known to be what is expected; the compressed pixels must expand
to exactly the picture and not one byte more. Source: PNG specification, third edition, sections 5, 7, 8 and 11.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 4096
_RGB = 2
_COLOURS = {0: "grey", 2: "RGB", 3: "a palette", 4: "grey with alpha", 6: "RGB with alpha"}
_DROPPED = frozenset([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP"])  # said, for people may want to know
_SILENT = frozenset([b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"tIME", b"bKGD", b"hIST", b"sPLT", b"PLTE", b"cICP"])
_ANIMATION = frozenset([b"acTL", b"fcTL", b"fdAT"])
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


class Checked(NamedTuple):
    """A file that is safe to decode, or None, and (severity, kind, words) for what is wrong."""

    data: bytes | None
    issues: list[tuple]


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filter: int
    interlace: int


def size_issue(width: int, height: int, size: tuple[int, int] | None) -> tuple[str, str, str] | None:
    """Return what is wrong with the stated size of a picture."""
    if size is None:
        if 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE:
            return None
        return "error", "dimensions", f"is {width} x {height} pixels, at most {MAX_SIDE} x {MAX_SIDE} are decoded"
    if (width, height) == size:
        return None
    return "error", "dimensions", f"is {width} x {height} pixels, expected {size[0]} x {size[1]}"


def pixels_only(data: bytes, size: tuple[int, int] | None) -> Checked:
    """Return a PNG with the pixels of ``data`` and nothing else, after checking every chunk."""
    chunks, issues = _chunks(data)
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return Checked(None, issues or [("error", "damaged", "is damaged: it has no header")])
    header = _Header(*struct.unpack(">2L5B", chunks[0][1]))
    wrong = _header_issues(header, size)
    issues += [*wrong, *_chunk_issues([name for name, _ in chunks])]
    if any(issue[0] == "error" for issue in issues):
        return Checked(None, issues)
    packed = b"".join(body for name, body in chunks if name == b"IDAT")
    if (problem := _stream_issue(packed, _raw_bytes(header))) is not None:
        return Checked(None, [*issues, problem])
    plain = [(b"IHDR", chunks[0][1]), (b"IDAT", packed), (b"IEND", b"")]
    return Checked(SIGNATURE + b"".join(_chunk(name, body) for name, body in plain), issues)


def _chunks(data: bytes) -> tuple[list[tuple[bytes, bytes]], list[tuple]]:
    """Return the chunks up to the end or to the first damage, and what is wrong with the form of the file."""
    chunks: list[tuple[bytes, bytes]] = []
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">L4s", data, at)
        stop = at + 12 + length
        if stop > len(data):
            break
        body = data[at + 8 : stop - 4]
        if zlib.crc32(data[at + 4 : stop - 4]) != int.from_bytes(data[stop - 4 : stop], "big"):
            return chunks, [("error", "damaged", "is damaged: the checksum of a chunk is wrong")]
        chunks.append((name, body))
        at = stop
        if name == b"IEND":
            more = len(data) - at
            return chunks, [("error", "trailing", f"has {more} bytes after its end")] if more else []
    return chunks, [("error", "undecodable", "is truncated: it ends inside a chunk")]


def _header_issues(header: _Header, size: tuple[int, int] | None) -> list[tuple]:
    issues: list[tuple] = []
    if (wrong := size_issue(header.width, header.height, size)) is not None:
        issues.append(wrong)
    if header.colour in (4, 6):
        issues.append(("error", "alpha", f"is {_COLOURS[header.colour]}, expected RGB without alpha"))
    elif header.colour != _RGB or header.depth != 8:
        colour = _COLOURS.get(header.colour, f"colour type {header.colour}")
        issues.append(("error", "colour", f"is {colour} of {header.depth} bits, expected RGB of 8 bits"))
    if header.compression or header.filter or header.interlace > 1:
        issues.append(("error", "damaged", "is damaged: its header states an unknown method"))
    return issues


def _chunk_issues(names: list[bytes]) -> list[tuple]:
    """Return what is wrong with which chunks there are, and their order."""
    issues: list[tuple] = []
    if _ANIMATION & set(names):
        issues.append(("error", "animated", "is animated, expected one picture"))
    if b"tRNS" in names:
        issues.append(("error", "alpha", "has a transparent colour, expected RGB without alpha"))
    if names.count(b"IHDR") != 1 or names.count(b"IEND") != 1:
        issues.append(("error", "damaged", "is damaged: it has not one header and one end"))
    places = [k for k, name in enumerate(names) if name == b"IDAT"]
    if not places or places[-1] - places[0] + 1 != len(places):
        issues.append(("error", "damaged", "is damaged: its pixels are not in one piece"))
    rest = set(names) - {b"IHDR", b"IDAT", b"IEND", b"tRNS"} - _SILENT - _ANIMATION
    if any(name[0] < 0x61 for name in rest):  # an upper-case first letter: a decoder must know it
        issues.append(("error", "damaged", "has a chunk that no decoder knows"))
    elif rest:
        words = "text or a colour profile" if rest <= _DROPPED else "extra chunks"
        issues.append(("warning", "extras", f"holds {words}, which is dropped", "nothing to do: only pixels count"))
    return issues


def _raw_bytes(header: _Header) -> int:
    """Return how many bytes the filtered lines of the picture take."""
    w, h = header.width, header.height
    if not header.interlace:
        return h * (1 + 3 * w)
    total = 0
    for x, y, dx, dy in _ADAM7:
        columns, lines = max(0, -(-(w - x) // dx)), max(0, -(-(h - y) // dy))
        total += lines * (1 + 3 * columns) if columns else 0
    return total


def _stream_issue(packed: bytes, expected: int) -> tuple[str, str, str] | None:
    """Return what is wrong with the compressed pixels; at most one byte too many is expanded."""
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(packed, expected + 1)
    except zlib.error:
        return "error", "undecodable", "cannot be decoded: its pixels are damaged"
    if len(raw) < expected:
        return "error", "undecodable", "cannot be decoded: its pixels are truncated"
    if len(raw) > expected or not inflate.eof or inflate.unused_data or inflate.unconsumed_tail:
        return "error", "trailing", "has more data than pixels"
    return None


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
