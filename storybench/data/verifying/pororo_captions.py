"""PororoSV: captions and frame numbers, from ``descriptions.csv`` and ``descriptions.npy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storybench.data.layouts.pororo_ids import clip_id, series_of, split_id
from storybench.data.safe import read_csv_rows, read_npy
from storybench.data.verifying.report import Findings
from storybench.data.windows import story_windows

CSV, NPY = "descriptions.csv", "descriptions.npy"


@dataclass
class Captions:
    """Frame id ``<episode>/<k>`` -> its captions in the order of the rows, and the number of rows."""

    of: dict[str, list[str]] = field(default_factory=dict)
    rows: int = 0

    def add(self, frame: str, captions: Sequence[str]) -> None:
        """Add the captions of one frame."""
        self.of.setdefault(frame, []).extend(captions)
        self.rows += len(captions)

    @property
    def episodes(self) -> dict[str, list[str]]:
        """Episode -> its frame ids in the order of their numbers, episodes sorted as strings."""
        return by_episode(self.of)


def frame_id(raw: Any) -> str:
    """Return ``<episode>/<k>`` for a published key or path, of bytes or text: ``/Series/Series_ep1/7.png``.

    Raises:
        ValueError: If it is of another form.
    """
    text = raw.decode("latin1") if isinstance(raw, bytes) else str(raw)
    if (found := clip_id(text)) is None:
        raise ValueError(f"{text!r} is not Series/Series_ep<N>/<k>")
    return found


def by_episode(frames: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return episode -> its frames in the order of their numbers, episodes sorted as strings."""
    episodes: dict[str, list[str]] = {}
    for frame in sorted(frames, key=split_id):
        episodes.setdefault(split_id(frame)[0], []).append(frame)
    return episodes


def read_csv(path: Path) -> Captions:
    """Read ``descriptions.csv``: episode, frame, caption; no header.

    Raises:
        DataError: If it cannot be read.
        ValueError: If a row is of another form.
    """
    captions = Captions()
    for line, row in enumerate(read_csv_rows(path), 1):
        if len(row) != 3:
            raise ValueError(f"row {line} has {len(row)} columns, expected episode, frame, caption")
        captions.add(frame_id(f"{row[0]}/{row[1].strip()}"), [row[2]])
    return captions


def read_npy_captions(path: Path) -> Captions:
    """Read ``descriptions.npy``: a dict ``Series/Series_ep<N>/<k>`` -> [caption].

    Raises:
        DataError: If it cannot be read.
        ValueError: If a key is of another form.
    """
    captions = Captions()
    for key, told in read_npy(path, objects=True).item().items():
        captions.add(frame_id(key), [t.decode("latin1") if isinstance(t, bytes) else str(t) for t in told])
    return captions


def read_captions(facts: Mapping[str, Any], found: Findings) -> Captions | None:
    """Read whichever files there are, compare them if both are, and check counts and numbers of the frames."""
    from_csv = found.read(CSV, read_csv, required=True)
    # the adapter reads the array only where there is no table
    from_npy = found.read(NPY, read_npy_captions, required=not (found.root / CSV).exists())
    captions = from_csv or from_npy
    if captions is None:
        return None
    if from_csv is not None:
        found.count("caption rows", from_csv.rows, facts["counts"]["rows"])
        found.count(
            "frames with one caption", sum(len(c) == 1 for c in from_csv.of.values()), facts["counts"]["single"]
        )
    if from_csv is not None and from_npy is not None:
        _compare(from_csv, from_npy, found)
    check_frames(captions.of, facts["counts"], found)
    empty = [frame for frame, told in captions.of.items() if not told or not told[0].strip()]
    found.some("empty_captions", empty, "{n} frames have an empty caption")
    return captions


def check_frames(frames: Mapping[str, Any], counts: Mapping[str, Any], found: Findings) -> None:
    """Check episodes, frames and stories against the published counts, and that frames are numbered 1..n."""
    episodes = by_episode(frames)
    found.count("series", len({series_of(e) for e in episodes}), counts["series"])
    found.count("episodes", len(episodes), counts["episodes"])
    found.count("frames", len(frames), counts["frames"])
    for n in (5, 4):
        found.count(f"{n}-frame stories", len(story_windows(episodes, n, "overlapping")), counts["stories"][str(n)])
    gaps = []
    for episode, listed in episodes.items():
        missing = sorted(set(range(1, len(listed) + 1)) - {split_id(f)[1] for f in listed})
        gaps += [f"{episode} (no {missing[0]})"] if missing else []
    found.some("gaps", gaps, "{n} episodes are not numbered 1..n")


def _compare(from_csv: Captions, from_npy: Captions, found: Findings) -> None:
    keys, other = set(from_csv.of), set(from_npy.of)
    found.some("csv_only", sorted(keys - other), f"{{n}} frames of {CSV} are not in {NPY}")
    found.some("npy_only", sorted(other - keys), f"{{n}} frames of {NPY} are not in {CSV}")
    differing = [
        frame
        for frame in sorted(keys & other)
        if [c.strip() for c in from_csv.of[frame][:1]] != [c.strip() for c in from_npy.of[frame][:1]]
    ]
    found.some("captions_differ", differing, f"The caption of {{n}} frames differs between {CSV} and {NPY}")
