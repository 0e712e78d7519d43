"""What is known of one generated frame: the truth it was asked for, and what was observed in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storybench.perception.observation import Observation, Reading
from storybench.story import Mention


@dataclass(frozen=True)
class Swap:
    """The counterfactual of one frame: the antecedent's name was replaced earlier in the story and it was drawn again.

    ``named`` says whether the replacement was seen in the frame that names it, so that failure to draw is told from
    failure to follow.
    """

    original: str
    replacement: str
    seen: Observation
    named: bool


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
    seen: Observation  # in the generated frame
    explicit: Observation | None = None  # in the same frame drawn from the explicit caption with the same noise
    truth: Observation | None = None  # in the true frame
    stranger: Observation | None = None  # in a true frame of another story: the floor
    swap: Swap | None = None
    named: tuple[str, ...] = ()  # E, characters that the caption of the judged text names
    setting_named: bool = True  # whether the caption names the place
    captions: tuple[str, ...] = ()  # explicit captions of the whole story, in order

    @property
    def expected_set(self) -> frozenset[str]:
        """C, the set of gold characters."""
        return frozenset(self.expected)

    @property
    def referred(self) -> frozenset[str]:
        """R, the characters that the caption only refers to."""
        return frozenset(c for m in self.mentions for c in m.characters)

    @property
    def reading(self) -> Reading:
        """What the classifier read in the generated frame.

        Raises:
            ValueError: If no classifier looked at it.
        """
        if self.seen.reading is None:
            raise ValueError(f"no classifier read frame {self.story}/{self.frame}")
        return self.seen.reading

    @property
    def explicit_reading(self) -> Reading | None:
        """What the classifier read in the frame drawn from the explicit caption."""
        return None if self.explicit is None else self.explicit.reading
