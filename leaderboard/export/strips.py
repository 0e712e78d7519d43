"""Strips of stories: the pictures that rows keep, under their captions, with what was read in each frame.

The true frames are third-party pictures and stay out, except ToonSV's, which are drawn from seeds. Only stories that
the benchmark has, and pictures that are WebP, leave the board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from leaderboard import browsing, story_text
from leaderboard.browsing import Judged, Told
from leaderboard.data import RANKED, known_benchmark
from leaderboard.export.elements import Markup, document, join, tag
from leaderboard.export.pages import navigation
from leaderboard.export.sheets import SAFE, Sheet, slug
from storybench.board.row import THUMBS, Board, Row
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


def gather_strips(sheet: Sheet, board: Board, stories: int = STORIES, rows: int = ROWS) -> StripPage:
    """Return the stories with most references and the strips of the first rows that keep any.

    Args:
        sheet: Table whose first ranked rows are shown.
        board: Where the rows lie.
        stories: How many.
        rows: How many.
    """
    captions, truth, remark = _captions(sheet)
    kept, tables = _kept(sheet, board, rows)
    known = captions or {str(story): () for frames in tables.values() for story in frames["story"].unique()}
    chosen = [s for s in _by_references(known, tables) if SAFE.fullmatch(s)][:stories]
    files: dict[str, bytes] = {}
    judged = {name: browsing.judged(frames, chosen) for name, frames in tables.items()}
    found: dict[str, list[Strip]] = {}
    for story in chosen:
        strips = []
        if story in truth:
            place = f"thumbs/{sheet.benchmark}/true-frames/{story}.webp"
            files[place] = story_text.true_strip(truth[story])
            strips.append(Strip("true frames", place, ()))
        for row in kept:
            data = _picture(row, story)
            if data is not None:
                place = f"thumbs/{sheet.benchmark}/{row.name}/{story}.webp"
                files[place] = data
                strips.append(Strip(row.entry.card.shown_as, place, judged.get(row.name, {}).get(story, ())))
        if strips:
            found[story] = strips
    return StripPage(sheet, found, captions, remark, files)


def strips_page(page: StripPage, sheets: Sequence[Sheet]) -> bytes:
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
    return document(title, join(parts), navigation(sheets, "../"))


def page_name(sheet: Sheet) -> str:
    """Return the file of a sheet's stories."""
    return f"{sheet.benchmark}/stories-{slug(sheet.text)}.html"


def _captions(sheet: Sheet) -> tuple[dict[str, tuple[Told, ...]], Mapping[str, Story], str]:
    """Return the captions of all stories, the stories whose true frames may be shown, and why there is none of them."""
    version = known_benchmark(sheet.benchmark)
    if version is None:
        return {}, {}, "No configuration describes this benchmark version, so its captions are not shown."
    try:
        mode = story_text.caption_mode(version, sheet.text)
        stories = story_text.stories_of(version)
    except StorybenchError as error:
        return {}, {}, str(error)
    ours = {s.id: s for s in stories} if version.dataset in OURS else {}
    return {s.id: story_text.told(s, mode) for s in stories}, ours, ""


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


def _by_references(captions: Mapping[str, Sequence[Told]], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the stories, those with most references first, then by id."""
    counts = {story: sum(len(t.references) for t in told) for story, told in captions.items()}
    if not any(counts.values()) and tables:
        frames = next(iter(tables.values()))
        if "mentions_total" in frames:
            counts |= frames.groupby("story")["mentions_total"].sum().reindex(list(counts), fill_value=0).to_dict()
    return sorted(counts, key=lambda story: (-counts[story], story))


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
