"""``storybench run``: generate, score, write the record, print the table. ``-m`` sweeps."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import hydra
from omegaconf import DictConfig

from storybench.cli.config import (
    CONFIG_PACKAGE,
    HYDRA_VERSION,
    RunConfig,
    check_folders,
    hydra_errors,
    register_entry_points,
    typed,
    with_custom_target,
)
from storybench.cli.flow import Finished, execute
from storybench.cli.paper import comparison, paper_lines
from storybench.cli.table import print_json, print_runs
from storybench.errors import StorybenchError


def main(arguments: Sequence[str]) -> int:
    """Run one configuration, or with ``-m`` every one of a sweep; a failed one does not stop the others."""
    words = with_custom_target(arguments)
    check_folders(_config_dirs(words))
    register_entry_points()
    finished: list[Finished] = []
    errors: list[StorybenchError] = []
    formats: list[str] = []

    def task(tree: DictConfig) -> None:
        try:
            config = typed(tree, RunConfig)
            formats.append(config.format)
            finished.append(execute(config, ["run", *_own(arguments)]))
        except StorybenchError as error:
            errors.append(error)

    with tempfile.TemporaryDirectory(
        prefix="storybench-"
    ) as scratch:  # Hydra's own folders; a run's is its fingerprint
        status = _hydra(task, [*_flags_first(words), f"hydra.run.dir={scratch}", f"hydra.sweep.dir={scratch}"])
    if finished:
        _report(finished, sweep=any(w in ("-m", "--multirun") for w in arguments), as_json="json" in formats)
    for error in errors:
        print(error, file=sys.stderr)
    return 2 if errors else status


def _hydra(task: object, words: Sequence[str]) -> int:
    """Call ``task`` with every configuration that ``words`` mean; ``--cfg job``, ``--help`` and such are Hydra's."""
    before, full = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = ["storybench run", *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and leaving
    decorated = hydra.main(config_path=f"pkg://{CONFIG_PACKAGE}", config_name="run", version_base=HYDRA_VERSION)(task)  # type: ignore[arg-type]
    try:
        with hydra_errors("run", words):
            decorated()
        return 0
    except SystemExit as leaving:  # after --help, or when argparse has said what is wrong with a flag
        return leaving.code if isinstance(leaving.code, int) else 2
    finally:
        sys.argv = before
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]


def _report(finished: Sequence[Finished], *, sweep: bool, as_json: bool) -> None:
    """Print the records as JSON alone, or as a table."""
    if as_json:
        records = [_as_json(run) for run in finished]
        print_json(records if sweep else records[0])
        return
    print_runs([run.record for run in finished])
    for run in finished:
        if run.paper is not None:
            print("\n".join(paper_lines(run.record, run.paper)))
    for run in finished:
        done = "finished" if run.fresh else "was finished before, nothing redone"
        print(f"{run.record.model.name}: {done}; record and frames in {run.run_dir}")


def _as_json(run: Finished) -> dict[str, Any]:
    """Return the record as plain data, with the published row of the experiment in ``details.paper``."""
    record = run.record.model_dump(mode="json")
    if run.paper is not None:
        record["details"]["paper"] = comparison(run.record, run.paper)
    return record


def _config_dirs(words: Sequence[str]) -> list[str]:
    """Return the folders given with ``--config-dir``."""
    pairs = [words[i + 1] for i, w in enumerate(words[:-1]) if w in ("--config-dir", "-cd")]
    return pairs + [w.partition("=")[2] for w in words if w.startswith("--config-dir=")]


def _flags_first(words: Sequence[str]) -> list[str]:
    """Return ``words`` with the overrides last: argparse takes them in one piece only."""
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    return [word for word in words if word not in overrides] + overrides


def _own(words: Sequence[str]) -> list[str]:
    """Return the words a record repeats: all but the output format."""
    return [word for word in words if not word.startswith("format=")]
