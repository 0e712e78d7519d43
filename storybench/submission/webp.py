"""WebP as bytes: one lossless still picture without alpha, or what else it is.

Source: WebP container specification and the lossless bitstream specification, section 3 (RIFF header).
"""

from __future__ import annotations

import struct

from storybench.submission.png import Checked, size_issue

_LOSSLESS = 0x2F  # signature of a VP8L stream
_EXTRAS = frozenset([b"ICCP", b"EXIF", b"XMP "])
_ANIMATION = frozenset([b"ANIM", b"ANMF"])


def check_webp(data: bytes, size: tuple[int, int] | None) -> Checked:
    """Return a WebP file with the pixels of ``data`` alone, after checking every chunk."""
    chunks = _chunks(data)
    if chunks is None:
        return Checked(None, [("error", "undecodable", "is truncated, or its chunks contradict its length")])
    names = [name for name, _ in chunks]
    issues: list[tuple] = []
    if _ANIMATION & set(names):
        issues.append(("error", "animated", "is animated, expected one picture"))
    if b"VP8 " in names:
        issues.append(("error", "lossy", "is lossy WebP, expected lossless: lossy frames change scores"))
    if b"ALPH" in names:
        issues.append(("error", "alpha", "has alpha, expected RGB without"))
    if not issues and names.count(b"VP8L") != 1:
        issues.append(("error", "damaged", "is damaged: it holds not one picture"))
    if not issues:
        stream = dict(chunks)[b"VP8L"]
        issues += _stream_issues(stream, size)
    if _EXTRAS & set(names):
        words = "holds a colour profile or metadata, which is dropped"
        issues.append(("warning", "extras", words, "nothing to do: only pixels count"))
    if any(issue[0] == "error" for issue in issues):
        return Checked(None, issues)
    body = b"WEBPVP8L" + struct.pack("<L", len(stream)) + stream + b"\0" * (len(stream) % 2)
    return Checked(b"RIFF" + struct.pack("<L", len(body)) + body, issues)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the chunks of the file if they fill it exactly."""
    if len(data) < 20 or struct.unpack_from("<L", data, 4)[0] + 8 != len(data):
        return None
    chunks, at = [], 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sL", data, at)
        stop = at + 8 + length + length % 2
        if stop > len(data):
            return None
        chunks.append((name, data[at + 8 : at + 8 + length]))
        at = stop
    return chunks if at == len(data) else None


def _stream_issues(stream: bytes, size: tuple[int, int] | None) -> list[tuple]:
    """Return what the header of a lossless stream says against it."""
    if len(stream) < 5 or stream[0] != _LOSSLESS:
        return [("error", "damaged", "is damaged: its stream has no header")]
    bits = int.from_bytes(stream[1:5], "little")
    width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    issues: list[tuple] = []
    if (wrong := size_issue(width, height, size)) is not None:
        issues.append(wrong)
    if bits >> 28 & 1:
        issues.append(("error", "alpha", "has alpha, expected RGB without"))
    if bits >> 29:
        issues.append(("error", "damaged", "is damaged: of an unknown version"))
    return issues
