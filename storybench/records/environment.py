"""What a run was computed with: packages, device, commit."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from storybench.records.record import Environment

PACKAGES = (
    "storybench", "torch", "torchvision", "diffusers", "transformers", "accelerate", "torchmetrics", "scipy", "numpy",
    "pillow", "pandas", "hydra-core",
)  # fmt: skip


def environment(device: str) -> Environment:
    """Return the environment of this process, computing on ``device``."""
    commit, dirty = _git()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        device=device,
        packages={name: version for name in PACKAGES if (version := _version(name))},
        git_commit=commit,
        git_dirty=dirty,
    )


def benchmark_version() -> str:
    """Return the version of storybench, ``"0"`` when it is not installed."""
    return _version("storybench") or "0"


def _version(package: str) -> str | None:
    """Return the installed version of ``package``."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def _git() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout this file is in and whether it has changes; None, None elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _run_git(root, "rev-parse", "HEAD").strip()
        return commit, bool(_run_git(root, "status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.SubprocessError):
        return None, None


def _run_git(root: Path, *arguments: str) -> str:
    """Return what a git command prints."""
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout
