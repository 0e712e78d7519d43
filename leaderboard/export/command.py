"""``storybench leaderboard export``: the board as files that any web server, or none, can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leaderboard import data, papers
from leaderboard.export import pages, strips, tables
from leaderboard.export.folder import check_target, write_folder
from leaderboard.export.sheets import Sheet, gather, slug
from storybench.board.entry import SLUG
from storybench.board.row import Board
from storybench.errors import ConfigError, unknown

KEYS = {"out": "", "results": str(data.RESULTS), "stories": str(strips.STORIES)}
USAGE = """usage: storybench leaderboard export out=DIR [results=DIR] [stories=20]

Writes index.html, a page a model, pages of strips, the numbers as published, and each table as Markdown, CSV and JSON.

  out      folder to write: a new one, an empty one, or an earlier export, which is replaced
  results  folder of the board; by default the one that comes with storybench
  stories  stories a page of strips, those with most references; 0 leaves the strips out"""


def main(arguments: Sequence[str]) -> int:
    """Write the export and say where it is."""
    if "--help" in arguments or "-h" in arguments:
        print(USAGE)
        return 0
    options = dict(KEYS)
    for word in arguments:
        key, found, value = word.partition("=")
        if not found or key not in KEYS:
            raise unknown("key", key, KEYS)
        options[key] = value
    if not options["out"]:
        raise ConfigError("out needs a value: give out=DIR, a folder to write.")
    if not options["stories"].isdecimal():
        raise ConfigError(f"stories={options['stories']} is no number of stories: give 0 or more.")
    out, results = Path(options["out"]), Path(options["results"])
    if not results.is_dir():
        raise ConfigError(f"No board at '{results}': give results=DIR of an existing one.")
    check_target(out)
    files = export(results, int(options["stories"]))
    write_folder(out, files)
    print(f"{len(files)} files in {out}; open {out / 'index.html'}")
    return 0


def export(root: Path, stories: int = strips.STORIES) -> dict[str, bytes]:
    """Return the files of an export: path from its folder -> bytes. The same board gives the same bytes.

    Args:
        root: Folder of the board.
        stories: Stories a page of strips; 0 for no such pages.
    """
    board = Board(root)
    there = {name for name in board.benchmarks() if SLUG.fullmatch(name)}
    boards = [data.load_tables(root, name) for name in data.benchmarks(root) if name in there]
    grouped = {each.benchmark: gather(root, each) for each in boards}
    site = pages.Site([sheet for group in grouped.values() for sheet in group], stories > 0)
    remarks = [f"{each.benchmark}/{p.row}: {p.sentence}" for each in boards for p in each.problems]
    files = {
        "index.html": pages.index_page(site, remarks),
        "published.html": pages.published_page(papers.published_tables(), site),
    }
    for name, group in grouped.items():
        shelf = strips.Shelf(name) if stories and group else None
        for sheet in group:
            files |= _sheet_files(sheet, root, site)
            if shelf is not None:
                page = strips.gather_strips(sheet, shelf, board, stories)
                files |= {**page.files, pages.stories_file(sheet): strips.strips_page(page, site)}
    return files


def _sheet_files(sheet: Sheet, root: Path, site: pages.Site) -> dict[str, bytes]:
    """Return the tables and the pages of the models of one benchmark version and text."""
    stem = f"{sheet.benchmark}/{slug(sheet.text)}"
    files = {
        f"{stem}.md": tables.markdown(sheet).encode(),
        f"{stem}.csv": tables.csv(sheet).encode(),
        f"{stem}.json": tables.as_json(sheet).encode(),
    }
    for name in sheet.rows.index:
        files[f"{sheet.benchmark}/{name}.html"] = pages.model_page(sheet, str(name), root, site)
    return files
