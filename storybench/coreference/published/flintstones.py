"""Published referential texts of FlintstonesSV.

A frame whose labels equal those of the frame before is rewritten: its names give way to one pronoun. Make-A-Story
compares the lists as annotated, StoryGPT-V sorted. One label gives She or He, two and three give They; the phrase
looked for is made of the capitalised labels ("Fred and Wilma", then "Wilma and Fred"; "Fred, Wilma and Betty" in one
order only), and every place where it stands is replaced. Otherwise the frame is left as it is.

What is wrong with that, and kept:

- Make-A-Story and StoryGPT-V's training ask whether the *list* of labels is a female name. It never is: all are He.
- Names in lower case, "Mr Slate" (the capitalised label is "Mr slate") and groups in other words are not found: the
  frame stays as it is, yet it counts as replaced, and the evaluation flags it.
- With four or more labels there is no phrase: the loader uses the one of an earlier frame of the story, or has none
  and raises UnboundLocalError. StoryGPT-V's evaluation changes nothing, but flags the frame.
- Two frames without characters have equal labels, and the first of none raises IndexError.
- StoryGPT-V's evaluation lifts the flag if a main character's name stands between two spaces. "Fred's" and "Fred,"
  do not, and "mr slate" cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from storybench.coreference.published.frame import MAKE_A_STORY, STORYGPTV_EVAL, PublishedFrame
from storybench.coreference.published.labels import character_labels
from storybench.data.clips import Clip
from storybench.data.facts import load_facts

LONGEST_PHRASE = 3  # labels


def rewrite(mode: str, clips: Sequence[Clip]) -> tuple[PublishedFrame, ...]:
    """Tell the captions of one story, all of which there are, in a published mode."""
    frames: list[PublishedFrame] = []
    before: tuple[str, ...] = ()
    phrase: str | None = None  # outlives its frame, as the loaders' variable does
    for index, clip in enumerate(clips):
        caption, labels = clip.captions[0], character_labels(clip)
        if index == 0 or not _equal(mode, labels, before):
            before = labels
            frames.append(PublishedFrame(caption))
        elif not before:
            frames.append(PublishedFrame(caption, crashed="IndexError"))
        elif mode == STORYGPTV_EVAL:
            frames.append(_evaluate(caption, before))
        else:
            phrase = phrase if len(before) > LONGEST_PHRASE else _phrase(before, caption)
            if phrase is None:
                frames.append(PublishedFrame(caption, crashed="UnboundLocalError"))
            else:
                text = caption.replace(phrase, "They" if len(before) > 1 else "He")
                frames.append(PublishedFrame(text, replaced=True, changed=text != caption, flagged=True))
    return tuple(frames)


def _equal(mode: str, labels: tuple[str, ...], before: tuple[str, ...]) -> bool:
    return labels == before if mode == MAKE_A_STORY else sorted(labels) == sorted(before)


def _evaluate(caption: str, labels: tuple[str, ...]) -> PublishedFrame:
    """Rewrite a frame whose labels equal those before, as StoryGPT-V's evaluation does."""
    pronoun = "They" if len(labels) > 1 else _pronouns().get(labels[0], "")
    replaced = pronoun != "" and len(labels) <= LONGEST_PHRASE
    text = caption.replace(_phrase(labels, caption), pronoun) if replaced else caption
    named = any(word.lower() in _pronouns() for word in text.split(" "))
    return PublishedFrame(text, replaced=replaced, changed=text != caption, flagged=not named)


def _phrase(labels: tuple[str, ...], caption: str) -> str:
    """Return what is looked for in a caption, for one to three labels."""
    names = [label.capitalize() for label in labels]
    if len(names) == 2:
        there, back = " and ".join(names), " and ".join(reversed(names))
        return there if there in caption else back
    return names[0] if len(names) == 1 else f"{names[0]}, {names[1]} and {names[2]}"


@cache
def _pronouns() -> dict[str, str]:
    """Return main character, lower case -> She or He: StoryGPT-V's two lists, which the package's facts agree with."""
    return {c.name.lower(): c.pronoun.capitalize() for c in load_facts("flintstones").cast}
