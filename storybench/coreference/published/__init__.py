"""The referential texts of the published loaders, with every defect they have.

Make-A-Story and StoryGPT-V ship no coreference files: their loaders rewrite captions on the fly. The three rules are
told here again, from reading ``ldm/data/{flintstones,pororo}_data.py`` of Make-A-Story (4fecacf) and ``gill/data.py``
and ``models/data.py`` of StoryGPT-V (3561127), so that numbers computed on their texts can be compared:

``published:make_a_story``     Make-A-Story, training and test
``published:storygptv_train``  StoryGPT-V, prompts of the language model in training
``published:storygptv_eval``   StoryGPT-V, evaluation

All three turn "Fred's" into "He's"; none writes him, her or their. :mod:`.flintstones` and :mod:`.pororo` say what
each rule does and what is wrong with it. Where the published code raises, its whole story is lost; here the frame stays
as it is, the exception is named in ``crashed`` and :func:`published_tally` counts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from storybench.coreference.published import flintstones, pororo
from storybench.coreference.published.frame import MAKE_A_STORY, STORYGPTV_EVAL, STORYGPTV_TRAIN, PublishedFrame
from storybench.coreference.published.labels import labels_are_approximate
from storybench.data.clips import Clip
from storybench.errors import DataError, unknown
from storybench.story import Caption

__all__ = ["PUBLISHED", "PublishedFrame", "published_captions", "published_tally", "rewrite_published"]

PUBLISHED: tuple[str, ...] = (MAKE_A_STORY, STORYGPTV_TRAIN, STORYGPTV_EVAL)
_RULES = {"flintstones": flintstones.rewrite, "pororo": pororo.rewrite}


def rewrite_published(mode: str, dataset: str, clips: Sequence[Clip]) -> tuple[PublishedFrame, ...]:
    """Tell one story as the published code does.

    Args:
        mode: One of :data:`PUBLISHED`.
        dataset: ``flintstones`` or ``pororo``.
        clips: The clips of the story, in its order.

    Returns:
        One frame a clip. The first is never changed.

    Raises:
        ConfigError: If the mode or the data set is unknown.
        DataError: If a clip has no caption.
    """
    if mode not in PUBLISHED:
        raise unknown("published text", mode, PUBLISHED)
    if dataset not in _RULES:
        raise unknown("data set with published texts", dataset, _RULES)
    for clip in clips:
        if not clip.captions:
            raise DataError(f"Clip {clip.id} has no caption: text {mode} needs stories whose every clip has one.")
    return _RULES[dataset](mode, clips)


def published_captions(mode: str, dataset: str, clips: Sequence[Clip]) -> tuple[Caption, ...]:
    """Return :func:`rewrite_published` as captions without mentions: the published code records none.

    Raises:
        ConfigError: If the mode or the data set is unknown.
        DataError: If a clip has no caption.
    """
    return tuple(Caption(frame.text) for frame in rewrite_published(mode, dataset, clips))


def published_tally(mode: str, dataset: str, stories: Iterable[Sequence[Clip]]) -> dict[str, Any]:
    """Count what the published code does to stories, in one pass.

    Args:
        mode: One of :data:`PUBLISHED`.
        dataset: ``flintstones`` or ``pororo``.
        stories: The clips of each story.

    Returns:
        ``stories``; ``stories_replaced``, those with a replaced frame; ``frames``, of which ``replaced``, ``changed``,
        ``flagged`` and ``approximated`` (character labels read from the caption; always 0 for Pororo, which has no
        other); ``crashed``, exception -> frames.

    Raises:
        ConfigError: If the mode or the data set is unknown.
        DataError: If a clip has no caption.
    """
    count: Counter[str] = Counter()
    crashed: Counter[str] = Counter()
    for clips in stories:
        told = rewrite_published(mode, dataset, clips)
        count["stories"] += 1
        count["stories_replaced"] += any(frame.replaced for frame in told)
        count["frames"] += len(told)
        count["replaced"] += sum(frame.replaced for frame in told)
        count["changed"] += sum(frame.changed for frame in told)
        count["flagged"] += sum(frame.flagged for frame in told)
        if dataset == "flintstones":
            count["approximated"] += sum(map(labels_are_approximate, clips))
        crashed.update(frame.crashed for frame in told if frame.crashed)
    keys = ("stories", "stories_replaced", "frames", "replaced", "changed", "flagged", "approximated")
    return {**{key: count[key] for key in keys}, "crashed": dict(sorted(crashed.items()))}
