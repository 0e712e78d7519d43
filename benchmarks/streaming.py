"""Memory and speed of streaming FlintstonesSV at 512 px, beside a reader that loads every array first.

Writes an invented release in StoryGPT-V's layout to a temporary folder (it would not fit into 500 MB), decodes every
frame of every story in a process of its own, then does the same with a peer that holds all arrays, and prints one JSON
object. Exits with status 1 if streaming takes 500 MB or more. Run: ``python benchmarks/streaming.py``.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

LIMIT_MB = 500
PICTURES, SIDE_PX = 5, 512
CLIPS_AN_EPISODE = 40


def write_release(root: Path, clips: int) -> int:
    """Write ``clips`` clips of noise, seeded, with masks of the middle picture; return the bytes of their arrays."""
    draw = np.random.default_rng(0)
    for folder in ("video_frames_sampled_4x", "seg_mask_4x_comb"):
        (root / folder).mkdir()
    rows, cleaned, written = [], {}, 0
    for k in range(clips):
        start = 100 * k
        clip_id = f"s_01_e_{k // CLIPS_AN_EPISODE:02d}_shot_{start:06d}_{start + 74:06d}"
        pictures = draw.integers(0, 256, (PICTURES, SIDE_PX, SIDE_PX, 3), np.uint8)
        mask = np.zeros((SIDE_PX, SIDE_PX), np.int64)
        mask[100:300, 50:250] = 1
        np.save(root / "video_frames_sampled_4x" / f"{clip_id}.npy", pictures)
        np.save(root / "seg_mask_4x_comb" / f"{clip_id}-frame{PICTURES // 2}.npy", mask)
        written += pictures.nbytes + mask.nbytes
        person = {"globalID": f"{clip_id}_0", "entityLabel": "fred", "rectangles": [[12, 25, 62, 75]] * 3}
        caption = "Fred walks into the quarry."
        rows.append({"globalID": clip_id, "description": caption, "setting": "quarry", "characters": [person]})
        segment = {"id": 1, "word": "Fred", "start": 0, "end": 1, "bbox": [12, 25, 62, 75]}
        cleaned[clip_id] = {"caption": caption, "tokens": caption.split(), "segments": [segment]}
    ids = [row["globalID"] for row in rows]
    (root / "flintstones_annotations_v1-0.json").write_text(json.dumps(rows))
    (root / "cleaned_annotations.json").write_text(json.dumps(cleaned))
    (root / "split.json").write_text(json.dumps({"train": ids, "val": [], "test": []}))
    with (root / "labels.pkl").open("wb") as file:
        pickle.dump({clip_id: [0, 1, 0, 0, 0, 0, 0] for clip_id in ids}, file)
    return written


class PeakMemory:
    """Highest resident memory of this process above that at the start, sampled every few milliseconds."""

    def __enter__(self):
        self.process, self.running = psutil.Process(), True
        self.start = self.peak = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()

    def _watch(self):
        while self.running:
            self.peak = max(self.peak, self.process.memory_info().rss)
            time.sleep(0.002)

    @property
    def mb(self) -> float:
        return (self.peak - self.start) / 2**20


def read(reader: str, root: Path) -> dict[str, float]:
    """Read all frames of all stories with ``ours`` or ``eager`` and measure from before anything is opened."""
    from storybench.data.flintstones import flintstones  # imported before measuring: both pay for it

    frames = checksum = 0
    with PeakMemory() as memory:
        start = time.perf_counter()
        stories = flintstones("train", root=root, pictures=reader == "ours")
        if reader == "ours":
            for story in stories:
                for frame in story.frames:
                    checksum += int(np.asarray(frame.image)[0, 0, 0])
                    frames += 1
        else:
            held = {path.stem: np.load(path) for path in (root / "video_frames_sampled_4x").iterdir()}
            masks = {path.stem: np.load(path) for path in (root / "seg_mask_4x_comb").iterdir()}
            for story in stories:
                for frame in story.frames:
                    picture, _ = held[frame.id][PICTURES // 2].copy(), masks[f"{frame.id}-frame2"].copy()
                    checksum += int(picture[0, 0, 0])
                    frames += 1
        seconds = time.perf_counter() - start
    return {
        "peak_mb": round(memory.mb, 1),
        "frames": frames,
        "frames_per_second": round(frames / seconds, 1),
        "checksum": checksum,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200, help="clips to write; 200 take 1.2 GB of disk for a moment")
    parser.add_argument("--reader", choices=("ours", "eager"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        print(json.dumps(read(options.reader, options.root)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        written = write_release(Path(folder), options.clips)
        found = {}
        for reader in ("ours", "eager"):
            command = [sys.executable, __file__, "--reader", reader, "--root", folder]
            found[reader] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    same = found["ours"].pop("checksum") == found["eager"].pop("checksum")
    result = {
        "clips": options.clips,
        "arrays_mb": round(written / 2**20, 1),
        "limit_mb": LIMIT_MB,
        **found,
        "memory_ratio": round(found["eager"]["peak_mb"] / max(found["ours"]["peak_mb"], 0.1), 1),
        "same_pixels": same,
        "holds": same and found["ours"]["peak_mb"] < LIMIT_MB,
    }
    print(json.dumps(result, indent=2))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
