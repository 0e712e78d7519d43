"""Fixtures for the tests of other people's repositories: run a model, and assert that it did not get worse.

Installed as an entry point of pytest, so importing this must cost nothing: storybench itself is imported by the
fixtures, when a test asks for one. See docs/gate.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from storybench.cli.flow import Finished
    from storybench.regression.comparing import Report

RUN_ROOT = "--storybench-run-root"


class UnclearGate(UserWarning):
    """A gated metric has too few stories to exclude a loss beyond its margin."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("storybench")
    group.addoption(
        RUN_ROOT,
        default=None,
        metavar="DIR",
        help="folder for the runs of storybench_run; finished ones are read, not drawn again (default: temporary)",
    )


@pytest.fixture(scope="session")
def storybench_run_root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that runs of this session go to."""
    given = request.config.getoption(RUN_ROOT)
    return Path(given).absolute() if given else tmp_path_factory.mktemp("storybench-runs")


@pytest.fixture(scope="session")
def storybench_run(storybench_run_root: Path) -> Callable[..., Finished]:
    """Draw and score: ``storybench_run(model="my_package.MyModel", subset="mini", limit=8)``.

    ``model`` is a name of ``storybench list models`` or the dotted path of a class; ``options`` are arguments of that
    class; every other argument is a key of ``storybench run``. Returns what has ``record`` and ``run_dir``.
    """

    def run(
        model: str | type, subset: str = "mini", options: Mapping[str, Any] | None = None, **overrides: Any
    ) -> Finished:
        from storybench.cli.config import RunConfig, compose
        from storybench.cli.flow import execute
        from storybench.errors import StorybenchError

        words = run_words(model, subset, options or {}, {"run_root": storybench_run_root, **overrides})
        try:
            return execute(compose("run", words, RunConfig), ["run", *words])
        except StorybenchError as error:
            pytest.fail(f"storybench run {' '.join(words)}: {error}", pytrace=False)

    return run


@pytest.fixture(scope="session")
def assert_no_regression() -> Callable[..., Report]:
    """Compare two runs under a gate: ``assert_no_regression("toonsv-mini-v1/storygptv", run, gate="default")``.

    A side is what ``storybench_run`` returns, a run folder, a record, or a row of a board. Raises AssertionError with
    the table on a regression; the test fails with one sentence if the two cannot be compared. Returns the report.
    """

    def check(base: object, new: object, gate: str = "default", board: str | None = None) -> Report:
        from storybench.errors import StorybenchError
        from storybench.regression import compare, load_gate, load_side
        from storybench.regression.sides import BOARD
        from storybench.regression.table import as_text
        from storybench.regression.wording import headline

        try:
            one, other = (load_side(str(getattr(side, "run_dir", side)), board or BOARD) for side in (base, new))
            report = compare(one, other, load_gate(gate))
        except StorybenchError as error:
            pytest.fail(f"storybench compare: {error}", pytrace=False)
        if report.problems:
            pytest.fail(f"{headline(report)}\n{as_text(report)}", pytrace=False)
        if report.status:
            raise AssertionError(f"{headline(report)}\n{as_text(report)}")
        if report.of("unclear"):
            warnings.warn(headline(report), UnclearGate, stacklevel=2)
        return report

    return check


def run_words(model: str | type, subset: str, options: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[str]:
    """Return the words of ``storybench run`` for a call of the fixture."""
    path = f"{model.__module__}.{model.__qualname__}" if isinstance(model, type) else model
    words = [f"model._target_={path}" if "." in path else f"model={path}", f"subset={subset}"]
    words += [f"++model.{key}={_value(value)}" for key, value in options.items()]
    return words + [f"{key}={_value(value)}" for key, value in overrides.items()]


def _value(value: object) -> str:
    """Return a value as Hydra's grammar reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_value(each) for each in value) + "]"
    if isinstance(value, (str, Path)):
        text = str(value)
        plain = all(c.isalnum() or c in "_-./" for c in text) and text != ""
        return text if plain else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)
