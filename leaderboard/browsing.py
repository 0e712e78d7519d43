"""Stories of a board's rows: what each frame was asked for, what was seen in it, and which stories to look at first.

Pure: captions come from the data set, judgements from ``frames.parquet``. Strings of both are data and must be escaped
by whoever shows them. Nothing of torch is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

PAGE = 20  # stories a page
FIELDS = {
    "characters": "characters right",
    "references": "references resolved",
    "setting": "setting right",
}  # what a story's score is the mean of
TAGS = {
    "plural": "a reference to several characters",
    "ambiguous": "a reference that the pronoun alone does not decide",
    "distant": "a reference 2 or more frames after the naming",
}
Order = Literal["gap", "worst", "id"]
ORDERS: dict[Order, str] = {
    "gap": "where the first beats the second",
    "worst": "worst of the first",
    "id": "story id",
}


class Reference(NamedTuple):
    """A referential mention: characters [start, end) of a caption, and whom it means."""

    start: int
    end: int
    surface: str
    characters: tuple[str, ...]
    distance: int | None
    ambiguous: bool


class Told(NamedTuple):
    """The caption of one frame and the references in it."""

    caption: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Judged:
    """One frame of one row: what should be there and what was seen."""

    expected: tuple[str, ...]
    predicted: tuple[str, ...] | None
    """None where no network read the frame."""
    reason: str

    @property
    def marks(self) -> list[tuple[str, bool]]:
        """Each expected character once, and whether it was seen."""
        return [(name, name in (self.predicted or ())) for name in dict.fromkeys(self.expected)]

    @property
    def uninvited(self) -> list[str]:
        """Characters that were seen although nobody asked for them."""
        return [name for name in self.predicted or () if name not in self.expected]


def story_scores(frames: pd.DataFrame, field: str) -> pd.Series:
    """Return story -> share of one field in [0, 1]; NaN for a story with nothing to judge.

    Args:
        frames: One row a frame, as ``Row.frames`` gives it.
        field: One of ``FIELDS``.
    """
    if field == "references":
        if "mentions_total" not in frames:
            return pd.Series(float("nan"), index=frames["story"].unique())
        sums = frames.groupby("story")[["mentions_resolved", "mentions_total"]].sum()
        return (sums["mentions_resolved"] / sums["mentions_total"].where(sums["mentions_total"] > 0)).rename(None)
    column = {"characters": "correct", "setting": "setting_correct"}[field]
    if column not in frames:
        return pd.Series(float("nan"), index=frames["story"].unique())
    return frames.groupby("story")[column].mean().astype("float64").rename(None)


def tags(frames: pd.DataFrame) -> dict[str, set[str]]:
    """Return story -> tags of the references in it (``TAGS``); they are the same for every row of a benchmark."""
    found: dict[str, set[str]] = {str(story): set() for story in frames["story"]}
    if "mentions" not in frames:
        return found
    for story, text in zip(frames["story"], frames["mentions"], strict=True):
        for mention in json.loads(text) if isinstance(text, str) else []:
            found[story] |= {
                name
                for name, holds in (
                    ("plural", len(mention["characters"]) > 1),
                    ("ambiguous", mention["ambiguous"]),
                    ("distant", (mention["distance"] or 0) >= 2),
                )
                if holds
            }
    return found


def ordered_stories(
    scores: Sequence[pd.Series], order: Order, tagged: Mapping[str, set[str]], wanted: Sequence[str] = ()
) -> list[str]:
    """Return the stories that have all wanted tags, in order; ties by id, stories without a score last.

    Args:
        scores: Story -> score of each row shown; the first is A, the second B.
        order: ``gap`` sorts by A - B, largest first, and falls back to ``worst`` where there is no B.
        tagged: Story -> its tags.
        wanted: Tags that a story must have.
    """
    stories = sorted(story for story, its in tagged.items() if set(wanted) <= its)
    if order == "id" or not scores:
        return stories
    first = scores[0].reindex(stories)
    key = first if order == "worst" or len(scores) < 2 else scores[1].reindex(stories) - first
    return [str(story) for story in key.sort_values(kind="stable", na_position="last").index]


def pages(count: int) -> int:
    """Return how many pages so many stories take, 1 or more."""
    return max(1, -(-count // PAGE))


def judged(frames: pd.DataFrame, stories: Sequence[str]) -> dict[str, list[Judged]]:
    """Return story -> its frames in order, for the stories of a page."""
    part = frames[frames["story"].isin(set(stories))].sort_values(["story", "frame"])
    found: dict[str, list[Judged]] = {story: [] for story in stories}
    for row in part.to_dict("records"):
        predicted, reason = row.get("predicted"), row.get("reason")
        found[row["story"]].append(
            Judged(
                tuple(row["expected"]),
                None if predicted is None or isinstance(predicted, float) else tuple(predicted),
                reason if isinstance(reason, str) else "",
            )
        )
    return found
