"""Strips of stories: the pictures that rows keep, under their captions, with what was read in each frame.

The true frames are third-party pictures and stay out, except ToonSV's, which are drawn from seeds. Only stories that
the benchmark has, and pictures that are WebP, leave the board.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from leaderboard import browsing, story_text
from leaderboard.browsing import Judged, Told
from leaderboard.data import RANKED, known_benchmark
from leaderboard.export.elements import Markup, document, join, tag
from leaderboard.export.pages import Site, navigation
from leaderboard.export.sheets import SAFE, Sheet
from storybench.board.row import DEFAULT_TEXT, THUMBS, Board, Row
from storybench.errors import StorybenchError
from storybench.story import Story

STORIES, ROWS = 20, 4  # a page: stories with most references; rows from the top of the table
OURS = ("toonsv",)  # data sets whose true frames may be shown to anybody


@dataclass(frozen=True)
class Strip:
    """One story of one row."""

    title: str
    file: str
    """Picture, from the folder of the export."""
    judged: Sequence[Judged]


@dataclass(frozen=True)
class StripPage:
    """The stories of one sheet and the files they need."""

    sheet: Sheet
    stories: dict[str, list[Strip]]
    captions: dict[str, tuple[Told, ...]]
    remark: str
    files: dict[str, bytes] = field(repr=False, default_factory=dict)


class Shelf:
    """The stories of one benchmark version, read once for all its sheets."""

    def __init__(self, benchmark: str) -> None:
        """Read the stories, or keep the sentence that says why they are not here."""
        self.version = known_benchmark(benchmark)
        self.stories: list[Story] = []
        self.remark = ""
        self._strips: dict[str, bytes] = {}
        if self.version is None:
            self.remark = "No configuration describes this benchmark version, so its captions are not shown."
            return
        try:
            self.stories = story_text.stories_of(self.version)
        except StorybenchError as error:
            self.remark = str(error)

    def captions(self, text: str) -> dict[str, tuple[Told, ...]]:
        """Return story -> captions in a text; empty if the stories are not here."""
        if self.version is None or not self.stories:
            return {}
        try:
            mode = story_text.caption_mode(self.version, text)
        except StorybenchError:  # a text that this data set has not: its rows are shown without captions
            return {}
        return {story.id: story_text.told(story, mode) for story in self.stories}

    @cached_property
    def by_references(self) -> list[str]:
        """Stories, those with most references first, then by id; the same for all texts, to compare them by."""
        counts = {story: sum(len(t.references) for t in told) for story, told in self.captions(DEFAULT_TEXT).items()}
        return sorted(counts, key=lambda story: (-counts[story], story))

    @cached_property
    def ours(self) -> dict[str, Story]:
        """Stories whose true frames may be shown to anybody."""
        return {s.id: s for s in self.stories} if self.version is not None and self.version.dataset in OURS else {}

    def true_strip(self, story: str) -> bytes:
        """Return the true frames of one of ``ours`` as WebP; drawn once."""
        if story not in self._strips:
            self._strips[story] = story_text.true_strip(self.ours[story])
        return self._strips[story]


def gather_strips(sheet: Sheet, shelf: Shelf, board: Board, stories: int = STORIES, rows: int = ROWS) -> StripPage:
    """Return the stories with most references and the strips of the first rows that keep any.

    Args:
        sheet: Table whose first ranked rows are shown.
        shelf: The stories of its benchmark version.
        board: Where the rows lie.
        stories: How many.
        rows: How many.
    """
    kept, tables = _kept(sheet, board, rows)
    order = shelf.by_references or sorted({str(s) for frames in tables.values() for s in frames["story"].unique()})
    chosen = [story for story in order if SAFE.fullmatch(story)][:stories]
    files: dict[str, bytes] = {}
    judged = {name: browsing.judged(frames, chosen) for name, frames in tables.items()}
    found: dict[str, list[Strip]] = {}
    for story in chosen:
        strips = []
        if story in shelf.ours:
            place = f"thumbs/{sheet.benchmark}/true.frames/{story}.webp"
            files[place] = shelf.true_strip(story)
            strips.append(Strip("true frames", place, ()))
        for row in kept:
            data = _picture(row, story)
            if data is not None:
                place = f"thumbs/{sheet.benchmark}/{row.name}/{story}.webp"
                files[place] = data
                strips.append(Strip(row.entry.card.shown_as, place, judged.get(row.name, {}).get(story, ())))
        if strips:
            found[story] = strips
    return StripPage(sheet, found, shelf.captions(sheet.text), shelf.remark, files)


def strips_page(page: StripPage, site: Site) -> bytes:
    """Return the page of a sheet's stories."""
    legend = (
        "The stories with most references to earlier frames. A reference is marked; in brackets stands whom it means. "
        "Below a strip, frame by frame: ✓ a character that should be there and was seen, ✗ one that was not seen, + "
        "one that nobody asked for, as the benchmark's network reads the frame. It can err."
    )
    parts: list[object] = [tag("p", legend), tag("p", page.remark) if page.remark else ""]
    if not page.stories:
        parts.append(tag("p", "No row of this table keeps pictures of its stories."))
    parts += [_story(page, story, strips) for story, strips in page.stories.items()]
    title = f"Stories: {page.sheet.title}, {page.sheet.text} text"
    return document(title, join(parts), navigation(site, "../"))


def _kept(sheet: Sheet, board: Board, count: int) -> tuple[list[Row], dict[str, pd.DataFrame]]:
    """Return the first ranked rows that keep pictures, and their frames tables where they can be read."""
    names = sheet.rows.index[sheet.rows["kind"] == RANKED]
    rows = [Row(board.root / sheet.benchmark / str(name)) for name in names]
    rows = [row for row in rows if (row.folder / THUMBS).is_dir()][:count]
    tables = {}
    for row in rows:
        try:
            tables[row.name] = row.frames()
        except StorybenchError:  # the page of problems names it; its pictures can be shown all the same
            continue
    return rows, tables


def _picture(row: Row, story: str) -> bytes | None:
    """Return the bytes of a strip; None where there is none, or it is no WebP."""
    path: Path | None = row.thumb(story)
    if path is None or path.is_symlink():
        return None
    data = path.read_bytes()
    return data if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _story(page: StripPage, story: str, strips: Sequence[Strip]) -> Markup:
    """Return one story: captions, then a strip a row with what was read in it."""
    told = page.captions.get(story, ())
    captions = tag("ol", *(tag("li", f"{k}. ", _caption(t)) for k, t in enumerate(told, 1)), class_="captions")
    rows = [
        tag(
            "figure",
            tag("figcaption", strip.title),
            tag(
                "img",
                src=f"../{strip.file}",
                alt=f"Story {story}, {strip.title}: {len(told) or 'its'} frames side by side",
                loading="lazy",
            ),
            tag("ol", *(tag("li", _marks(each)) for each in strip.judged), class_="captions") if strip.judged else "",
        )
        for strip in strips
    ]
    count = len(told) or max((len(strip.judged) for strip in strips), default=0) or 1
    head = [tag("h2", story), captions if told else ""]
    return tag("section", *head, *rows, class_="story", id=story, style=f"--n:{count}")


def _caption(told: Told) -> Markup:
    """Return a caption with its references marked and explained."""
    out: list[object] = []
    position = 0
    for each in told.references:
        out += [told.caption[position : each.start], tag("mark", told.caption[each.start : each.end])]
        out.append(tag("span", f" [{', '.join(each.characters)}]", class_="soft"))
        position = each.end
    return join([*out, told.caption[position:]], "")


def _marks(judged: Judged) -> Markup:
    """Return who was seen in a frame, and who was not."""
    if judged.predicted is None:
        return tag("span", "not read", class_="soft")
    found = [
        tag("span", f"{'✓' if seen else '✗'} {name}", class_="right" if seen else "wrong")
        for name, seen in judged.marks
    ]
    found += [tag("span", f"+ {name}", class_="wrong") for name in judged.uninvited]
    return join(found, ", ") if found else tag("span", "nobody, as asked", class_="right")
