"""What frames have in common that frames of a model should not: copies, one picture over and over, a JPEG past.

And what a card leaves open. Nothing here is proof of ill will; errors are what no row can rest on.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from PIL import Image

from storybench.submission.expecting import Expectation
from storybench.submission.known_frames import known, pixel_hash
from storybench.submission.manifest import MANIFEST, Manifest
from storybench.submission.report import Findings
from storybench.submission.traces import Ghost, is_scaled_up, jpeg_ghost

SAMPLE = 32  # frames that are asked for a JPEG past: 0.03 s each
JPEG_SHARE = 0.25  # of the sample; above it is how the frames were saved, below it is chance
SCALED_SHARE = 0.5
COPIED_SHARE = 0.01  # of all frames; a model that repeats one training frame is no copyist
REPEATED_SHARE = 0.02
OWN = "hand in what the model drew"


class Pictures:
    """Looks at decoded frames one by one and keeps a few numbers of each."""

    def __init__(self, expected: Expectation) -> None:
        self._expected = expected
        self._every = max(1, expected.frames // SAMPLE)
        self._names: list[str] = []
        self._hashes: list[int] = []
        self._scaled = 0
        self._ghosts: dict[str, Ghost] = {}

    def add(self, name: str, image: Image.Image) -> None:
        """Look at one frame."""
        if len(self._names) % self._every == 0 and len(self._ghosts) < 2 * SAMPLE:
            self._ghosts[name] = jpeg_ghost(image)
        self._names.append(name)
        self._hashes.append(pixel_hash(image))
        self._scaled += is_scaled_up(image)

    def judge(self, findings: Findings) -> None:
        """Say what the frames have in common."""
        if self._names:
            self._judge_copies(findings)
            self._judge_repeats(findings)
            self._judge_past(findings)

    def summary(self) -> dict[str, Any]:
        """Return what was measured."""
        different = len(set(self._hashes))
        return {
            "decoded": len(self._names),
            "different": different,
            "true_frames": int(known(self._hashes, self._expected.truth).sum()),
            "training_frames": int(known(self._hashes, self._expected.training).sum()),
            "looks_like_jpeg": f"{sum(g.is_jpeg for g in self._ghosts.values())} of {len(self._ghosts)}",
            "scaled_up": self._scaled,
        }

    def _judge_copies(self, findings: Findings) -> None:
        for place in np.flatnonzero(known(self._hashes, self._expected.truth)):
            what = "is pixel for pixel a true frame of the benchmark"
            findings.error("truth", self._names[place], what, f"{OWN}, not the true frames")
        copied = known(self._hashes, self._expected.training)
        where = self._names[int(np.argmax(copied))]
        if copied.mean() > COPIED_SHARE:
            what = f"is one of {copied.sum()} frames that are pixel for pixel frames of the training split"
            findings.error("training", where, what, OWN)
        elif copied.any():
            what = f"is pixel for pixel a frame of the training split, as {copied.sum()} of {len(copied)} frames are"
            findings.warning("training", where, what, "say in the card how the model came to it")

    def _judge_repeats(self, findings: Findings) -> None:
        counts = Counter(self._hashes)
        (most, times), total = counts.most_common(1)[0], len(self._hashes)
        repeated = sum(n - 1 for n in counts.values())
        where = self._names[self._hashes.index(most)]
        if len(counts) == 1 and total > 1:
            findings.error("one-picture", where, f"is every one of the {total} frames", OWN)
        elif repeated > REPEATED_SHARE * total:
            what = f"{repeated} of {total} frames repeat another pixel for pixel, {where} {times} times"
            findings.warning("repeated", "frames", what, "nothing to do if the model draws so; the row will say it")

    def _judge_past(self, findings: Findings) -> None:
        jpegs = {name: ghost for name, ghost in self._ghosts.items() if ghost.is_jpeg}
        if len(jpegs) > JPEG_SHARE * len(self._ghosts):
            quality = Counter(ghost.quality for ghost in jpegs.values()).most_common(1)[0][0]
            what = f"{len(jpegs)} of {len(self._ghosts)} frames looked at were JPEG once, of quality {quality}"
            mend = "save frames as PNG where the model draws them: converting later does not bring back what JPEG took"
            findings.error("jpeg-past", next(iter(jpegs)), what, mend)
        elif jpegs:
            what = f"{len(jpegs)} of {len(self._ghosts)} frames looked at may have been JPEG once"
            findings.warning("jpeg-past", next(iter(jpegs)), what, "check how frames are saved")
        if self._scaled > SCALED_SHARE * len(self._names):
            what = f"{self._scaled} of {len(self._names)} frames are smaller pictures scaled up twice"
            findings.warning("scaled-up", "frames", what, "say in the card at which size the model draws")


def card_warnings(manifest: Manifest, findings: Findings) -> None:
    """Say what a card leaves open, and what people should know when they read the row."""
    card = manifest.card
    where, add = f"{MANIFEST} card", "add it to the card, then pack again"
    if card.saw_test_stories:
        findings.warning(
            "saw-test", where, "says that the model saw test stories", "nothing to do; the row will say it"
        )
    if card.oracle_inputs:
        what = f"says that the model is given {len(card.oracle_inputs)} inputs beside captions and cast"
        findings.warning("oracle", where, what, "nothing to do; the row will say it")
    for missing, name, why in (
        (not card.command, "command", "the frames cannot be drawn again by others"),
        (card.seed is None, "seed", "the frames cannot be drawn again by others"),
        (not card.links, "links", "readers cannot find paper, code or weights"),
        (card.parameters is None, "parameters", "readers cannot see how large the model is"),
    ):
        if missing:
            findings.warning("card", where, f"has no {name}: {why}", add)
