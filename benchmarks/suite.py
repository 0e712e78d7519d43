"""One pass over 2,500 ToonSV frames beside the usual way, one tool after the other, on the same frames and network.

The peers are torchmetrics' FrechetInceptionDistance and KernelInceptionDistance with the ToonSV network as their
feature extractor, then a pass of its own for the classifier: each decodes the same PNG files and runs the same network
again. Ours computes the character metrics, Fréchet distance and KID with their intervals from one pass. Bar: half their
time. ``--whole`` runs every metric instead (three networks, floors and ceilings): more work than the peers do.

``--memory`` instead measures the peak resident memory of scoring 1,000 and 20,000 frames, each in a process of its
own; ``--worker FRAMES`` is that process. Both print one JSON object. Run: ``python benchmarks/suite.py``.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from storybench.data.toonsv.dataset import ToonSV
from storybench.evaluation import evaluate
from storybench.frames import FrameStore
from storybench.metrics.catalogue import EVERY
from storybench.perception.assets import load_perceiver
from storybench.perception.cache import ObservationCache
from storybench.perception.reading import PerceiverObserver

STORIES, BATCH = 500, 16
BAR = 0.5
SMALL, LARGE = 1_000, 20_000
GROWTH = 1.15  # of peak memory from 1,000 to 20,000 frames


class Features(torch.nn.Module):
    """The perceiver's features of uint8 pictures, as torchmetrics calls an extractor of one's own."""

    num_features = 160

    def __init__(self) -> None:
        super().__init__()
        self.network = load_perceiver().model

    def forward(self, pixels):
        return self.network((pixels.float() / 255).contiguous(memory_format=torch.channels_last)).features


def batches(paths):
    """Yield decoded uint8 batches (B, 3, 128, 128)."""
    for start in range(0, len(paths), BATCH):
        pictures = [np.asarray(Image.open(p).convert("RGB")) for p in paths[start : start + BATCH]]
        yield torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def peers(drawn, true):
    """Return the seconds of FID, KID and a classifier pass, and the two distances."""
    seconds, values = {}, {}
    for name, metric in (
        ("fid", FrechetInceptionDistance(feature=Features())),
        ("kid", KernelInceptionDistance(feature=Features(), subsets=100, subset_size=1000)),
    ):
        started = time.perf_counter()
        with torch.inference_mode():
            for real, paths in ((True, true), (False, drawn)):
                for pixels in batches(paths):
                    metric.update(pixels, real=real)
            found = metric.compute()
        values[name] = float(found[0] if isinstance(found, tuple) else found)
        seconds[name] = time.perf_counter() - started
    started = time.perf_counter()
    reader = PerceiverObserver(load_perceiver())
    for start in range(0, len(drawn), BATCH):
        reader.read([Image.open(p).convert("RGB") for p in drawn[start : start + BATCH]])
    seconds["classifier"] = time.perf_counter() - started
    return seconds, values


def frames_of(stories, folder):
    """Write soft copies of the true frames as if a model had drawn them, and return the store and its files."""
    store = FrameStore.of_run(folder)
    images = {s.id: [softened(f.image) for f in s.frames] for s in stories}
    store.commit(images, dict.fromkeys(images, 0.0))
    return store, [store.path(s.id, k) for s in stories for k in range(len(s.frames))]


def softened(image):
    """Return a picture as an autoencoder would leave it."""
    return image.resize((64, 64), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BICUBIC)


def compare(whole):
    """Time both ways over the same files."""
    world = ToonSV("test")
    stories = [world[k] for k in range(STORIES)]
    same = [kind.name for kind in EVERY if kind.group == "characters" and "truth" not in kind.requires]
    asked = {} if whole else {"metrics": [*same, "frechet", "kid"], "with_truth": False}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        store, drawn = frames_of(stories, root / "run")
        truth = FrameStore.of_run(root / "true")
        truth.commit({s.id: [f.image for f in s.frames] for s in stories}, {s.id: 0.0 for s in stories})
        true = [truth.path(s.id, k) for s in stories for k in range(5)]
        with ObservationCache(root / "cache") as cache:
            evaluate(stories[:2], store, cache=None)  # imports and first calls are nobody's share
            started = time.perf_counter()
            found = evaluate(stories, store, cache=cache, **asked)
            ours = time.perf_counter() - started
            started = time.perf_counter()
            again = evaluate(stories, store, cache=cache, **asked)
            ours_again = time.perf_counter() - started
        seconds, values = peers(drawn, true)
    total = sum(seconds.values())
    assert {k: v.value for k, v in found.scores.items()} == {k: v.value for k, v in again.scores.items()}
    run = [name for name, score in found.scores.items() if score.value is not None]
    return {
        "frames": len(drawn),
        "threads": torch.get_num_threads(),
        "metrics": len(run),
        "ours_s": round(ours, 1),
        "ours_again_s": round(ours_again, 1),
        "peers_s": {name: round(s, 1) for name, s in seconds.items()},
        "ratio": round(ours / total, 3),
        "bar": BAR,
        "peers_fid": values["fid"],
        "ours_frechet": found.scores["frechet"].value,
        "holds": ours <= BAR * total,
    }


def worker(frames):
    """Score ``frames`` frames and print the peak resident memory in MB."""
    world = ToonSV("train", size=frames // 5)
    stories = [world[10_000_000 + k] for k in range(frames // 5)]

    by_id = {s.id: s for s in stories}

    class Soft:
        """Draws when asked, so that no memory is the frames'."""

        def read(self, story_id, k):
            return softened(by_id[story_id].frames[k].image)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    evaluate(stories, Soft(), with_truth=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"frames": frames, "before_mb": round(before), "peak_mb": round(peak)}))


def memory():
    """Measure a small and a large run, each in a process of its own."""
    found = []
    for frames in (SMALL, LARGE):
        words = [sys.executable, __file__, "--worker", str(frames)]
        said = subprocess.run(words, check=True, capture_output=True, text=True)
        found.append(json.loads(said.stdout.splitlines()[-1]))
    growth = found[1]["peak_mb"] / found[0]["peak_mb"]
    return {"runs": found, "growth": round(growth, 3), "bar": GROWTH, "holds": growth <= GROWTH}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--worker", type=int)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return 0
    found = memory() if options.memory else compare(options.whole)
    print(json.dumps(found, indent=1))
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
