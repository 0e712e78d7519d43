"""The archive behind a row: found in a folder by its hash, or fetched from the address in its entry, with limits.

Only ``https`` to a public address is followed, also when a server sends on; reading stops one byte after the stated
size; what does not have the stated SHA-256 is thrown away. A host whose name turns to another address between look-up
and connection is not caught: review runs where nothing inside can be reached that an outsider could not reach.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

from storybench.board.entry import Archive
from storybench.errors import DataError
from storybench.submission.archive import CHUNK, MAX_ARCHIVE

TIMEOUT_S = 60.0  # without a byte
LIMIT_S = 1800.0  # in all


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes."""
        ...


def find_archive(archive: Archive, folder: Path | None, work: Path) -> Path:
    """Return the file of an archive.

    Args:
        archive: Hash, size and address.
        folder: May hold ``<sha256>.zip``; None: fetch it.
        work: Where a fetched one is written.

    Raises:
        DataError: If it is neither here nor to be fetched, or is another file.
    """
    if folder is not None and (local := folder / f"{archive.sha256}.zip").is_file():
        with local.open("rb") as file:
            save_checked(file, archive, None)
        return local
    if archive.url is None:
        raise DataError(f"The archive {archive.sha256[:12]}... has no address: add url to the entry's archive.")
    path = work / f"{archive.sha256}.zip"
    check_address(archive.url)
    opener = urllib.request.build_opener(_Redirects)
    request = urllib.request.Request(archive.url, headers={"User-Agent": "storybench"})  # noqa: S310 - checked above
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response, path.open("wb") as out:
            save_checked(response, archive, out)
    except (OSError, urllib.error.URLError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"The archive at {archive.url} cannot be fetched ({why}).") from error
    return path


def save_checked(source: Readable, archive: Archive, out: IO[bytes] | None) -> None:
    """Copy an archive to ``out`` (None: read it only), at most one byte more than its stated size.

    Raises:
        DataError: If it has another size or hash, or takes too long.
    """
    if archive.size > MAX_ARCHIVE:
        raise DataError(f"The archive {archive.sha256[:12]}... is said to be {archive.size} bytes: too large.")
    total, size, started = hashlib.sha256(), 0, time.monotonic()
    while size <= archive.size and (chunk := source.read(min(CHUNK, archive.size + 1 - size))):
        size += len(chunk)
        total.update(chunk)
        if out is not None:
            out.write(chunk)
        if time.monotonic() - started > LIMIT_S:
            raise DataError(f"The archive {archive.sha256[:12]}... took longer than {LIMIT_S:.0f} s to fetch.")
    if size != archive.size or total.hexdigest() != archive.sha256:
        raise DataError(
            f"The archive is not the one of the entry: expected {archive.size} bytes with SHA-256 "
            f"{archive.sha256[:12]}..., found {'more' if size > archive.size else f'{size} bytes of another hash'}."
        )


def check_address(url: str) -> None:
    """Raise unless ``url`` is https on a public host.

    Raises:
        DataError: If it is not.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise DataError(f"The address {url[:100]!r} is not a plain https address.")
    try:
        found = {info[4][0] for info in socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError, ValueError) as error:
        raise DataError(f"The host of {url[:100]!r} is not known.") from error
    for address in found:
        if not ipaddress.ip_address(str(address).partition("%")[0]).is_global:
            raise DataError(f"The address {url[:100]!r} is of a host that is not public.")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server that sends on to another public https address."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request after checking its address."""
        try:
            check_address(newurl)
        except DataError as error:
            raise urllib.error.URLError(str(error)) from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
