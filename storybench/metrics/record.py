"""What is known of one generated frame: the truth it was asked for, and what the evaluator read in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storybench.perception.perceiver import Reading
from storybench.story import Mention


@dataclass(frozen=True)
class FrameRecord:
    """One frame, judged. Metrics are functions of these and of nothing else."""

    story: str
    frame: int
    cluster: str  # unit of resampling: stories that share it are not independent
    expected: tuple[str, ...]  # every gold instance
    setting: str
    details: Mapping[str, str]  # gold, visible ones
    mentions: tuple[Mention, ...]  # referential, antecedent in an earlier frame
    reading: Reading
    explicit: Reading | None = None  # of the same frame drawn from the explicit caption with the same noise

    @property
    def expected_set(self) -> frozenset[str]:
        """C, the set of gold characters."""
        return frozenset(self.expected)

    @property
    def referred(self) -> frozenset[str]:
        """R, the characters that the caption only refers to."""
        return frozenset(c for m in self.mentions for c in m.characters)
