"""How far a check or a scoring is, in frames: a bar on a terminal, a plain line now and then elsewhere; on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from storybench.generation import PLAIN_INTERVAL_SECONDS

if TYPE_CHECKING:
    from rich.progress import Progress


class FrameProgress:
    """Called with frames done and frames in all; starts anew when fewer are done than before."""

    def __init__(self, label: str) -> None:
        """Show nothing yet."""
        self._label, self._done, self._said = label, 0, time.monotonic()
        self._bar: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` frames are done."""
        if sys.stderr.isatty():
            self._draw(done, total)
        elif time.monotonic() - self._said >= PLAIN_INTERVAL_SECONDS:
            self._said = time.monotonic()
            print(f"{self._label}: {done}/{total} frames", file=sys.stderr, flush=True)
        self._done = done

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            self._bar.stop()

    def _draw(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None or done < self._done:
            if self._bar is not None:
                self._bar.stop()
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames")
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task(self._label, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done)
