"""``storybench evaluate`` in a process that knows nothing of its caller: no settings, no home, no network of models.

Python runs isolated (``-I``: no ``PYTHON*``, no user site, no current folder on the path) in an empty folder, with a
list of variables made here. The cache of what networks saw is its own, so no entry of another run can stand for a
frame.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from storybench.errors import DataError
from storybench.perception.cache import VARIABLE as CACHE
from storybench.perception.catalogue import VARIABLE as ASSETS
from storybench.perception.catalogue import assets_root
from storybench.submission.expecting import Expectation

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
KEPT = ("OMP_NUM_THREADS", "SYSTEMROOT")  # how fast, never what
KEPT_FOR_CUDA = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
LIMIT_S = 6 * 3600.0
MAX_SAID = 2_000  # characters of the child's last words


def evaluate_folder(
    expected: Expectation,
    run_dir: Path,
    work: Path,
    *,
    explicit: Path | None = None,
    root: Path | None = None,
    device: str = "cpu",
    metrics: Sequence[str] = (),
) -> None:
    """Score ``run_dir/frames`` and write ``record.json``, ``frames.parquet`` and ``left_out.parquet`` into ``run_dir``.

    Args:
        expected: Benchmark version and text.
        run_dir: Holds the frames.
        work: Folder for the child's home and cache.
        explicit: Frames of the same stories from explicit text.
        root: Folder of the data set.
        device: Where networks run.
        metrics: Groups of metrics; by default all.

    Raises:
        DataError: If the child fails or takes longer than :data:`LIMIT_S`.
    """
    words = [f"frames={_quoted(run_dir / 'frames')}", f"tables={_quoted(run_dir)}", f"text={expected.text}"]
    words += expected.benchmark.dataset_words(None if root is None else _quoted(root.resolve()))
    words += [f"device={device}", *([] if explicit is None else [f"explicit_frames={_quoted(explicit)}"])]
    words += [f"metrics=[{','.join(metrics)}]"] if metrics else []
    home = work / "home"
    (home / "empty").mkdir(parents=True)
    command = [sys.executable, "-I", "-m", "storybench.cli.main", "evaluate", *words]
    try:
        done = subprocess.run(
            command,
            cwd=home / "empty",
            env=clean_environment(home, device),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"Scoring took longer than {LIMIT_S:.0f} s and was stopped: try device=cuda.") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-MAX_SAID:]
        raise DataError(f"Scoring ended with status {done.returncode}: {said}")


def clean_environment(home: Path, device: str = "cpu") -> dict[str, str]:
    """Return the variables of the child, all of them."""
    kept = {
        name: os.environ[name] for name in (*KEPT, *(KEPT_FOR_CUDA if "cuda" in device else ())) if name in os.environ
    }
    return {
        **kept,
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(home),
        CACHE: str(home / "cache"),
        ASSETS: str(assets_root().resolve()),  # networks that the user fetched or trained
        **dict.fromkeys(OFFLINE, "1"),
    }


def _quoted(path: Path) -> str:
    """Return a path as a value of Hydra's grammar: in single quotes, with those and backslashes before them escaped."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
