"""Caption metrics: a captioner puts the generated frame into words, compared with those of the truth.

References of ``bleu4`` and ``cider`` are two: the explicit caption of the frame, and what the same captioner says of
the true frame. The first is what was asked for. The second takes the captioner's habits out: one thing can be told in
many words, and with the first alone a perfect frame would be marked down for every synonym; with both, true frames
score 1 in BLEU. A frame counts only where both captions are there.

``bleu_legacy`` and ``cider_legacy`` are the published forms, faults included (metrics.md 6); they are compared with
published numbers and with nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from storybench.metrics.base import Array, StoryMetric, _as_list, cluster_key
from storybench.metrics.functional import captions as functional
from storybench.metrics.record import FrameRecord
from storybench.records.score import Score
from storybench.statistics import bootstrap

PACKAGE = "pycocoevalcap"
NO_PACKAGE = f"needs {PACKAGE}: pip install 'storybench[captions]'"


class Worded(NamedTuple):
    """The captions of one frame."""

    generated: str  # of the generated frame
    asked: str  # explicit, of the data set
    true: str  # of the true frame


def worded(story: Sequence[FrameRecord]) -> list[Worded]:
    """Return the captions of the frames of a story that have all three, in frame order."""
    found = []
    for r in sorted(story, key=lambda r: r.frame):
        true = None if r.truth is None else r.truth.caption
        if r.seen.caption is not None and true is not None and r.frame < len(r.captions):
            found.append(Worded(r.seen.caption, r.captions[r.frame], true))
    return found


class CaptionBleu(StoryMetric):
    """Corpus BLEU-4 of captions of generated frames. Corpus: the sums are pooled before the ratio is taken."""

    name = "bleu4"
    group = "captions"
    requires = ("caption", "truth")
    citation = "metrics.md 6; Papineni et al. 2002"
    missing = "no frame has a caption and a caption of the truth"

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return the sums of :func:`functional.bleu_sums`, then frames."""
        row = np.zeros(functional.SUMS + 1)
        for w in worded(story):
            tokens = [functional.ptb_tokens(text) for text in w]
            row[:-1] += functional.bleu_sums(tokens[0], tokens[1:])
            row[-1] += 1
        return row

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the BLEU of each weighted corpus."""
        return functional.bleu(weights @ rows[:, :-1])


class CaptionCider(StoryMetric):
    """CIDEr-D of captions of generated frames: n-grams that few references have weigh more.

    How rare an n-gram is, is counted over the references of all frames, so that texts are kept until the end and
    scored together. Bootstrap draws resample frames' scores under these fixed weights. In one frame alone every n-gram
    is as frequent as all others and weighs nothing: there is no score.
    """

    name = "cider"
    fraction = False
    group = "captions"
    bounds = (0.0, 10.0)
    requires = ("caption", "truth")
    citation = "metrics.md 6; Vedantam et al. 2015"
    missing = "fewer than two frames have a caption and a caption of the truth: nothing tells which words are rare"

    texts: list[Tensor]

    def __init__(self, evaluator: str = "none") -> None:
        """Start without stories."""
        super().__init__(evaluator)
        self.add_state("texts", default=[], dist_reduce_fx="cat")

    def texts_of(self, w: Worded) -> tuple[str, list[str]]:
        """Return caption and references as the scorer takes them: words apart by spaces."""
        return _spaced(w.generated), [_spaced(w.asked), _spaced(w.true)]

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Keep the texts of one story, as a line of JSON in bytes: states of processes join by concatenation."""
        line = json.dumps([cluster_key(story[0].cluster), [self.texts_of(w) for w in worded(story)]]) + "\n"
        self.texts.append(torch.frombuffer(bytearray(line.encode()), dtype=torch.uint8))

    def cluster_rows(self) -> Array:
        """Return (sum of CIDEr-D, frames) per cluster, in the order of cluster keys."""
        if not len(self.texts) or not has_package():
            return np.zeros((0, 2))
        stories = self._stories()
        pairs = [(key, caption, references) for key, frames in stories for caption, references in frames]
        keys = sorted({key for key, _ in stories})
        rows = np.zeros((len(keys), 2))
        if len(pairs) > 1:
            values = cider_scores([caption for _, caption, _ in pairs], [references for _, _, references in pairs])
            for (key, _, _), value in zip(pairs, values, strict=True):
                rows[keys.index(key)] += (value, 1.0)
        return rows

    def cluster_keys(self) -> Array:
        """Return the keys of the clusters, (K,)."""
        return np.array(sorted({key for key, _ in self._stories()}), dtype=np.int64)

    def _stories(self) -> list[Any]:
        """Return the cluster key and the texts of each story, sorted: the order of update leaves no trace."""
        data = torch.cat(_as_list(self.texts)).to(torch.uint8).cpu().numpy().tobytes().decode()
        return [json.loads(line) for line in sorted(data.splitlines())]

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean over frames."""
        return bootstrap.ratio()(weights, rows)

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return value and interval; without the package of the scorer, why there is none."""
        return super().score(seed=seed, draws=draws) if has_package() else self.absent(NO_PACKAGE)


class LegacyCider(CaptionCider):
    """CIDEr as published: captions of the true frame as references (five there, one here), nothing tokenised."""

    name = "cider_legacy"
    version = "legacy-storygptv"
    citation = "metrics.md 6; StoryGPT-V eval/eval_cap.py:97-115"

    def texts_of(self, w: Worded) -> tuple[str, list[str]]:
        """Return the texts as they are."""
        return w.generated, [w.true]


class LegacyBleu(StoryMetric):
    """BLEU as published: the mean of BLEU-1 to 4 and of sentences, caption and reference exchanged, not tokenised.

    Against the data set's caption; against the caption of the true frame it stands in :meth:`details`.
    """

    name = "bleu_legacy"
    group = "captions"
    version = "legacy-storygptv"
    requires = ("caption", "truth")
    citation = "metrics.md 6; StoryGPT-V eval/eval_cap.py:52-55,102-115"
    missing = CaptionBleu.missing

    def row(self, story: Sequence[FrameRecord]) -> Array:
        """Return (sum against the data set's captions, sum against those of true frames, frames)."""
        row = np.zeros(3)
        for w in worded(story):
            row += (exchanged_bleu(w.generated, w.asked), exchanged_bleu(w.generated, w.true), 1.0)
        return row

    def update(self, story: Sequence[FrameRecord]) -> None:
        """Add one story, if the package of the scorer is there."""
        if has_package():
            super().update(story)

    def statistic(self, weights: Array, rows: Array) -> Array:
        """Return the mean over frames against the data set's captions."""
        return bootstrap.ratio(0, 2)(weights, rows)

    def score(self, *, seed: int = 0, draws: int = bootstrap.DRAWS) -> Score:
        """Return value and interval; without the package of the scorer, why there is none."""
        return super().score(seed=seed, draws=draws) if has_package() else self.absent(NO_PACKAGE)

    def details(self) -> dict[str, Any]:
        """Return the second published number."""
        rows = self.cluster_rows()
        if not len(rows) or not rows[:, 2].sum():
            return {}
        return {"bleu_legacy_against_true_frames": bootstrap.point(rows, bootstrap.ratio(1, 2))}


def has_package() -> bool:
    """Say whether the package with the COCO scorers is installed."""
    return find_spec(PACKAGE) is not None


def cider_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """Return the CIDEr-D of each caption, (N,) in [0, 10], by the scorer of the COCO evaluation.

    Args:
        captions: Words apart by spaces.
        references: Of each caption, at least one; all of them together say how rare an n-gram is.
    """
    scorer = _scorer("cider.cider_scorer", "CiderScorer")(n=4, sigma=6.0)
    for caption, texts in zip(captions, references, strict=True):
        scorer += (caption, list(texts))
    _, scores = scorer.compute_score()
    return np.asarray(scores, dtype=np.float64)


def exchanged_bleu(generated: str, caption: str) -> float:
    """Return the mean of BLEU-1 to 4 of one sentence, ``caption`` judged against ``generated`` as published."""
    values, _ = _scorer("bleu.bleu", "Bleu")(4).compute_score({0: [generated]}, {0: [caption]}, verbose=0)
    return float(np.mean(values))


def _scorer(module: str, name: str) -> Callable[..., Any]:
    return getattr(import_module(f"{PACKAGE}.{module}"), name)


def _spaced(text: str) -> str:
    return " ".join(functional.ptb_tokens(text))
