"""Writes ARLDM's HDF5 file as its scripts do (data_script/{flintstones,pororo}_hdf5.py).

``cv2.imencode`` takes an RGB array for BGR, so that the PNG holds blue where red was; without OpenCV the same PNG comes
from the array with its channels turned round.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from PIL import Image


def imencode(strip: np.ndarray) -> np.ndarray:
    """Return what ``cv2.imencode('.png', strip)`` gives of an RGB strip: the bytes of a PNG, as uint8."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(strip[..., ::-1])).save(buffer, format="PNG")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def write_hdf5(path: Path, stories: dict[str, Sequence[Sequence[tuple[np.ndarray, str]]]]) -> None:
    """Write group -> stories -> five pairs of strip and caption."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for subset, rows in stories.items():
            group = file.create_group(subset)
            kind = h5py.vlen_dtype(np.dtype("uint8"))
            images = [group.create_dataset(f"image{k}", (len(rows),), dtype=kind) for k in range(5)]
            text = group.create_dataset("text", (len(rows),), dtype=h5py.string_dtype(encoding="utf-8"))
            for number, row in enumerate(rows):
                for k, (strip, _) in enumerate(row):
                    images[k][number] = imencode(strip)
                text[number] = "|".join(t.replace("\n", "").replace("\t", "").strip() for _, t in row)
