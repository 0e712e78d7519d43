"""The frames of a checked archive on disk: as pictures written anew, under names of our own.

No name and no byte of an archive reaches the disk: stories are named by the benchmark, frames by their number, and a
picture is encoded again from its pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from storybench.errors import DataError
from storybench.frames import png_bytes, write_atomic
from storybench.submission.archive import Unreadable, open_archive
from storybench.submission.checking import frame_limit
from storybench.submission.expecting import Expectation
from storybench.submission.manifest import Manifest
from storybench.submission.pictures import look
from storybench.submission.report import Findings


def unpack(
    file: BinaryIO,
    manifest: Manifest,
    expected: Expectation,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the frames of an archive that passed the check into ``folder``.

    Args:
        file: The archive, the very file that was checked.
        manifest: As the check returned it.
        expected: Benchmark version and text; its story ids name the folders.
        folder: Gets ``<story id>/<k>.png``.
        progress: Told how many frames are written.

    Raises:
        DataError: If the file is no longer what was checked.
    """
    archive = open_archive(file, Findings())
    entries = {} if archive is None else {entry.name: entry for entry in archive.entries if entry.sound}
    done = 0
    for story, count in expected.counts.items():
        for k in range(count):
            listed = manifest.frames[story][k]
            try:
                assert archive is not None
                data = archive.read(entries[listed.file], frame_limit(expected.size))
            except (KeyError, Unreadable, AssertionError) as error:
                raise _changed() from error
            looked = look(data, listed.file.rpartition(".")[2], expected.size)
            if looked.image is None or hashlib.sha256(data).hexdigest() != listed.sha256:
                raise _changed()
            write_atomic(folder / story / f"{k}.png", png_bytes(looked.image))
            done += 1
            if progress is not None:
                progress(done, expected.frames)


def _changed() -> DataError:
    return DataError("The archive changed while it was read: give a file that nobody writes to, and try again.")
