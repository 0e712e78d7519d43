"""A published data set as folders on disk: tells the layout, opens it, applies a story rule, counts.

What differs between the data sets is data: their layouts (:class:`Layout`) and a few names. ``flintstones.py`` and
``pororo.py`` hold those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from storybench.coreference.lexicon import with_pronouns
from storybench.coreference.rewriting import Rewriter
from storybench.data.clips import ClipSource
from storybench.data.facts import load_facts
from storybench.data.frame_choice import FrameChoice
from storybench.data.stories import ClipStories
from storybench.data.windows import Window, story_windows
from storybench.errors import ConfigError, DataError, unknown
from storybench.story import Character

SUBSETS = ("train", "val", "test")
EVERY = "all"  # the subset of every clip, which needs no split
LENGTHS = (4, 5, 8, 10, 16, 20, 40, 50)  # frames a story, as the field reports them
OVERLAPPING_LENGTHS = (4, 5)


class Layout(NamedTuple):
    """How a layout is recognised, opened and explained; ``pictures`` is the folder that a forced layout must have."""

    present: Callable[[Path], bool]
    open: Callable[[Path], ClipSource]
    needs: str
    pictures: str = ""


def _is_parquet(root: Path) -> bool:
    if not (root / "manifest.json").is_file():  # spares every other layout the import
        return False
    from storybench.data.parquet import is_parquet

    return is_parquet(root)


def hdf5_layout(open_release: str, needs: str) -> Layout:
    """Return ARLDM's layout; h5py and ``hdf5.py``, which holds the class ``open_release``, are imported when asked."""

    def present(root: Path) -> bool:
        from storybench.data.layouts import hdf5

        return hdf5.is_hdf5(root)

    def opened(root: Path) -> ClipSource:
        from storybench.data.layouts import hdf5

        source: ClipSource = getattr(hdf5, open_release)(root)
        return source

    return Layout(present, opened, f"ARLDM's .h5 file, {needs}")


def parquet_layout(dataset: str) -> Layout:
    """Return the layout of what ``storybench data build`` writes, for one data set."""

    def opened(root: Path) -> ClipSource:
        from storybench.data.parquet import ParquetSource

        return ParquetSource(root, dataset)

    return Layout(_is_parquet, opened, "what storybench data build wrote")


@dataclass(frozen=True)
class Release:
    """One published data set.

    Attributes:
        name: As in ``dataset=``.
        layouts: By name. ``captions`` is meant only where nothing else is there, since every layout has captions.
        split_files: What a folder needs to have subsets.
        inner: A folder to enter if it is there: what an archive unpacks to.
        short_tail: Whether the published loaders slice one sorted list of all clips, so that the last ones fall short.
    """

    name: str
    layouts: Mapping[str, Layout]
    split_files: str
    inner: str = ""
    short_tail: bool = False

    @property
    def title(self) -> str:
        """Return the name that papers use."""
        return load_facts(self.name).title

    def stories(
        self,
        subset: str,
        root: Path | None,
        layout: str | None,
        frames: int,
        rule: str,
        choice: FrameChoice,
        pictures: bool,
        pronouns: Mapping[str, str] | None,
        portraits: Path | None,
    ) -> ClipStories:
        """Return the stories of a subset whose clips all have a caption.

        Raises:
            ConfigError: If ``root`` is None, or a value is unknown or out of range.
            DataError: If the layout cannot be told, or a file is missing or damaged.
        """
        if subset not in (*SUBSETS, EVERY):
            raise unknown("subset", subset, (*SUBSETS, EVERY), f"dataset {self.name}")
        source = self.open(root, layout)
        if not pictures:
            source.has_pictures = False
        elif layout is not None and self.layouts[layout].pictures and not source.has_pictures:
            folder = self.layouts[layout].pictures
            raise DataError(
                f"'{root}' has no folder {folder}/, which layout {layout} keeps its pictures in: restore it, or pass "
                "dataset.pictures=false for captions alone."
            )
        facts = load_facts(self.name)
        windows = complete(source, self.windows(source, subset, frames, rule))
        rewriter = Rewriter(with_pronouns(self.name, pronouns or {}))
        return ClipStories(facts, source, subset, windows, with_portraits(facts.cast, portraits), rewriter, choice)

    def open(self, root: Path | None, layout: str | None = None) -> ClipSource:
        """Open the release at ``root`` in ``layout``, or in the layout that its files tell.

        Raises:
            ConfigError: If ``root`` is None or the layout is unknown.
            DataError: If no layout or more than one is there, or a file is missing or damaged.
        """
        if root is None:
            raise ConfigError(
                f"Dataset {self.name} has no folder: pass dataset.root=DIR, the folder of a release on disk."
            )
        if layout is not None and layout not in self.layouts:
            raise unknown("layout", layout, self.layouts, f"dataset {self.name}")
        if not root.exists():
            raise DataError(
                f"No data at '{root}': pass dataset.root=DIR, the folder of a {self.title} release on disk."
            )
        if self.inner and (root / self.inner).is_dir():
            root = root / self.inner
        return self.layouts[layout or self.recognise(root)].open(root)

    def recognise(self, root: Path) -> str:
        """Return the name of the layout at ``root``; the Parquet form is ours and needs no telling apart.

        Raises:
            DataError: If there is none, or more than one, with what each would need.
        """
        present = [name for name, layout in self.layouts.items() if layout.present(root)]
        if "parquet" in present:
            return "parquet"
        found = [name for name in present if name != "captions"] or present
        if len(found) == 1:
            return found[0]
        needs = "; ".join(f"{name}: {layout.needs}" for name, layout in self.layouts.items())
        if found:
            raise DataError(
                f"'{root}' looks like several layouts of {self.title} ({', '.join(found)}): pass dataset.layout= with "
                f"one of them ({needs})."
            )
        raise DataError(f"'{root}' holds no layout of {self.title}: expected the files of one of them ({needs}).")

    def windows(self, source: ClipSource, subset: str, frames: int, rule: str = "auto") -> list[Window]:
        """Return the stories that a rule gives in a subset, whether or not they have captions.

        Raises:
            ConfigError: If ``frames`` or ``rule`` is wrong.
            DataError: If the release has no such subset.
        """
        return story_windows(source.episodes(), frames, rule, self._starts(source, subset))

    def census(self, source: ClipSource) -> dict[str, Any]:
        """Return how many clips, captions, episodes and stories a release has, by subset and story rule.

        ``overlapping`` counts the published rule, ``complete`` those of its stories that have all their captions, and
        ``unfiltered`` what loaders count that do not drop the short lists at the very end of the sorted ids;
        ``aligned`` and ``storygptv_cut`` are the rules for longer stories. Lengths are keys, as text. ``captions``
        counts all captions, of which the first of a clip is the one that is used.
        """
        clips = [source.clip(clip_id) for clip_ids in source.episodes().values() for clip_id in clip_ids]
        episode = {clip.id: clip.episode for clip in clips}
        return {
            "clips": len(clips),
            "episodes": len(source.episodes()),
            "captioned": sum(bool(clip.captions) for clip in clips),
            "captions": sum(len(clip.captions) for clip in clips),
            "subsets": {s: self._subset_census(source, s, episode) for s in (*source.subsets(), EVERY)},
        }

    def _subset_census(self, source: ClipSource, subset: str, episode: Mapping[str, str]) -> dict[str, Any]:
        starts = self._starts(source, subset)
        clips = list(episode) if starts is None else list(starts)
        overlapping = {n: self.windows(source, subset, n, "overlapping") for n in OVERLAPPING_LENGTHS}
        counted: dict[str, Any] = {
            "clips": len(clips),
            "episodes": len({episode[clip_id] for clip_id in clips}),
            "overlapping": {str(n): len(windows) for n, windows in overlapping.items()},
            "complete": {str(n): len(complete(source, windows)) for n, windows in overlapping.items()},
        }
        if self.short_tail:
            tails = {n: len(_tail(source, n) & set(clips)) for n in OVERLAPPING_LENGTHS}
            counted["unfiltered"] = {str(n): len(windows) + tails[n] for n, windows in overlapping.items()}
        for rule in ("aligned", "storygptv_cut"):
            counted[rule] = {str(n): len(self.windows(source, subset, n, rule)) for n in LENGTHS}
        return counted

    def _starts(self, source: ClipSource, subset: str) -> Sequence[str] | None:
        if subset == EVERY:
            return None
        if subset not in source.subsets():
            raise DataError(
                f"This release has no subset {subset!r}: put {self.split_files} into its folder, or ask for "
                f"subset={EVERY}, every story of every episode."
            )
        return source.subsets()[subset]


def with_portraits(cast: Sequence[Character], folder: Path | str | None) -> tuple[Character, ...]:
    """Return the cast with the pictures ``<name>.png`` of ``folder``, decoded when they are asked for.

    Raises:
        DataError: If there is no folder, or no picture of somebody.
    """
    if folder is None:
        return tuple(cast)
    paths = {character.name: Path(folder) / f"{character.name}.png" for character in cast}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise DataError(f"No {', '.join(missing)} in '{folder}': dataset.portraits needs a picture of everybody.")
    return tuple(replace(c, portrait=partial(_portrait, paths[c.name])) for c in cast)


def _portrait(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise DataError(f"Portrait '{path}' cannot be decoded: {error}.".replace("..", ".")) from error


def complete(source: ClipSource, windows: Sequence[Window]) -> list[Window]:
    """Return the stories whose clips all have a caption."""
    captioned = {clip_id: bool(source.clip(clip_id).captions) for clip_id in {c for w in windows for c in w}}
    return [window for window in windows if all(captioned[clip_id] for clip_id in window)]


def _tail(source: ClipSource, frames: int) -> set[str]:
    """Return the last clips of the last episode, whose lists of next clips the published slicing leaves short."""
    last = list(source.episodes().values())[-1:]
    return {clip_id for clips in last for clip_id in clips[max(len(clips) - frames + 1, 0) :]}
