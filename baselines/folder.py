"""Frames that already exist: any system whose output can be laid out as ``<folder>/<story id>/<k>.png``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from storybench.frames import FrameStore
from storybench.story import StoryPrompt


class Folder:
    """Reads frames instead of drawing them. No code of the other system is needed."""

    def __init__(self, frames: str, name: str | None = None) -> None:
        """Open the folder.

        Args:
            frames: Folder of story folders, or a run folder of storybench.
            name: What to call the system in records; default: ``folder``.

        Raises:
            DataError: If there is no such folder.
        """
        self._store = FrameStore.of_folder(Path(frames))
        self._name = name or "folder"

    def check(self, counts: Mapping[str, int], size: tuple[int, int] | None) -> None:
        """Refuse a folder that is not whole before anything is copied from it.

        Args:
            counts: Story id -> number of frames.
            size: Width and height in pixels that every frame must have.

        Raises:
            DataError: One sentence that names what is wrong.
        """
        self._store.verify(counts, size)

    def identity(self) -> Mapping[str, object]:
        """Return the name and one hash of all PNG files: other files, other run."""
        total = hashlib.sha256()
        root = self._store.frames_dir
        for path in sorted(root.glob("*/*.png"), key=lambda p: p.relative_to(root).as_posix()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(root).as_posix()} {digest}\n".encode())
        return {"name": self._name, "version": "1", "weights": {}, "sampler": {"frames": total.hexdigest()}}

    def visualize(self, stories: Sequence[StoryPrompt], *, seed: int) -> Iterator[tuple[str, list[Image.Image]]]:
        """Yield the frames of each story; ``seed`` changes nothing.

        Raises:
            DataError: If a frame is missing, cannot be decoded or is not RGB.
        """
        for prompt in stories:
            yield prompt.id, self._store.read_story(prompt.id, len(prompt.captions))
