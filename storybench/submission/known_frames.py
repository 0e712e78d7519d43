"""Which pictures are already known: hashes of the true frames of a data set, to find those that a model did not draw.

ToonSV's are shipped, because drawing 100,000 training frames takes minutes: ``toonsv_frames.safetensors`` holds for
each split the sorted first 8 bytes of the SHA-256 of every frame's pixels. Two different pictures of a submission of
2,500 frames collide with one of the table by chance in 1 of 10^11 submissions. It is made anew, after any change of the
drawing, by

    python -m storybench.submission.known_frames
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from storybench.data.toonsv.dataset import SIZES, ToonSV, picture_key
from storybench.errors import DataError
from storybench.frames import write_atomic
from storybench.story import Story

TABLE = Path(__file__).parents[1] / "data" / "facts" / "toonsv_frames.safetensors"
EVERY = 1_000  # stories between two lines of progress
Hashes = np.ndarray  # (n,) uint64, sorted


def pixel_hash(image: Image.Image) -> int:
    """Return 8 bytes that name the pixels of an RGB picture."""
    total = hashlib.sha256(f"{image.width}x{image.height}".encode())
    total.update(image.tobytes())
    return int.from_bytes(total.digest()[:8], "little")


def hashes_of(stories: Iterable[Story]) -> Hashes:
    """Return the sorted pixel hashes of all true frames of stories; those of a data set without pictures are none."""
    found = [pixel_hash(f.image) for story in stories for f in story.frames if f.load is not None]
    return np.unique(np.array(found, np.uint64))


def known(hashes: Sequence[int], table: Hashes) -> np.ndarray:
    """Return for each hash whether it is in a sorted table, shape (n,)."""
    asked = np.array(hashes, np.uint64)
    if not len(table):
        return np.zeros(len(asked), bool)
    place = np.minimum(np.searchsorted(table, asked), len(table) - 1)
    return table[place] == asked


@cache
def toonsv_frames(path: Path = TABLE) -> Mapping[str, Hashes]:
    """Return split -> hashes of the true frames of ToonSV's stories of 5 frames.

    Raises:
        DataError: If the table is missing, or of another drawing than this one.
    """
    if not path.is_file():
        raise DataError(f"No table of ToonSV's frames at '{path}': python -m storybench.submission.known_frames")
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["about"])
        if about["drawing"] != drawing():
            raise DataError(
                f"'{path}' is of ToonSV's drawing {about['drawing']}, not {drawing()}: make it anew with "
                "python -m storybench.submission.known_frames"
            )
        return {split: file.get_tensor(split) for split in file.keys()}  # noqa: SIM118 - not a mapping


def drawing() -> str:
    """Return the hash of the code that draws ToonSV."""
    return picture_key(ToonSV("mini").scenes(0)[0]).split("/")[1]


def build(path: Path = TABLE, sizes: Mapping[str, int] = SIZES) -> None:
    """Draw every split and write the table."""
    table = {}
    for split, size in sizes.items():
        data, found = ToonSV(split, size=size), []
        for start in range(0, size, EVERY):
            found.append(hashes_of(data[k] for k in range(start, min(start + EVERY, size))))
            print(f"{split}: {min(start + EVERY, size)} of {size} stories", file=sys.stderr)
        table[split] = np.unique(np.concatenate(found))
    write_atomic(path, save(table, {"about": json.dumps({"drawing": drawing(), "stories": dict(sizes)})}))


if __name__ == "__main__":
    build()
