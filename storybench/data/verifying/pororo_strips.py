"""PororoSV: the strips on disk, and the small arrays beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from storybench.data.layouts.pororo_ids import clip_id, episode_name
from storybench.data.safe import read_npy
from storybench.data.verifying.pororo_captions import frame_id
from storybench.data.verifying.report import Findings


def strips_on_disk(root: Path) -> dict[str, Path]:
    """Return frame id -> its strip, ``<Series>/<Series>_ep<N>/<k>.png`` or ``<Series>_ep<N>/<k>.png``."""
    paths = sorted((*root.glob("*/*_ep*/*.png"), *root.glob("*_ep*/*.png")))
    named = {path: clip_id(f"{path.parent.name}/{path.name}") for path in paths}
    return {frame: path for path, frame in named.items() if frame is not None}


def check_strips(frames: Mapping[str, object], strips: Mapping[str, Path], found: Findings) -> None:
    """Check that every frame has a strip of square pictures; only the headers of the files are read."""
    found.count("strips of the frames", sum(frame in strips for frame in frames), len(frames))
    found.some("missing_strips", [f for f in frames if f not in strips], "{n} frames with a caption have no strip")
    found.some("strips_unknown", [f for f in strips if f not in frames], "{n} strips have no caption")
    damaged, uneven = [], []
    for frame, path in strips.items():
        try:
            with Image.open(path, formats=("PNG",)) as image:
                longer, shorter = max(image.size), min(image.size)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError):
            damaged.append(frame)
            continue
        if shorter == 0 or longer % shorter or longer != image.height:
            uneven.append(f"{frame} ({image.width}x{image.height})")
    found.some("damaged_strips", damaged, "{n} strips are no PNG")
    found.some("uneven_strips", uneven, "{n} strips are not square pictures one below the other")


def check_labels(frames: Mapping[str, object], width: int, found: Findings) -> None:
    """Check ``labels.npy``: a dict of frames -> 9 numbers."""
    labels = found.read("labels.npy", _read_labels)
    if labels is None:
        return
    found.some("labels_missing", [f for f in frames if f not in labels], "{n} frames have no labels in labels.npy")
    found.some("labels_unknown", [f for f in labels if f not in frames], "{n} frames of labels.npy have no caption")
    wide = [frame for frame, row in labels.items() if len(row) != width]
    found.some("label_width", wide, f"{{n}} frames of labels.npy do not have {width} labels")


def check_counter(episodes: Mapping[str, Sequence[str]], found: Findings) -> None:
    """Check ``frames_counter.npy``: a dict of episode prefixes -> number of frames."""
    counter = found.read("frames_counter.npy", _read_counter)
    if counter is None:
        return
    counts = {episode: len(frames) for episode, frames in episodes.items()}
    differing = [
        f"{episode} ({counter.get(episode, 'none')}, expected {counts.get(episode, 'none')})"
        for episode in sorted({*counts, *counter})
        if counter.get(episode) != counts.get(episode)
    ]
    found.some("frames_counter", differing, "frames_counter.npy gives other numbers of frames in {n} episodes")


def _read_labels(path: Path) -> dict[str, list[int]]:
    raw = read_npy(path, objects=True).item()
    return {frame_id(key): [int(x) for x in row] for key, row in raw.items()}


def _read_counter(path: Path) -> dict[str, int]:
    raw = read_npy(path, objects=True).item()
    names = {key: key.decode("latin1") if isinstance(key, bytes) else str(key) for key in raw}
    return {episode_name(names[key].strip("/").rpartition("/")[2]): int(count) for key, count in raw.items()}
