"""Every network a metric looks through: what it is, its licence, where it lies, and how to get it.

``catalogue.json`` is the one list. Nothing is downloaded here: what is missing is said together with the command that
fetches it. Shipped networks lie in the package; all others in ``$STORYBENCH_ASSETS/<id>``, or in the user's cache
folder. A file is used only after its SHA-256 was compared with the catalogue's, or with the manifest beside it. Where
no public hash is known here, what is found first is recorded beside the file and must stay the same. A hash is
remembered by size and time of change, so that a file of a gigabyte is read once. Nothing heavy is imported.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from storybench.errors import AssetError, unknown
from storybench.perception.hashing import HashRecord

WEIGHTS_ROOT = Path(__file__).parent / "weights"  # of what ships
MANIFEST = "manifest.json"
VARIABLE = "STORYBENCH_ASSETS"
SCHEMA = 1
SHOWN_DIGITS = 12  # of a SHA-256 in a sentence
Kind = Literal["shipped", "fetched", "trained"]
State = Literal["present", "missing", "corrupt"]


@dataclass(frozen=True)
class AssetFile:
    """One file of an asset; ``path`` may be a pattern, then all that match belong to it, and at least one must."""

    path: str
    sha256: (
        str | None
    )  # lower case; the first digits alone where the published name states no more; None: not known here
    bytes: int | None


@dataclass(frozen=True)
class Asset:
    """One network. Without ``files`` it is a folder with a manifest that names and hashes them."""

    id: str
    what: str
    kind: Kind
    licence: str
    published: str
    used_by: tuple[str, ...]  # metrics, or protocols of theirs
    command: str  # that fetches or trains it; ``{folder}`` is where it belongs
    files: tuple[AssetFile, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its files lie, or belong."""
        return WEIGHTS_ROOT / self.id if self.kind == "shipped" else assets_root() / self.id

    @property
    def path(self) -> Path:
        """Its one file, or its folder if it has several."""
        single = len(self.files) == 1 and "*" not in self.files[0].path
        return self.folder / self.files[0].path if single else self.folder

    @property
    def fetch(self) -> str:
        """The command to type for it."""
        return self.command.replace("{folder}", shlex.quote(str(self.folder)))


@dataclass(frozen=True)
class AssetStatus:
    """Whether an asset can be used, and if not, why and what to type."""

    id: str
    state: State
    path: Path
    detail: str
    fetch: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {**asdict(self), "path": str(self.path)}


class _Refused(Exception):
    """Why the files of an asset cannot be used; ``state`` says whether there are any."""

    def __init__(self, state: State, detail: str) -> None:
        super().__init__(detail)
        self.state, self.detail = state, detail


def assets_root() -> Path:
    """Return the folder of fetched and trained assets: ``$STORYBENCH_ASSETS``, else one in the user's cache folder."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "storybench" / "assets"


@cache
def all_assets() -> tuple[Asset, ...]:
    """Return every asset of the catalogue, in its order."""
    content = json.loads(resources.files(__package__).joinpath("catalogue.json").read_text("utf-8"))
    assert content["schema"] == SCHEMA
    return tuple(_asset(row) for row in content["assets"])


def _asset(row: Mapping[str, Any]) -> Asset:
    assert row["kind"] in get_args(Kind)
    files = tuple(AssetFile(**file) for file in row.get("files", ()))
    return Asset(
        id=row["id"],
        what=row["what"],
        kind=row["kind"],
        licence=row["licence"],
        published=row["published"],
        used_by=tuple(row["used_by"]),
        command=row["fetch"],
        files=files,
    )


def asset(asset_id: str) -> Asset:
    """Return one asset of the catalogue.

    Raises:
        ConfigError: If there is none of that name.
    """
    found = {each.id: each for each in all_assets()}
    if asset_id not in found:
        raise unknown("asset", asset_id, found)
    return found[asset_id]


def locate(asset_id: str) -> Path:
    """Return where an asset lies, after checking that it is whole: its file if it is one, else its folder.

    Raises:
        ConfigError: If there is no such asset.
        AssetError: If it is missing or damaged; the sentence says what to type.
    """
    checked_hashes(asset_id)
    return asset(asset_id).path


def checked_hashes(asset_id: str) -> dict[str, str]:
    """Return file name -> SHA-256 of an asset that is whole.

    Raises:
        ConfigError: If there is no such asset.
        AssetError: If it is missing or damaged; the sentence says what to type.
    """
    wanted = asset(asset_id)
    try:
        return _hashes(wanted)
    except _Refused as refused:
        raise AssetError(_sentence(wanted, refused)) from None


def status(asset_id: str) -> AssetStatus:
    """Return whether an asset is there and whole.

    Raises:
        ConfigError: If there is no such asset.
    """
    wanted = asset(asset_id)
    try:
        count = len(_hashes(wanted))
    except _Refused as refused:
        return AssetStatus(wanted.id, refused.state, wanted.path, refused.detail, wanted.fetch)
    known = not any(file.sha256 is None for file in wanted.files)
    how = "as the catalogue says" if wanted.files else "as its manifest says"
    if not known:
        how = "hash not known here: what was found first is recorded beside it and must stay the same"
    return AssetStatus(wanted.id, "present", wanted.path, f"{count} file{'s' * (count != 1)}, {how}", wanted.fetch)


def _sentence(wanted: Asset, refused: _Refused) -> str:
    """Return the one sentence for an asset that cannot be used."""
    about = f"{wanted.what}; licence: {wanted.licence}"
    mend = "restore it from the repository or install storybench again" if wanted.kind == "shipped" else wanted.fetch
    if refused.state == "missing":
        return f"Asset {wanted.id} ({about}) is not at '{wanted.path}'; get it with: {mend}"
    return f"Asset {wanted.id} at '{wanted.folder}' cannot be used: {refused.detail}; delete it and get it with: {mend}"


def _hashes(wanted: Asset) -> dict[str, str]:
    """Return file name -> SHA-256 after all comparisons; :class:`_Refused` if one fails."""
    folder = wanted.folder
    if not folder.is_dir():
        raise _Refused("missing", "no folder")
    expected = _expected(wanted)
    present = {file: _matches(folder, file.path) for file in expected}
    absent = [file.path for file, paths in present.items() if not paths]
    if len(absent) == len(expected):
        raise _Refused("missing", f"no {', no '.join(absent)}")
    if absent:
        raise _Refused("corrupt", f"{', '.join(absent)} is not there, other files of it are")
    record = HashRecord(folder, remember=wanted.kind != "shipped")
    found: dict[str, str] = {}
    try:
        for file, paths in present.items():
            for path in paths:
                found[path.relative_to(folder).as_posix()] = _checked(file, path, record)
    except OSError as error:
        raise _Refused("corrupt", f"it cannot be read ({error.strerror})") from error
    finally:  # what was whole need not be read again
        record.save()
    return found


def _expected(wanted: Asset) -> tuple[AssetFile, ...]:
    """Return the files of an asset, from the catalogue or from the manifest in its folder."""
    if wanted.files:
        return wanted.files
    path = wanted.folder / MANIFEST
    if not path.is_file():
        raise _Refused("missing", f"no {MANIFEST}")
    try:
        listed = dict(json.loads(path.read_text("utf-8"))["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise _Refused("corrupt", f"{MANIFEST} does not list files ({type(error).__name__})") from error
    if strange := [name for name in listed if name in ("", ".", "..") or "/" in name or "\\" in name]:
        raise _Refused("corrupt", f"{MANIFEST} lists {strange[0]!r}, which is no file of this folder")
    return (AssetFile(MANIFEST, None, None), *(AssetFile(name, str(digest), None) for name, digest in listed.items()))


def _matches(folder: Path, path: str) -> list[Path]:
    """Return the files below ``folder`` that a path or a pattern means, sorted."""
    return sorted(p for p in folder.glob(path) if p.is_file()) if "*" in path else _one(folder / path)


def _one(path: Path) -> list[Path]:
    return [path] if path.is_file() else []


def _checked(file: AssetFile, path: Path, record: HashRecord) -> str:
    """Return the SHA-256 of a file that is what it should be."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise _Refused("corrupt", f"{path.name} has {size:,} bytes, expected {file.bytes:,}")
    before = record.sha256(path)
    found = record.measure(path)
    if file.sha256 is not None and not found.startswith(file.sha256):
        raise _Refused("corrupt", f"{path.name} has SHA-256 {_short(found)}, expected {_short(file.sha256)}")
    if file.sha256 is None and before not in (None, found) and path.name != MANIFEST:
        detail = f"{path.name} has SHA-256 {_short(found)}, when it was first used here it had {_short(str(before))}"
        raise _Refused("corrupt", detail)
    record.accept(path, found)
    return found


def _short(digest: str) -> str:
    return f"{digest[:SHOWN_DIGITS]}..."
