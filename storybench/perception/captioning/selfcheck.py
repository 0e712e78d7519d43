"""What the captioner gets right on true test frames, measured on the weights as shipped.

The grammar has several words for everything, so a right caption seldom equals the data set's: beside the exact match
stands what a caption says, whatever its wording (:func:`facts`), and BLEU-4 against many wordings of the frame.
"""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from storybench.data.toonsv import phrases, world
from storybench.data.toonsv.dataset import ToonSV
from storybench.data.toonsv.lexicon import find_names
from storybench.data.toonsv.planner import plan_story
from storybench.metrics.functional.captions import bleu, bleu_sums, ptb_tokens
from storybench.perception.captioning.toon import ToonCaptioner
from storybench.perception.captioning.training import retellings

# Beginnings of the words that tell each action.
ACTION_WORDS: dict[str, tuple[str, ...]] = {
    "walk": ("walk", "stroll", "wander"),
    "run": ("run", "rac", "dash", "sprint", "rush", "chas"),
    "jump": ("jump", "hop", "leap", "bounc"),
    "sit": ("sit", "seat"),
    "sleep": ("sleep", "nap", "doz", "snooz", "asleep"),
    "wave": ("wave", "waving"),
    "dance": ("danc", "twirl", "spin"),
    "cheer": ("cheer", "hooray", "celebrat"),
}
_ACTIONS = {name: re.compile(rf"\b(?:{'|'.join(stems)})(?!ide)", re.IGNORECASE) for name, stems in ACTION_WORDS.items()}
_PLACES = {
    setting: tuple(p.lower() for p in (*phrases.PLACE_PHRASES[setting], phrases.ABOVE[setting]))
    for setting in world.SETTINGS
}


class Facts(NamedTuple):
    """What a caption says."""

    names: tuple[str, ...]  # in order: left to right in the picture
    setting: str
    props: frozenset[str]
    actions: frozenset[str]


def facts(caption: str) -> Facts:
    """Return what an explicit caption of the grammar says, whatever its wording."""
    lower = caption.lower()
    places = [(len(phrase), setting) for setting, told in _PLACES.items() for phrase in told if phrase in lower]
    return Facts(
        names=tuple(dict.fromkeys(name for _, _, name in find_names(caption))),
        setting=max(places)[1] if places else "",
        props=frozenset(prop for prop in world.PROPS if re.search(rf"\b{prop}\b", lower)),
        actions=frozenset(name for name, pattern in _ACTIONS.items() if pattern.search(caption)),
    )


def check(captioner: ToonCaptioner, stories: int, wordings: int = 16) -> dict[str, Any]:
    """Return accuracies of ``captioner`` on true frames of test stories, and its speed.

    Args:
        captioner: As shipped.
        stories: The first so many of the test split, five frames each.
        wordings: References of BLEU-4: explicit captions of the same frame.
    """
    test = ToonSV("test")
    told = [[f.captions["explicit"].text for f in test[k].frames] for k in range(stories)]
    images = [f.image for k in range(stories) for f in test[k].frames]
    others = [texts for k in range(stories) for texts in retellings(plan_story("test", k), wordings)]
    started = time.process_time()
    said = captioner.caption(images)
    seconds = time.process_time() - started
    truth = [text for texts in told for text in texts]
    mine, theirs = [facts(c) for c in said], [facts(c) for c in truth]
    sums = [bleu_sums(ptb_tokens(c), [ptb_tokens(r) for r in refs]) for c, refs in zip(said, others, strict=True)]
    plain = [bleu_sums(ptb_tokens(c), [ptb_tokens(t)]) for c, t in zip(said, truth, strict=True)]
    shares = {
        "exact_match": [c == t for c, t in zip(said, truth, strict=True)],
        "names_acc": [set(a.names) == set(b.names) for a, b in zip(mine, theirs, strict=True)],
        "names_in_order_acc": [a.names == b.names for a, b in zip(mine, theirs, strict=True)],
        "setting_acc": [a.setting == b.setting for a, b in zip(mine, theirs, strict=True)],
        "props_acc": [a.props == b.props for a, b in zip(mine, theirs, strict=True)],
        "actions_acc": [a.actions == b.actions for a, b in zip(mine, theirs, strict=True)],
        "all_facts_acc": [a == b for a, b in zip(mine, theirs, strict=True)],
        **fit_checks(captioner, images, told),
    }
    return {
        **{name: round(float(np.mean(hits)), 4) for name, hits in shares.items()},
        "bleu4_one_wording": round(float(bleu(np.sum(plain, 0))), 4),
        f"bleu4_{wordings}_wordings": round(float(bleu(np.sum(sums, 0))), 4),
        "frames": len(images),
        "caption_cpu_ms_a_frame": round(1000 * seconds / len(images), 2),
    }


def fit_checks(captioner: ToonCaptioner, images: list[Any], told: list[list[str]]) -> dict[str, list[bool]]:
    """Return per frame whether its own caption fits best in its story, and whether assignment finds it."""
    captions = [texts for texts in told for _ in texts]
    fits = captioner.fit(images, captions)
    best, assigned = [], []
    start = 0
    for texts in told:
        fit = np.stack(fits[start : start + len(texts)])  # (frames, captions)
        start += len(texts)
        best += (fit.argmax(1) == np.arange(len(texts))).tolist()
        order = np.arange(len(texts))[::-1]  # ties must not fall on the truth
        rows, columns = linear_sum_assignment(fit[order], maximize=True)
        assigned += (order[rows] == columns).tolist()
    return {"fit_best_acc": best, "fit_assignment_acc": assigned}
