"""Pinned reference rows: what a perfect model and a hopeless one would score.

A model sees prompts only (:class:`storybench.story.StoryPrompt`). The ceiling and the floor of a board need the true
frames, so they are not models: they declare themselves oracles, the harness binds the stories to them before it asks
for frames, and every record and table says so. A third party's class that takes the truth this way is marked alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from storybench.story import Story


@runtime_checkable
class Oracle(Protocol):
    """Draws from the truth. Never ranked with models."""

    needs_truth: bool

    def bind(self, stories: Sequence[Story]) -> None:
        """Take the annotated stories that prompts will be asked for."""
        ...


def is_oracle(model: object) -> bool:
    """Return whether ``model`` is shown the true frames."""
    return isinstance(model, Oracle) and bool(model.needs_truth)
