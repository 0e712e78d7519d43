"""Fresh training data without end, drawn from the train side of the world only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from storybench.data.toonsv.grammar import Told, dense_caption, tell_story, visible_details
from storybench.data.toonsv.planner import StoryPlan, plan_story
from storybench.data.toonsv.scene import Scene

_SEED_OFFSET = 1_000  # keeps fresh data apart from the train split of small seeds


@dataclass(frozen=True)
class TrainingFrame:
    """One frame with all its texts; ``story`` and ``index`` say where in the stream it comes from."""

    scene: Scene
    explicit: str
    referential: str
    dense: str
    characters: tuple[str, ...]
    setting: str
    actions: dict[str, str]
    details: dict[str, str]
    story: int
    index: int


def sample_training_stories(
    rng_seed: int, n: int | None, frames: int = 5, start: int = 0
) -> Iterator[tuple[StoryPlan, tuple[Told, ...]]]:
    """Yield ``n`` fresh stories (without end if ``n`` is None) with both texts, from number ``start`` of the stream.

    Workers share a stream by taking other starts; different seeds are different streams.
    """
    k = start
    while n is None or k < start + n:
        plan = plan_story("train", k, frames, rng_seed + _SEED_OFFSET)
        yield plan, tell_story(plan)
        k += 1


def sample_training_frames(rng_seed: int, n: int | None, frames: int = 5, start: int = 0) -> Iterator[TrainingFrame]:
    """Yield ``n`` fresh frames, story after story, from story number ``start`` of the stream ``rng_seed``."""
    return islice(_frames(rng_seed, frames, start), n)


def _frames(rng_seed: int, frames: int, start: int) -> Iterator[TrainingFrame]:
    for k, (plan, told) in enumerate(sample_training_stories(rng_seed, None, frames, start), start):
        for event, scene, texts in zip(plan.events, plan.scenes, told, strict=True):
            yield TrainingFrame(
                scene,
                texts.explicit.text,
                texts.referential.text,
                dense_caption(plan, event.index, texts.explicit.text),
                event.characters,
                event.setting,
                event.actions,
                visible_details(plan, event.index),
                k,
                event.index,
            )
