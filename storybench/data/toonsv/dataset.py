"""ToonSV as Stories: made when asked for, drawn when looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache, partial
from pathlib import Path

from PIL import Image

from storybench.data.toonsv.grammar import tell_story, visible_details
from storybench.data.toonsv.lexicon import ALIASES
from storybench.data.toonsv.planner import MAX_INDEX, SPLITS, plan_story
from storybench.data.toonsv.scene import Scene
from storybench.data.toonsv.world import CAST
from storybench.errors import ConfigError, unknown
from storybench.story import Caption, Character, Frame, FramePixels, Story

SIZES: dict[str, int] = {"train": 20_000, "val": 200, "test": 500, "mini": 32, "novel": 200}
TEXTS = ("explicit", "original", "referential")  # "original" is the explicit text by the name other data sets use


def _render(scene: Scene) -> FramePixels:
    from storybench.data.toonsv.drawing.render import render

    return render(scene)


@cache
def _drawing() -> str:
    """Return a hash of the code that draws: another drawing of the same scene is another picture."""
    folder = Path(__file__).parent
    total = hashlib.sha256()
    for path in [folder / "world.py", *sorted((folder / "drawing").glob("*.py"))]:
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def picture_key(scene: Scene) -> str:
    """Return a name of the pixels that ``scene`` is drawn as."""
    return f"toonsv/{_drawing()}/{hashlib.sha256(repr(scene).encode()).hexdigest()}"


def _portrait(name: str) -> Image.Image:
    from storybench.data.toonsv.drawing.render import portrait

    return portrait(name)


@lru_cache(maxsize=1)
def full_cast() -> tuple[Character, ...]:
    """Return everybody of the world, with their portraits."""
    return tuple(Character(p.name, p.pronoun, ALIASES.get(p.name, ()), partial(_portrait, p.name)) for p in CAST)


class ToonSV:
    """A split of the procedural data set, a lazy sequence of :class:`Story`.

    Story k depends on (split, seed, frames, k) alone. ``train`` has no end: ``size`` is only what ``len`` and iteration
    take, and any index below a thousand million may be asked for.
    """

    def __init__(self, split: str = "test", frames: int = 5, size: int | None = None, seed: int = 0) -> None:
        """Open a split.

        Args:
            split: One of train, val, test, mini and novel.
            frames: Frames a story; the usual lengths are 5, 10, 20, 40 and 50.
            size: Number of stories; by default the split's own.
            seed: Another seed gives a fresh set of the same kind.

        Raises:
            ConfigError: If an argument is out of range.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS, of="ToonSV")
        if frames < 1 or seed < 0 or (size is not None and not 0 <= size <= MAX_INDEX):
            given = f"frames={frames}, seed={seed}, size={size}"
            raise ConfigError(f"ToonSV needs frames >= 1, seed >= 0 and size in 0..{MAX_INDEX}: {given}")
        self.split = split
        self.frames = frames
        self.seed = seed
        self.size = SIZES[split] if size is None else size

    def __len__(self) -> int:
        """Return the number of stories that iteration gives."""
        return self.size

    def __getitem__(self, index: int) -> Story:
        """Make one story; negative indices count from the end."""
        if index < 0:
            index += self.size
        if not 0 <= index < (MAX_INDEX if self.split == "train" else self.size):
            raise IndexError(f"ToonSV {self.split} has stories 0..{self.size - 1}")
        return build_story(self.split, index, self.frames, self.seed)

    def scenes(self, index: int) -> tuple[Scene, ...]:
        """Return what is drawn in the frames of one story."""
        return plan_story(self.split, index, self.frames, self.seed).scenes

    def __iter__(self) -> Iterator[Story]:
        """Make the stories one after the other."""
        return (self[k] for k in range(self.size))


def build_story(split: str, index: int, frames: int = 5, seed: int = 0) -> Story:
    """Plan, tell and annotate one story; its pictures are drawn when they are asked for."""
    plan = plan_story(split, index, frames, seed)
    built = []
    for event, scene, told in zip(plan.events, plan.scenes, tell_story(plan), strict=True):
        captions = {"explicit": told.explicit, "original": told.explicit, "referential": told.referential}
        details = visible_details(plan, event.index)
        load, key = partial(_render, scene), partial(picture_key, scene)
        frame_id = f"{plan.id}/{event.index}"
        built.append(Frame(event.index, captions, event.characters, event.setting, details, load, frame_id, key))
    return Story(plan.id, "toonsv", split, tuple(built), full_cast(), cluster=plan.id)


def content_hash(stories: Iterable[Story]) -> str:
    """Return a SHA-256 in hex over ids, captions and mentions: equal hashes mean equal texts and annotation."""
    digest = hashlib.sha256()
    for story in stories:
        frames = [[_record(f.captions[text]) for text in sorted(f.captions)] for f in story.frames]
        line = json.dumps([story.id, frames], ensure_ascii=True, separators=(",", ":"))
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _record(caption: Caption) -> list[object]:
    mentions = [
        [m.frame, m.start, m.end, m.surface, m.characters, m.kind, m.form, m.distance, m.ambiguous]
        for m in caption.mentions
    ]
    return [caption.text, mentions]
