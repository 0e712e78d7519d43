"""FrameStore: generated frames on disk.

Layout: ``<run>/frames/<story id>/<k>.png`` and, beside ``frames``, ``manifest.jsonl``. One manifest line is one commit:
the SHA-256 of each frame of one or more stories. A story counts as finished only when a whole line names it.

Failure model. The process may die at any instant (``kill -9``, power):

1. a PNG is written under a temporary name in its own folder, flushed, synced, then renamed: a frame is whole or absent;
2. the manifest line follows after all its frames; a line torn by the crash is cut off at the next commit;
3. frames without a manifest line are leftovers: they are removed before their story is drawn again.

A folder made elsewhere has no manifest; then the frames are what they are, and :meth:`FrameStore.verify` says if one
is missing, broken or of the wrong kind.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from storybench.errors import DataError

MANIFEST = "manifest.jsonl"
PNG_COMPRESS_LEVEL = 6  # zlib's default, stated because the bytes of a frame must not depend on a library's default
THUMB_PX = 128  # height: that of ToonSV's frames, so that nothing is resampled there
THUMB_QUALITY = 65  # 6 KB a strip of five frames; a board keeps one a story and row
MAX_NAMED = 5  # problems spelled out in one sentence
_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Committed:
    """What the manifest says of one finished story."""

    sha256: tuple[str, ...]  # one per frame
    seconds: float  # spent drawing the story


def png_bytes(image: Image.Image) -> bytes:
    """Return the PNG of an RGB picture: same pixels, same bytes; no metadata."""
    bare = Image.frombytes("RGB", image.size, image.tobytes())  # drops profile, gamma and text chunks
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG", compress_level=PNG_COMPRESS_LEVEL, optimize=False)
    return buffer.getvalue()


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class FrameStore:
    """Frames of one run or of one foreign folder."""

    def __init__(self, frames_dir: Path, manifest: Path | None = None) -> None:
        """Open a folder of story folders; nothing is created or read yet.

        Args:
            frames_dir: Holds ``<story id>/<k>.png``, k from 0.
            manifest: Where commits are recorded; None for a folder made elsewhere, which is then read only.
        """
        self.frames_dir = frames_dir
        self.manifest = manifest

    @classmethod
    def of_run(cls, run_dir: Path) -> FrameStore:
        """Return the store of a run folder, which need not exist yet."""
        return cls(run_dir / "frames", run_dir / MANIFEST)

    @classmethod
    def of_folder(cls, folder: Path) -> FrameStore:
        """Return a store over existing frames: a run folder, or a folder of story folders.

        Raises:
            DataError: If ``folder`` does not exist or is not a folder.
        """
        if not folder.is_dir():
            raise DataError(f"No folder of frames at '{folder}': expected <folder>/<story id>/<k>.png with k from 0.")
        inner = folder / "frames"
        if inner.is_dir():
            manifest = folder / MANIFEST
            return cls(inner, manifest if manifest.is_file() else None)
        manifest = folder.parent / MANIFEST
        return cls(folder, manifest if folder.name == "frames" and manifest.is_file() else None)

    def path(self, story_id: str, frame: int) -> Path:
        """Return where a frame lies.

        Raises:
            DataError: If ``story_id`` cannot be a folder name.
        """
        if not _SAFE_ID.fullmatch(story_id):
            raise DataError(
                f"Story id {story_id!r} cannot name a folder: expected letters, digits, '_', and not first '.' or '-'."
            )
        return self.frames_dir / story_id / f"{frame}.png"

    def read(self, story_id: str, frame: int) -> Image.Image:
        """Return one frame as an RGB picture, decoded.

        Raises:
            DataError: If it is missing, cannot be decoded or is not RGB.
        """
        path = self.path(story_id, frame)
        problem, image = self._decode(path)
        if image is None:
            raise DataError(f"Frame {story_id}/{frame}.png of '{self.frames_dir}' {problem}.")
        return image

    def read_story(self, story_id: str, count: int) -> list[Image.Image]:
        """Return the frames 0 .. ``count`` - 1 of a story."""
        return [self.read(story_id, k) for k in range(count)]

    def sha256(self, story_id: str, frame: int) -> str:
        """Return the SHA-256 of the file of one frame."""
        path = self.path(story_id, frame)
        if not path.is_file():
            raise DataError(f"Frame {story_id}/{frame}.png of '{self.frames_dir}' is missing.")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def key(self, story_id: str, frame: int) -> str:
        """Return a name of the pixels of one frame: the hash of its file."""
        return f"file/{self.sha256(story_id, frame)}"

    def committed(self) -> dict[str, Committed]:
        """Return every finished story of the manifest; a torn last line is not there.

        Raises:
            DataError: If a line other than the last cannot be read.
        """
        if self.manifest is None or not self.manifest.is_file():
            return {}
        found: dict[str, Committed] = {}
        for number, line in enumerate(self._whole_lines(), start=1):
            try:
                stories = json.loads(line)["stories"]
                for story_id, entry in stories.items():
                    found[story_id] = Committed(tuple(entry["sha256"]), float(entry["seconds"]))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"Line {number} of '{self.manifest}' is damaged: expected one commit as JSON; "
                    "remove the run folder and run the same command again."
                ) from error
        return found

    def finished(self, counts: Mapping[str, int]) -> set[str]:
        """Return the stories of ``counts`` (story id -> frames) that are committed and whose files are all there."""
        done = self.committed()
        return {
            story_id
            for story_id, count in counts.items()
            if story_id in done
            and len(done[story_id].sha256) == count
            and all(self.path(story_id, k).is_file() for k in range(count))
        }

    def commit(self, stories: Mapping[str, Sequence[Image.Image]], seconds: Mapping[str, float]) -> None:
        """Write whole stories, then record them in one manifest line: all become finished together, or none.

        Args:
            stories: Story id -> its RGB frames in order.
            seconds: Story id -> time spent drawing it.

        Raises:
            DataError: If the store is a foreign folder, or a picture is not RGB.
        """
        if self.manifest is None:
            raise DataError(f"'{self.frames_dir}' was made elsewhere and is only read.")
        entries = {}
        for story_id, images in stories.items():
            self.discard(story_id)
            hashes = []
            for k, image in enumerate(images):
                if image.mode != "RGB":
                    raise DataError(
                        f"Frame {story_id}/{k} is {image.mode}, expected RGB: the model must return RGB pictures."
                    )
                data = png_bytes(image)
                write_atomic(self.path(story_id, k), data)
                hashes.append(hashlib.sha256(data).hexdigest())
            entries[story_id] = {"sha256": hashes, "seconds": round(seconds[story_id], 6)}
        self._append(json.dumps({"stories": entries}, sort_keys=True))

    def discard(self, story_id: str) -> None:
        """Remove what an interrupted run left of a story."""
        folder = self.path(story_id, 0).parent
        if folder.exists():
            shutil.rmtree(folder)

    def verify(
        self, counts: Mapping[str, int], size: tuple[int, int] | None = None, *, others_allowed: bool = False
    ) -> None:
        """Check that exactly the expected frames are there and sound.

        Args:
            counts: Story id -> number of frames.
            size: Width and height in pixels that every frame must have; None accepts any.
            others_allowed: Whether other stories may lie beside them, as when a part of a run is looked at.

        Raises:
            DataError: One sentence that names the first problems and counts the rest.
        """
        if not self.frames_dir.is_dir():
            raise DataError(f"No folder of frames at '{self.frames_dir}'.")
        problems = [*self._problems(counts, size), *self._extras(counts, others_allowed)]
        if not problems:
            return
        named = "; ".join(problems[:MAX_NAMED])
        more = f"; and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        total = sum(counts.values())
        plural = "s" if len(problems) > 1 else ""
        raise DataError(
            f"{len(problems)} problem{plural} in '{self.frames_dir}' ({total} frames in {len(counts)} stories due):"
            f" {named}{more}."
        )

    def digest(self, counts: Mapping[str, int]) -> str:
        """Return one SHA-256 over the files of all expected frames, independent of file-system order."""
        total = hashlib.sha256()
        for story_id in sorted(counts):
            for k in range(counts[story_id]):
                total.update(f"{story_id}/{k} {self.sha256(story_id, k)}\n".encode())
        return total.hexdigest()

    def thumbs(self, counts: Mapping[str, int], folder: Path, height_px: int = THUMB_PX) -> list[Path]:
        """Write one WebP strip a story, frames left to right, to look at and not to score, and return the files."""
        written = []
        for story_id, count in counts.items():
            images = [
                image.resize((round(image.width * height_px / image.height), height_px), Image.Resampling.LANCZOS)
                for image in self.read_story(story_id, count)
            ]
            strip = Image.new("RGB", (sum(i.width for i in images), height_px))
            x = 0
            for image in images:
                strip.paste(image, (x, 0))
                x += image.width
            buffer = io.BytesIO()
            strip.save(buffer, format="WEBP", quality=THUMB_QUALITY, method=6)
            write_atomic(folder / f"{story_id}.webp", buffer.getvalue())
            written.append(folder / f"{story_id}.webp")
        return written

    def _problems(self, counts: Mapping[str, int], size: tuple[int, int] | None) -> list[str]:
        """Return what is wrong with the expected frames, in story and frame order."""
        recorded = self.committed()
        problems = []
        for story_id, count in counts.items():
            for k in range(count):
                name = f"{story_id}/{k}.png"
                problem, image = self._decode(self.path(story_id, k))
                if image is None:
                    problems.append(f"{name} {problem}")
                elif size is not None and image.size != size:
                    problems.append(f"{name} is {image.width} x {image.height} pixels, expected {size[0]} x {size[1]}")
                elif (
                    story_id in recorded
                    and k < len(recorded[story_id].sha256)
                    and (self.sha256(story_id, k) != recorded[story_id].sha256[k])
                ):
                    problems.append(f"{name} is not the file that the manifest records")
        return problems

    def _extras(self, counts: Mapping[str, int], others_allowed: bool) -> list[str]:
        """Return what lies in the folder and belongs to no expected frame; hidden files are not looked at."""
        extras = []
        for entry in sorted(p for p in self.frames_dir.iterdir() if not p.name.startswith(".")):
            if entry.name not in counts or not entry.is_dir():
                extras += [] if others_allowed else [f"{entry.name} is not a story of this subset"]
                continue
            expected = {f"{k}.png" for k in range(counts[entry.name])}
            extras += [
                f"{entry.name}/{file.name} is not expected"
                for file in sorted(entry.iterdir())
                if file.name not in expected and not file.name.startswith(".")
            ]
        return extras

    @staticmethod
    def _decode(path: Path) -> tuple[str, Image.Image | None]:
        """Return ``("", picture)`` or what is wrong with the file and None."""
        if not path.is_file():
            return "is missing", None
        try:
            with Image.open(path) as image:
                if image.format != "PNG":
                    return f"is {image.format} by another name, expected PNG: lossy frames change scores", None
                if image.mode != "RGB":
                    return f"is {image.mode}, expected RGB", None
                return "", image.copy()  # copying decodes: a truncated file fails here
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError):
            return "cannot be decoded (truncated or not a picture)", None

    def _whole_lines(self) -> list[str]:
        """Return the manifest's lines that end in a newline."""
        assert self.manifest is not None
        text = self.manifest.read_bytes().decode(errors="replace")
        return text.split("\n")[:-1]

    def _append(self, line: str) -> None:
        """Append one line durably, after cutting off what a crash left of the line before."""
        assert self.manifest is not None
        self.manifest.parent.mkdir(parents=True, exist_ok=True)
        with self.manifest.open("ab+") as file:
            file.seek(0)
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)
            file.seek(0, os.SEEK_END)
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
