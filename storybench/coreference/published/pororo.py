"""Published referential texts of PororoSV, which read characters from captions, for want of other labels.

*One character.* Names are sought as substrings, nine capitalised and nine in lower case. If several stand in the
caption, and the caption without its last character has several parts between points, only the last part counts. Of
what is found the first in list order is the frame's choice. If it equals the choice of the frame before, all its places
become She (Petty, Loopy) or He.

*A group, StoryGPT-V only.* The characters that the caption has in common with a caption kept from before are cut into
words, and words are taken while each is a name, or has a comma or "and" in it. Two words or more become They, once in
training and everywhere in evaluation, before the choice is made.

What is wrong with that, and kept:

- A choice may be one of a group: "Pororo, Crong and Eddy" becomes "He, Crong and Eddy".
- "Pororo" and "pororo" are two choices. Names inside words count.
- Make-A-Story looks at the whole first caption, not without its last character: a first caption that names several
  and ends with a point has no choice.
- The kept caption changes only when He or She was written, and is then the caption before He or She. The last word
  in common is always lost if all are taken, the group may end on "and", and "stands" counts as "and".

StoryGPT-V draws a caption of the clip on each access. Here the draw is a function of (mode, clip id), the same in all
stories. Training takes caption ceil(u * n), at most n - 1, of n from 0, where u in (0, 1] is how far into the clip the
picture drawn is: the first is never taken unless it is the only one, and the last twice as often. The number of
pictures is not known here, so that u is drawn as from many. Evaluation takes any of the n with equal probability.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import takewhile

from storybench.coreference.published.frame import MAKE_A_STORY, STORYGPTV_EVAL, STORYGPTV_TRAIN, PublishedFrame
from storybench.data.clips import Clip
from storybench.data.facts import load_facts


def rewrite(mode: str, clips: Sequence[Clip]) -> tuple[PublishedFrame, ...]:
    """Tell one caption of every clip of a story, all of which have some, in a published mode."""
    frames: list[PublishedFrame] = []
    before = kept = ""
    for index, clip in enumerate(clips):
        caption = text = drawn_caption(mode, clip)
        if index == 0:
            before, kept = _choice(caption, caption if mode == MAKE_A_STORY else caption[:-1]), caption
            frames.append(PublishedFrame(caption))
            continue
        group = "" if mode == MAKE_A_STORY else _leading_group(kept, caption)
        if group:
            text = text.replace(group, "They", -1 if mode == STORYGPTV_EVAL else 1)
        choice = _choice(text, text[:-1])
        one = choice != "" and choice == before
        if one:
            kept = text
            text = text.replace(choice, _pronouns()[choice])
        before = choice
        replaced = one or group != ""
        flagged = one if mode == STORYGPTV_EVAL else replaced
        frames.append(PublishedFrame(text, replaced=replaced, changed=text != caption, flagged=flagged))
    return tuple(frames)


def drawn_caption(mode: str, clip: Clip) -> str:
    """Return the caption of a clip that a mode starts from."""
    if mode == MAKE_A_STORY:
        return clip.captions[0]
    count = len(clip.captions)
    draw = int.from_bytes(hashlib.sha256(f"{mode}/{clip.id}".encode()).digest()[:8], "big") % count
    return clip.captions[min(draw + 1, count - 1) if mode == STORYGPTV_TRAIN else draw]


def _choice(text: str, parted: str) -> str:
    """Return the one character a caption is about; ``parted`` is what is cut at its points. Empty if there is none."""
    found = [name for name in _pronouns() if name in text]
    parts = parted.split(".")
    if len(found) > 1 and len(parts) > 1:
        found = [name for name in found if name in parts[-1]]
    return found[0] if found else ""


def _leading_group(kept: str, caption: str) -> str:
    """Return the words that StoryGPT-V takes for a group of characters; empty if fewer than two."""
    common = takewhile(lambda pair: pair[0] == pair[1], zip(kept, caption, strict=False))
    words = "".join(character for character, _ in common).split(" ")
    strangers = (index for index, word in enumerate(words) if not _is_of_group(word))
    taken = words[: next(strangers, len(words) - 1)]
    return " ".join(taken) if len(taken) > 1 else ""


def _is_of_group(word: str) -> bool:
    return word.replace(",", "").replace("'", "").strip() in _pronouns() or "," in word or "and" in word


@cache
def _pronouns() -> dict[str, str]:
    """Return name -> She or He: the published 18 names, in list order, and their genders, as the facts have them."""
    cast = load_facts("pororo").cast
    capitalised = {c.name: c.pronoun.capitalize() for c in cast}
    return capitalised | {name.lower(): pronoun for name, pronoun in capitalised.items()}
