"""What was seen is kept by protocol and picture, survives the process, and is shared without harm."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from storybench.errors import DataError
from storybench.perception.cache import ObservationCache, default_folder


def arrays(number):
    return {"features": np.full(4, number, dtype=np.float32), "counts": np.arange(3, dtype=np.uint8)}


def test_entries_come_back_bit_for_bit_in_another_process_too(tmp_path):
    with ObservationCache(tmp_path) as cache:
        cache.write("net+1", {"a": arrays(0.1), "b": arrays(2)})
    with ObservationCache(tmp_path) as cache:
        found = cache.read("net+1", ["b", "a", "missing"])
    assert set(found) == {"a", "b"}
    assert np.array_equal(found["a"]["features"], arrays(0.1)["features"])
    assert found["a"]["counts"].dtype == np.uint8


def test_another_protocol_is_another_entry(tmp_path):
    with ObservationCache(tmp_path) as cache:
        cache.write("net+1", {"a": arrays(1)})
        assert cache.known("net+1", ["a", "b"]) == {"a"}
        assert cache.known("net+2", ["a"]) == set()


def test_more_keys_than_one_query_takes(tmp_path):
    with ObservationCache(tmp_path) as cache:
        cache.write("net", {str(k): arrays(k) for k in range(1_203)})
        assert len(cache.read("net", [str(k) for k in range(1_300)])) == 1_203


def test_a_temporary_cache_leaves_nothing_behind():
    cache = ObservationCache(None)
    cache.write("net", {"a": arrays(1)})
    folder = cache.path.parent
    assert folder.is_dir()
    cache.close()
    assert not folder.exists()


def test_a_file_that_is_no_cache_is_named_with_the_mend(tmp_path):
    (tmp_path / "observations-1.sqlite").write_bytes(b"no database at all, but long enough to be read as one" * 20)
    with pytest.raises(DataError, match=r"observations-1\.sqlite.*delete it"):
        ObservationCache(tmp_path)


def test_the_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("STORYBENCH_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("STORYBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "storybench"


WRITER = """
import sys
import numpy as np
from pathlib import Path
from storybench.perception.cache import ObservationCache
folder, name = sys.argv[1:]
with ObservationCache(Path(folder)) as cache:
    for k in range(40):
        entry = {"counts": np.full(3, k)}
        cache.write("net", {f"{name}{k}": entry, f"shared{k}": entry})
"""


def test_two_processes_writing_at_once_lose_nothing(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "xy"]
    assert [writer.wait() for writer in writers] == [0, 0]
    with ObservationCache(tmp_path) as cache:
        keys = [f"{name}{k}" for name in ("x", "y", "shared") for k in range(40)]
        found = cache.read("net", keys)
    assert set(found) == set(keys)
    assert all(np.array_equal(found[f"{name}7"]["counts"], np.full(3, 7)) for name in ("x", "y", "shared"))


@pytest.mark.parametrize("damage", ["entry", "file"])
def test_damage_found_while_reading_is_one_sentence_with_the_mend(tmp_path, damage):
    with ObservationCache(tmp_path) as cache:
        cache.write("net", {str(k): arrays(k) for k in range(400)})
        path = cache.path
    if damage == "entry":
        base = sqlite3.connect(path)
        base.execute("UPDATE seen SET arrays = ?", (bytes(20),))
        base.commit()
        base.close()
    else:
        data = bytearray(path.read_bytes())
        data[4096:] = b"x" * (len(data) - 4096)  # all pages but the first
        path.write_bytes(data)
    with ObservationCache(tmp_path) as cache, pytest.raises(DataError, match="delete it"):
        cache.read("net", [str(k) for k in range(400)])
