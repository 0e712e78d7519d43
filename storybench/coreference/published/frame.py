"""What a published loader makes of one frame, and the names of its modes."""

from __future__ import annotations

from dataclasses import dataclass

MAKE_A_STORY = "published:make_a_story"
STORYGPTV_TRAIN = "published:storygptv_train"
STORYGPTV_EVAL = "published:storygptv_eval"


@dataclass(frozen=True)
class PublishedFrame:
    """One frame after the published code.

    Attributes:
        text: Its caption.
        replaced: The code came to a replacement, whether or not its phrase stands in the caption.
        changed: ``text`` differs from the caption it was made from.
        flagged: ``ref_flag`` of StoryGPT-V's evaluation, which steers its sampler; elsewhere the same as ``replaced``.
        crashed: The exception that the published code raises here; the frame is then left as it is.
    """

    text: str
    replaced: bool = False
    changed: bool = False
    flagged: bool = False
    crashed: str = ""
