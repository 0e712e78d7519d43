"""Where weights lie, what they are, and their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from storybench.errors import AssetError

SHIPPED = Path(__file__).parent / "weights" / "miniature"
MANIFEST = "manifest.json"
INDEX = "model_index.json"  # diffusers' list of a pipeline's components
_WRITTEN_BY = ("_diffusers_version", "_name_or_path", "transformers_version")  # say who wrote a file, not what it says


def resolve(weights: str | Path | None) -> Path:
    """Return the folder of weights: the given one, or the miniature that is shipped.

    Raises:
        AssetError: If there is no such folder, or it holds no weights.
    """
    folder = Path(weights) if weights else SHIPPED
    if not folder.is_dir():
        raise AssetError(f"No folder of weights at {folder}: give model.weights=DIR, or train with storybench train.")
    if not any(folder.rglob("*.safetensors")):
        raise AssetError(f"{folder} holds no *.safetensors: expected the folder that a training stage saved.")
    return folder


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide the libraries' progress bars: loading a miniature takes a moment."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    bars = (diffusers_logging, transformers_logging)
    for bar in bars:
        bar.disable_progress_bar()
    try:
        yield
    finally:
        for bar in bars:
            bar.enable_progress_bar()


@lru_cache(maxsize=512)
def _sha256(path: Path, size: int, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hashes(folder: Path, parts: tuple[str, ...] = ()) -> dict[str, str]:
    """Return relative path -> sha256 of every weight file in ``folder``, or in some of its sub-folders.

    Raises:
        AssetError: If a file differs from the folder's manifest.
    """
    roots = [folder / part for part in parts] or [folder]
    files = sorted(f for root in roots for f in root.rglob("*.safetensors"))
    found = {f.relative_to(folder).as_posix(): _sha256(f, f.stat().st_size, f.stat().st_mtime_ns) for f in files}
    manifest = folder / MANIFEST
    if manifest.exists():
        listed = {name: entry["sha256"] for name, entry in json.loads(manifest.read_text())["files"].items()}
        for name, digest in found.items():
            if listed.get(name) != digest:
                raise AssetError(f"{folder / name} does not match {MANIFEST}: fetch the file again, or retrain it.")
    return found


def settings(folder: Path, parts: tuple[str, ...]) -> str:
    """Return one SHA-256 of what a saved pipeline's parts are configured to: sizes, schedules, tokenizers, prompts.

    JSON is compared by content; library versions and paths in it do not count.
    """
    total = hashlib.sha256()
    index = json.loads((folder / INDEX).read_text())
    total.update(str(index.get("image_statistics", "symmetric")).encode())
    for file in sorted(
        f for part in parts for f in (folder / part).rglob("*") if f.suffix in (".json", ".txt", ".model")
    ):
        said = file.read_bytes()
        if file.suffix == ".json" and isinstance(content := json.loads(said), dict):
            said = json.dumps({k: v for k, v in content.items() if k not in _WRITTEN_BY}, sort_keys=True).encode()
        total.update(f"{file.relative_to(folder).as_posix()}\n".encode() + said)
    return total.hexdigest()
