"""What an entry of an archive may be called, and what kind of file it may be. One spelling, and no way out."""

from __future__ import annotations

import re
import stat

MAX_NAME = 200  # bytes; frames/<128>/<4>.webp is 146
FRAMES = "frames"
FRAME_NAME = re.compile(r"frames/([A-Za-z0-9_][A-Za-z0-9._-]{0,127})/(0|[1-9][0-9]{0,3})\.(png|webp)")
_DOS_FOLDER = 0x10


def name_problem(raw: bytes) -> tuple[str, str] | None:
    """Return kind and words for what is wrong with the name of an entry, or None."""
    parts = raw.split(b"/")
    checks = (
        (not raw, "path-empty", "has no name"),
        (len(raw) > MAX_NAME, "path-long", f"has a name of {len(raw)} bytes, {MAX_NAME} are allowed"),
        (b"\0" in raw, "path-nul", "has a NUL in its name"),
        (any(b < 0x20 or b == 0x7F for b in raw), "path-control", "has a control character in its name"),
        (any(b > 0x7E for b in raw), "path-non-ascii", "has a name that is not ASCII"),
        (b"\\" in raw, "path-backslash", "has a backslash in its name"),
        (re.match(rb"[A-Za-z]:", raw) is not None, "path-drive", "has a drive letter in its name"),
        (raw.startswith(b"/"), "path-absolute", "has an absolute path"),
        (b".." in parts, "path-traversal", "leads out of the archive with '..'"),
        (any(part in (b"", b".") for part in parts[:-1]), "path-form", "has an empty part or '.' in its path"),
    )
    return next(((kind, what) for wrong, kind, what in checks if wrong), None)


def type_problem(name: bytes, host: int, attributes: int) -> tuple[str, str] | None:
    """Return kind and words if an entry is no plain file.

    Args:
        name: As stored.
        host: System that wrote the attributes, 3 for Unix (zip specification 4.4.2).
        attributes: External attributes of the central directory; the upper half is the mode on Unix.
    """
    mode = attributes >> 16
    if stat.S_ISLNK(mode):
        return "symlink", "is a symbolic link"
    if name.endswith(b"/") or stat.S_ISDIR(mode) or (attributes & _DOS_FOLDER and host != 3):
        return "directory", "is a folder entry"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "device", "is a device, pipe or socket"
    if mode & 0o7111:
        return "executable", "is marked executable"
    return None
