"""PororoSV as most papers use it: the folder ``pororo_png`` of strips, with captions and ``.npy`` files beside."""

from __future__ import annotations

from pathlib import Path

from storybench.data.layouts.pororo_captions import PororoCaptions
from storybench.data.layouts.pororo_ids import episode_name, is_episode, series_of, split_id
from storybench.data.layouts.pororo_strip import open_strip, strip_length, sub_frame
from storybench.story import FramePixels


class PororoStrips(PororoCaptions):
    """``<Series>/<Series>_ep<N>/<k>.png``, vertical strips of square sub-frames."""

    layout = "strips"
    has_pictures = True

    def __init__(self, root: Path) -> None:
        """Read the texts and find the folder of each episode; no strip is opened.

        Raises:
            DataError: If there are no captions, or a file is damaged.
        """
        super().__init__(root)
        self._folders = episode_folders(root)

    def frame_count(self, clip_id: str) -> int:
        """Return the number of sub-frames; only the header of the strip is read.

        Raises:
            DataError: If the strip is missing or no picture; the sentence names it.
        """
        with open_strip(self._path(clip_id), self._named(clip_id)) as strip:
            return strip_length(strip)

    def pixels(self, clip_id: str, frame: int) -> FramePixels:
        """Return sub-frame ``frame``; there are no masks or boxes.

        Raises:
            DataError: If the strip is missing or damaged; the sentence names it.
        """
        named = self._named(clip_id)
        with open_strip(self._path(clip_id), named) as strip:
            return FramePixels(sub_frame(strip, frame, named), None, ())

    def _path(self, clip_id: str) -> Path:
        episode, number = split_id(clip_id)
        folder = self._folders.get(episode, self.root / series_of(episode) / episode)
        return folder / f"{number}.png"

    def _named(self, clip_id: str) -> str:
        return f"Strip '{self._path(clip_id)}' of clip {clip_id}"


def episode_folders(root: Path) -> dict[str, Path]:
    """Return episode -> its folder, below that of its series or directly below ``root``."""
    found: dict[str, Path] = {}
    for outer in sorted(p for p in root.iterdir() if p.is_dir()):
        if is_episode(outer.name):
            found[episode_name(outer.name)] = outer
            continue
        for inner in sorted(p for p in outer.iterdir() if p.is_dir()):
            episode = episode_name(inner.name)
            if is_episode(inner.name) and series_of(episode) == episode_name(outer.name):
                found[episode] = inner
    return found
