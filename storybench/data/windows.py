"""Story rules: which runs of neighbouring clips are stories.

``overlapping`` is the published rule for 4 and 5 frames: every clip starts a story of itself and the next m clips, if
all are of one episode, so that a clip is in up to m + 1 stories. ``aligned`` cuts every episode from its first clip
into stories that share nothing; it is our rule for longer stories. ``storygptv_cut`` is StoryGPT-V's rule for those
(models/data.py:64-97): it cuts the sorted list of the whole subset from position 0 and drops what crosses an episode.
``first_1900`` is what StoryDALL-E scores (flintstones_dataloader.py:101): the overlapping stories in the order of the
split file, the first 1,900 of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from storybench.errors import ConfigError, unknown

Rule = Literal["overlapping", "aligned", "storygptv_cut", "first_1900"]
RULES = get_args(Rule)
STORYDALLE_STORIES = 1_900
LONGEST_OVERLAPPING = 5  # frames; longer stories are aligned by default
Window = tuple[str, ...]


def default_rule(frames: int) -> Rule:
    """Return the rule that stories of ``frames`` frames follow unless another is asked for."""
    return "overlapping" if frames <= LONGEST_OVERLAPPING else "aligned"


def story_windows(
    episodes: Mapping[str, Sequence[str]], frames: int, rule: str = "auto", starts: Sequence[str] | None = None
) -> list[Window]:
    """Return the clip ids of every story.

    Args:
        episodes: Episode -> its clips in story order, in the order that stories shall have.
        frames: Frames a story.
        rule: One of :data:`RULES`, or ``auto`` for :func:`default_rule`.
        starts: Clips of the subset. Overlapping stories start at one of them, and run on beyond them as the published
            loaders do; the other rules take whole episodes whose clips are all among them. None: every clip.

    Raises:
        ConfigError: If ``frames`` is not positive or the rule is unknown.
    """
    if frames < 1:
        raise ConfigError(f"dataset.frames is {frames}: expected 1 or more frames a story.")
    if rule == "auto":
        rule = default_rule(frames)
    allowed = None if starts is None else frozenset(starts)
    if rule == "overlapping":
        return [
            tuple(clips[k : k + frames])
            for clips in episodes.values()
            for k in range(len(clips) - frames + 1)
            if allowed is None or clips[k] in allowed
        ]
    if rule == "first_1900":
        overlapping = {window[0]: window for window in story_windows(episodes, frames, "overlapping", starts)}
        ordered = overlapping if starts is None else [clip for clip in starts if clip in overlapping]
        return [overlapping[clip] for clip in ordered][:STORYDALLE_STORIES]
    whole = {e: [c for c in clips if allowed is None or c in allowed] for e, clips in episodes.items()}
    if rule == "aligned":
        return [
            tuple(clips[k : k + frames]) for clips in whole.values() for k in range(0, len(clips) - frames + 1, frames)
        ]
    if rule == "storygptv_cut":
        listed = [(episode, clip) for episode, clips in whole.items() for clip in clips]
        cuts = [listed[k : k + frames] for k in range(0, len(listed) - frames + 1, frames)]
        return [tuple(clip for _, clip in cut) for cut in cuts if len({episode for episode, _ in cut}) == 1]
    raise unknown("story rule", rule, RULES)
