"""Stories -> frames on disk, resumable.

The unit of commit is a group: the ``batch_size`` stories that a model draws together. Groups are cut from the story
list before anything is skipped, so an interrupted run that continues draws the very batches it would have drawn, and
its bytes are those of an uninterrupted run. A model without an attribute ``batch_size`` gets one story a group.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from PIL import Image

from storybench.errors import ConfigError, DataError
from storybench.frames import FrameStore
from storybench.oracle import Oracle, is_oracle
from storybench.story import Story
from storybench.visualizer import StoryVisualizer

PLAIN_INTERVAL_SECONDS = 10.0  # between lines when no one watches a terminal


class Generated(NamedTuple):
    """What a call of :func:`generate` did."""

    drawn: int  # stories
    kept: int  # stories finished before
    seconds_per_frame: float | None  # over all finished stories, from the manifest; None without a frame


class Progress(Protocol):
    """Is told how far generation is."""

    def advance(self, stories: int) -> None:
        """Count ``stories`` more as finished."""
        ...


class SilentProgress:
    """Says nothing."""

    def advance(self, stories: int) -> None:
        """Ignore ``stories``."""


class ConsoleProgress:
    """A bar with the time left on a terminal, a plain line now and then elsewhere; always on stderr."""

    def __init__(self, label: str, total: int, done: int) -> None:
        """Start at ``done`` of ``total`` stories."""
        self._label, self._total, self._done = label, total, done
        self._first, self._started, self._said = done, time.monotonic(), time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("stories"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(label, total=total, completed=done)

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            self._bar.stop()

    def advance(self, stories: int) -> None:
        """Count ``stories`` more as finished."""
        self._done += stories
        if self._bar is not None:
            self._bar.advance(self._task, stories)
            return
        now = time.monotonic()
        if now - self._said < PLAIN_INTERVAL_SECONDS and self._done < self._total:
            return
        self._said = now
        left = (now - self._started) / max(self._done - self._first, 1) * (self._total - self._done)
        print(f"{self._label}: {self._done}/{self._total} stories, {left:.0f} s left", file=sys.stderr, flush=True)


def frame_counts(stories: Sequence[Story]) -> dict[str, int]:
    """Return story id -> number of frames, in story order.

    Raises:
        DataError: If two stories share an id.
    """
    counts = {story.id: len(story.frames) for story in stories}
    if len(counts) != len(stories):
        raise DataError(f"{len(stories) - len(counts)} story ids occur twice: every story needs its own.")
    return counts


def bind(model: object, stories: Sequence[Story]) -> None:
    """Give the truth to a pinned reference row; a model gets nothing."""
    if is_oracle(model):
        assert isinstance(model, Oracle)
        model.bind(stories)


def generate(
    model: StoryVisualizer,
    stories: Sequence[Story],
    store: FrameStore,
    text: str,
    seed: int,
    batch_size: int = 8,
    progress: Progress | None = None,
    size: tuple[int, int] | None = None,
) -> Generated:
    """Draw every story that ``store`` does not hold yet.

    Args:
        model: What draws; already bound if it is an oracle.
        stories: What to draw; their order decides the batches, not the frames.
        store: Where frames go.
        text: Text mode of the captions.
        seed: Base seed; a model derives one per story and frame.
        batch_size: Stories drawn together, for models that have the attribute ``batch_size``.
        progress: Told as stories are finished.
        size: Width and height in pixels that every frame must have; None accepts any.

    Returns:
        How many stories were drawn and kept, and the mean time per frame.

    Raises:
        DataError: If the model does not return one RGB picture for every caption of every story.
        ConfigError: If ``batch_size`` is not positive.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}: expected 1 or more stories.")
    counts = frame_counts(stories)
    finished = store.finished(counts)
    progress = progress or SilentProgress()
    group_size = 1
    if hasattr(model, "batch_size"):
        model.batch_size = group_size = batch_size
    drawn = 0
    for start in range(0, len(stories), group_size):
        group = stories[start : start + group_size]
        if all(story.id in finished for story in group):
            continue
        seconds: dict[str, float] = {}
        frames = _draw(model, group, text, seed, seconds)
        _check_size(frames, size)
        new = [story.id for story in group if story.id not in finished]  # all, unless files were removed by hand
        store.commit({i: frames[i] for i in new}, {i: seconds[i] for i in new})
        drawn += len(new)
        progress.advance(len(new))
    return Generated(drawn, len(finished), seconds_per_frame(store, counts))


def seconds_per_frame(store: FrameStore, counts: dict[str, int]) -> float | None:
    """Return the mean drawing time of the finished frames, or None if there are none."""
    done = store.committed()
    frames = sum(counts[i] for i in counts if i in done)
    return sum(done[i].seconds for i in counts if i in done) / frames if frames else None


def _draw(
    model: StoryVisualizer, group: Sequence[Story], text: str, seed: int, seconds: dict[str, float]
) -> dict[str, list[Image.Image]]:
    """Return story id -> frames of one group, checked; fill ``seconds`` with each story's equal share of the time."""
    prompts = [story.prompt(text) for story in group]
    expected = {prompt.id: len(prompt.captions) for prompt in prompts}
    started = time.perf_counter()
    frames: dict[str, list[Image.Image]] = {}
    for story_id, images in _checked(model.visualize(prompts, seed=seed)):
        if story_id not in expected or story_id in frames:
            what = "twice" if story_id in frames else "although it was not asked for"
            raise DataError(f"The model returned story {story_id!r} {what}.")
        if len(images) != expected[story_id]:
            raise DataError(
                f"The model returned {len(images)} frames for story {story_id!r}, expected {expected[story_id]}: "
                "one a caption."
            )
        frames[story_id] = images
    if missing := [i for i in expected if i not in frames]:
        raise DataError(
            f"The model returned no frames for {len(missing)} stories it was asked for: {missing[0]!r}, ..."
        )
    share = (time.perf_counter() - started) / len(group)
    seconds.update(dict.fromkeys(expected, share))
    return frames


def _check_size(frames: dict[str, list[Image.Image]], size: tuple[int, int] | None) -> None:
    """Raise if a frame is not of the size that the data set's frames have."""
    for story_id, images in frames.items():
        for k, image in enumerate(images):
            if size is not None and image.size != size:
                raise DataError(
                    f"Frame {k} of story {story_id!r} is {image.width} x {image.height} pixels, "
                    f"expected {size[0]} x {size[1]}, the size of the data set's frames."
                )


def _checked(results: Iterator[tuple[str, list[Image.Image]]]) -> Iterator[tuple[str, list[Image.Image]]]:
    """Pass on what a model yields if it is what the protocol says."""
    for result in results:
        try:
            story_id, images = result
            images = list(images)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"The model yielded {type(result).__name__}, expected a pair (story id, list of pictures)."
            ) from error
        for k, image in enumerate(images):
            if not isinstance(image, Image.Image) or image.mode != "RGB":
                what = image.mode if isinstance(image, Image.Image) else type(image).__name__
                raise DataError(f"Frame {k} of story {story_id!r} is {what}, expected an RGB PIL picture.")
        yield story_id, images
