"""Fixtures for the data tests: the real files where a checkout has them, and small invented releases."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / ".." / "shared" / "data"


def load_writer(name: str) -> ModuleType:
    """Import a writer module that lies beside the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_flintstones() -> ModuleType:
    return load_writer("write_flintstones")


@pytest.fixture(scope="session")
def shared_flintstones() -> Path:
    """The folder of the real split file and test captions; not every checkout has it."""
    if not (SHARED / "flintstones" / "train-val-test_split.json").is_file():
        pytest.skip("the real FlintstonesSV files are not here")
    return SHARED / "flintstones"
