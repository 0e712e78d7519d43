"""``storybench doctor``: what stands between this machine and a run, and what to type about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storybench.cli.config import FORMATS, choices
from storybench.cli.table import console, print_json
from storybench.doctor import Finding, dataset, examine
from storybench.errors import ConfigError, unknown
from storybench.perception import catalogue

USAGE = """usage: storybench doctor [dataset=NAME dataset.root=DIR [dataset.layout=NAME]] [all=true] [format=json]

Looks at Python, packages, device, disk, caches and every network that a metric looks through; with a data set also at
its counts against the published ones. all=true lists the packages that are as they should be. Exit status: 0 nothing is
broken, 1 something is. Networks are looked for in $STORYBENCH_ASSETS, else in the user's cache folder."""
KEYS = ("dataset", "dataset.root", "dataset.layout", "all", "format")
SHIPPED_DATA = "toonsv"  # drawn from seeds: nothing on disk to look at
BROKEN = 1
MARKS = {"ok": "[green]ok[/green]", "optional": "[yellow]not here[/yellow]", "broken": "[red]BROKEN[/red]"}
TITLES = {
    "python": "machine",
    "device": "machine",
    "disk": "machine",
    "cache": "machine",
    "package": "packages",
    "asset": "networks",
    "dataset": "data",
}


def main(arguments: Sequence[str]) -> int:
    """Look, print, and return 1 if something is broken."""
    if "--help" in arguments or "-h" in arguments:
        print(USAGE)
        return 0
    given = _words(arguments)
    findings = examine()
    if "dataset.root" in given:
        findings.append(dataset(given["dataset"], Path(given["dataset.root"]), given.get("dataset.layout")))
    broken = any(finding.state == "broken" for finding in findings)
    if given.get("format") == "json":
        print_json(report(findings))
    else:
        _print(findings, whole=given.get("all") == "true")
    return BROKEN if broken else 0


def report(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain data, with what the catalogue knows of each network."""
    rows = [finding.to_json() for finding in findings]
    for row in rows:
        if row["kind"] == "asset":
            asset = catalogue.asset(row["name"])
            row |= {
                "what": asset.what,
                "licence": asset.licence,
                "published": asset.published,
                "used_by": list(asset.used_by),
                "path": str(asset.path),
                "files": [{"path": f.path, "sha256": f.sha256, "bytes": f.bytes} for f in asset.files],
                "fetch": asset.fetch,
            }
    return {"broken": [row["name"] for row in rows if row["state"] == "broken"], "findings": rows}


def _words(arguments: Sequence[str]) -> dict[str, str]:
    """Return key -> value of the words.

    Raises:
        ConfigError: If a key or a value is unknown, or a data set is named without its folder or the other way round.
    """
    given = {}
    for word in arguments:
        key, equals, value = word.partition("=")
        if key not in KEYS:
            raise unknown("key", key, KEYS)
        if not equals or not value:
            raise ConfigError(f"{key} needs a value: give {key}=...")
        given[key] = value
    if given.get("format", "table") not in FORMATS:
        raise unknown("format", given["format"], FORMATS)
    if given.get("all", "false") not in ("true", "false"):
        raise unknown("value of all", given["all"], ("true", "false"))
    on_disk = [name for name in choices("dataset") if name != SHIPPED_DATA]
    if "dataset" in given and given["dataset"] not in on_disk:
        raise unknown("dataset on disk", given["dataset"], on_disk)
    if ("dataset" in given) != ("dataset.root" in given):
        raise ConfigError("Give dataset=NAME and dataset.root=DIR together, or neither.")
    if "dataset.layout" in given and "dataset" not in given:
        raise ConfigError("dataset.layout needs dataset=NAME and dataset.root=DIR.")
    return given


def _print(findings: Sequence[Finding], *, whole: bool) -> None:
    """Print the findings for people: what needs something, then what to type for it."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    for title in dict.fromkeys(TITLES.values()):
        rows = [finding for finding in findings if TITLES[finding.kind] == title]
        if not rows:
            continue
        table = Table(box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
        table.add_column(title, no_wrap=True, max_width=32)
        table.add_column("", no_wrap=True)
        table.add_column("found", overflow="fold")
        good = [row for row in rows if row.state == "ok"]
        hide = title == "packages" and not whole
        for row in rows:
            if not (hide and row.state == "ok"):
                table.add_row(_name(row), MARKS[row.state], escape(_found(row)))
        if hide and good:
            table.add_row(f"{len(good)} others", MARKS["ok"], "as storybench asks for; all=true lists them")
        screen.print(table)
    _print_mending(findings)


def _name(finding: Finding) -> str:
    return f"{finding.kind} {finding.name}" if finding.kind in ("disk", "cache") else finding.name


def _found(finding: Finding) -> str:
    """Return what was found; of a network that is not here, what it would be good for."""
    absent = finding.kind == "asset" and finding.state == "optional"
    return catalogue.asset(finding.name).what if absent else finding.found


def _print_mending(findings: Sequence[Finding]) -> None:
    """Print what to type, one line each and unwrapped, so that it can be copied."""
    for state, title in (("broken", "To mend:"), ("optional", "To get what is not here, if you need it:")):
        lines = {row.mend: row for row in findings if row.state == state and row.mend}
        if lines:
            print(title)
        for mend, row in lines.items():
            print(f"  {row.name}")
            if row.kind == "asset":
                asset = catalogue.asset(row.name)
                print(f"    used by: {', '.join(asset.used_by)}\n    licence: {asset.licence}")
            print(f"    {mend}")
