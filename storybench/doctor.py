"""What stands between this machine and a run: packages, device, disk, caches, networks, a data set. Nothing is mended.

Every finding says what was looked at, what was found, and what to type if something is to be done. ``ok`` needs
nothing, ``optional`` is missing but only some metrics or models need it, ``broken`` must be mended first.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from storybench.errors import StorybenchError
from storybench.perception import catalogue
from storybench.perception.cache import default_folder

State = Literal["ok", "optional", "broken"]
LITTLE_GIB = 1.0  # below this a run of the default size may not find room for its frames
GIB = 1 << 30
DEVELOPERS = "dev"  # the extra of those who work on storybench
OF_ASSET: dict[str, State] = {"present": "ok", "missing": "optional", "corrupt": "broken"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    kind: str  # python, package, device, disk, cache, asset, dataset
    name: str
    state: State
    found: str
    mend: str = ""  # what to type; empty where there is nothing to do

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return asdict(self)


def examine() -> list[Finding]:
    """Return all findings about this machine, in the order of a reader's questions."""
    return [python(), *packages(), device(), *disks(), *caches(), *assets()]


def python() -> Finding:
    """Return whether this Python is one that storybench runs on."""
    wanted = str(metadata.metadata("storybench")["Requires-Python"] or "")
    version = platform.python_version()
    fits = Requirement(f"python{wanted}").specifier.contains(version, prereleases=True)
    mend = "" if fits else f"make the environment anew with Python {wanted}"
    return Finding("python", "Python", "ok" if fits else "broken", f"{version}, {sys.executable}", mend)


def packages() -> Iterator[Finding]:
    """Yield every package that storybench names, once, with the version here; those of extras are optional."""
    rows: dict[str, Finding] = {}
    for line in metadata.requires("storybench") or ():
        requirement = Requirement(line)
        extra = _extra(requirement)
        name = requirement.name
        if name == "storybench" or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        row = _package(requirement, extra)
        if extra == DEVELOPERS and row.state != "ok":
            continue  # users miss nothing
        if name not in rows or (extra == "" and rows[name].state == "optional"):
            rows[name] = row
    yield from sorted(rows.values(), key=lambda row: row.name.lower())


def _package(requirement: Requirement, extra: str) -> Finding:
    what = f"storybench[{extra}]" if extra else f"{requirement.name}{requirement.specifier}"
    install = f"pip install '{what}'"
    absent: State = "optional" if extra else "broken"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding("package", requirement.name, absent, "not installed", install)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("package", requirement.name, absent, f"{version}, expected {requirement.specifier}", install)
    return Finding("package", requirement.name, "ok", version)


def _extra(requirement: Requirement) -> str:
    """Return the extra that asks for a package, empty if storybench itself does."""
    text = str(requirement.marker or "")
    return text.rpartition("extra == ")[2].strip("\"'() ") if "extra ==" in text else ""


def device() -> Finding:
    """Return what networks run on here."""
    try:
        import torch

        if torch.cuda.is_available():
            names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
            return Finding("device", "device", "ok", f"{len(names)} GPU: {', '.join(sorted(set(names)))}")
        threads = torch.get_num_threads()
    except (ImportError, OSError, RuntimeError) as error:
        mend = "pip install --force-reinstall torch"
        return Finding("device", "device", "broken", f"torch cannot be used: {error}", mend)
    return Finding("device", "device", "ok", f"CPU only, {os.cpu_count()} cores, torch takes {threads}")


def disks() -> Iterator[Finding]:
    """Yield the room where runs and assets go; a folder that is not there yet is judged by the one above it."""
    for name, folder in (("runs", Path.cwd()), ("assets", catalogue.assets_root())):
        free = shutil.disk_usage(_existing(folder)).free / GIB
        state: State = "ok" if free >= LITTLE_GIB else "broken"
        mend = "" if state == "ok" else f"make room on the disk of '{folder}'"
        yield Finding("disk", name, state, f"{free:,.1f} GiB free for '{folder}'", mend)


def caches() -> Iterator[Finding]:
    """Yield whether the folders that are written to can be written to."""
    yield _writable("observations", default_folder(), "STORYBENCH_CACHE")
    yield _writable("assets", catalogue.assets_root(), catalogue.VARIABLE)


def _writable(name: str, folder: Path, variable: str) -> Finding:
    """Return whether a file can be made in ``folder``, or in the one above it that is there; no folder is made."""
    there = _existing(folder)
    mend = f"export {variable}=DIR, a folder you can write"
    if blocking := [path for path in (folder.absolute(), *folder.absolute().parents) if path.is_file()]:
        return Finding("cache", name, "broken", f"'{folder}' cannot be made: '{blocking[0]}' is a file", mend)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding("cache", name, "broken", f"'{there}' cannot be written: {error.strerror}", mend)
    return Finding("cache", name, "ok", f"'{folder}' can be written")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next((path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir()), Path("/"))


def assets() -> Iterator[Finding]:
    """Yield every network of the catalogue; a missing one that should ship is broken."""
    for wanted in catalogue.all_assets():
        status = catalogue.status(wanted.id)
        state = OF_ASSET[status.state]
        if wanted.kind == "shipped" and status.state == "missing":
            state = "broken"
        found = status.detail if status.state == "present" else f"{status.state}: {status.detail}"
        yield Finding("asset", wanted.id, state, found, "" if state == "ok" else status.fetch)


def dataset(name: str, root: Path, layout: str | None = None) -> Finding:
    """Return whether a release on disk is what its publisher counts."""
    from storybench.data.verify import verify

    mend = f"storybench data verify dataset={name} dataset.root={root}"
    try:
        report = verify(name, root, layout)
    except StorybenchError as error:
        return Finding("dataset", name, "broken", str(error))
    found = f"layout {report.layout or 'not known'}, {len(report.counts)} counts compared"
    if report.status == 0:
        return Finding("dataset", name, "ok", f"{found}, all as published")
    problems = [
        *report.unusable,
        *(f"{count.name} is {count.found:,}, not {count.expected:,}" for count in report.counts if not count.ok),
        *(f"{defect.name}" for defect in report.defects if not defect.known),
        *(f"no {file.path}" for file in report.files if file.need == "expected" and not file.present),
    ]
    return Finding("dataset", name, "broken", f"{found}: {'; '.join(problems)}", mend)
