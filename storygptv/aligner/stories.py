"""The stories an aligner learns from: what is read, what is aimed at, and who is meant, frame by frame.

The target of frame t is the Char-LDM embedding of its explicit caption (``original``, as in the paper). ToonSV also has
``plain``, the same event in the plainest words: a small LM carries what is shown more surely than how it was worded;
and its targets tell every detail that an earlier picture of the story has shown, what a reader who saw it can know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from storybench.data.toonsv.events import Event
from storybench.data.toonsv.grammar import Told, visible_details
from storybench.data.toonsv.planner import StoryPlan
from storybench.data.toonsv.world import SETTINGS, STAND
from storybench.errors import DataError
from storybench.story import Caption, Story
from storygptv.aligner.story_text import detail_subject

TargetText = Literal["original", "plain"]


@dataclass(frozen=True)
class PoolStory:
    """The texts of one story, one a frame."""

    explicit: tuple[str, ...]
    referential: tuple[str, ...]
    targets: tuple[str, ...]
    characters: tuple[tuple[str, ...], ...]
    referred: tuple[tuple[str, ...], ...]  # characters that the referential caption does not name
    recalled: tuple[dict[str, str], ...]  # details that earlier pictures showed and this one shows again


VERBS = {
    "stand": "stands",
    "walk": "walks",
    "run": "runs",
    "jump": "jumps",
    "sit": "sits",
    "sleep": "sleeps",
    "wave": "waves",
    "dance": "dances",
    "cheer": "cheers",
}
PLACES = {name: f"{'on' if name in ('beach', 'farm') else 'in'} the {name}" for name in SETTINGS}


def plain_caption(event: Event) -> str:
    """Return the event in the plainest words: who does what, from left to right, and where."""
    clauses = []
    for name in event.characters:
        action, prop = event.actions[name], event.props.get(name)
        thing = f"{'an' if prop == 'umbrella' else 'a'} {prop}"
        verb = "holds" if prop and action == STAND else VERBS[action]
        clauses.append(f"{name} {verb}" + (f" {thing}" if verb == "holds" else f" holding {thing}" if prop else ""))
    told = clauses[0] + "".join(f" {word} {c}" for word, c in zip(("while", "and"), clauses[1:], strict=False))
    return f"{told} {PLACES[event.setting]}."


def pool_story(plan: StoryPlan, told: Sequence[Told], target_text: TargetText = "original") -> PoolStory:
    """Return the texts of a planned ToonSV story."""
    shown: set[str] = set()
    targets, recalled = [], []
    for t, texts in enumerate(told):
        details = visible_details(plan, t)
        known = {key: value for key, value in details.items() if key in shown}
        shown |= set(details)
        said = texts.explicit.text if target_text == "original" else plain_caption(plan.events[t])
        targets.append(" ".join([said, *(f"{detail_subject(k)} {v}." for k, v in known.items())]))
        recalled.append(known)
    return PoolStory(
        tuple(x.explicit.text for x in told),
        tuple(x.referential.text for x in told),
        tuple(targets),
        tuple(event.characters for event in plan.events),
        tuple(_only_referred(x.referential, e.characters) for x, e in zip(told, plan.events, strict=True)),
        tuple(recalled),
    )


def told_story(story: Story, explicit: str, referential: str) -> PoolStory:
    """Return the texts of any data set's story.

    Args:
        story: The story.
        explicit: Text mode that names everybody, which the targets tell.
        referential: Text mode that the aligner reads.
    """
    cast = {c.name for c in story.cast}
    characters = tuple(tuple(n for n in dict.fromkeys(f.characters) if n in cast) for f in story.frames)
    named = tuple(f.captions[explicit].text for f in story.frames)
    read = [f.captions[referential] for f in story.frames]
    referred = tuple(_only_referred(c, who) for c, who in zip(read, characters, strict=True))
    return PoolStory(named, tuple(c.text for c in read), named, characters, referred, ({},) * len(named))


def write_stories(path: Path, names: Sequence[str], stories: Sequence[PoolStory]) -> None:
    """Write the cast's names and the stories as JSON lines, the names first."""
    lines = [json.dumps({"names": list(names)}), *(json.dumps(asdict(story)) for story in stories)]
    path.write_text("\n".join(lines) + "\n")


def read_stories(path: Path) -> tuple[tuple[str, ...], tuple[PoolStory, ...]]:
    """Return what :func:`write_stories` wrote.

    Raises:
        DataError: If the file is damaged.
    """
    try:
        first, *rest = path.read_text().splitlines()
        stories = []
        for line in rest:
            values = json.loads(line)
            nested = {key: tuple(map(tuple, values.pop(key))) for key in ("characters", "referred")}
            stories.append(PoolStory(**{key: tuple(value) for key, value in values.items()}, **nested))
        return tuple(json.loads(first)["names"]), tuple(stories)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' is damaged: run the stage embeddings again into another folder.") from error


def _only_referred(caption: Caption, characters: Sequence[str]) -> tuple[str, ...]:
    """Return who of ``characters`` is meant by a word that is no name, and not named beside it."""
    named = {n for m in caption.mentions if m.kind == "explicit" for n in m.characters}
    return tuple(n for n in characters if n not in named)
